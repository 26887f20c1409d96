/** Puts on stage what the store says is live: opens specialists on a pool of worker threads. Knows no HTTP. */
import type { LiveTask } from '../cascade/index.ts'
import { isUnderstudyError, UnderstudyError } from '../errors.ts'
import {
  computedBy,
  loadClosedSetSpecialist,
  openEncoderParts,
  type StoredSpecialist,
} from '../learn/index.ts'
import type { ClassifierParts, Specialist } from '../models/index.ts'
import { openRuntimePool } from '../runtimes/index.ts'
import type { LiveRow } from '../store/index.ts'
import { classOf } from '../tasks/index.ts'
import type { OwnedWorkspace } from '../workspace/index.ts'

export interface SpecialistLoader {
  /** The tasks that are live now. Specialists that stay on stage stay open. */
  load(workspace: OwnedWorkspace): Promise<readonly LiveTask[]>
  close(): Promise<void>
}

/** Opens the encoder and its threads with the first specialist that needs them. */
export function createSpecialistLoader(log: (text: string) => void): SpecialistLoader {
  let parts: Promise<ClassifierParts> | null = null
  let open: ReadonlyMap<string, Specialist<string>> = new Map()

  const partsFor = async (tier: string): Promise<ClassifierParts> => {
    if (tier === 'reflex') return { encoder: null, runtime: null }
    parts ??= openEncoderParts({ openRuntime: async () => openRuntimePool() }).then(
      ({ parts: opened, notice }) => {
        if (notice !== null) log(notice)
        return opened
      },
    )
    const opened = await parts
    if (opened.runtime === null) parts = null // It may be there at the next try.
    return opened
  }

  const loadOne = async (row: LiveRow, workspace: OwnedWorkspace): Promise<LiveTask> => {
    const record = await workspace.store.specialist(row.specialist)
    if (record === null) {
      throw new UnderstudyError('not-found', `specialist ${row.specialist} is not in the ledger`)
    }
    const stored = record.manifest as StoredSpecialist
    const current = computedBy(record.tier)
    if (stored.runtime !== current.runtime || stored.kernelFamily !== current.kernelFamily) {
      throw new UnderstudyError(
        'model-unavailable',
        `its certificate is void here: it holds for ${stored.runtime} on ${stored.kernelFamily}, this is ${current.runtime} on ${current.kernelFamily}`,
        { help: 'Learn the task again on this machine.' },
      )
    }
    const { schema } = stored
    const specialist =
      open.get(record.hash) ??
      (await loadClosedSetSpecialist(
        stored.manifest,
        schema,
        hash => workspace.blobs.get(hash),
        await partsFor(record.tier),
      ))
    if (specialist.hash !== record.hash) {
      throw new UnderstudyError('model-corrupt', `specialist ${record.hash} is not what it was`)
    }
    return {
      id: row.task,
      name: record.taskName,
      specialist,
      render: key => {
        const found = classOf(schema, String(key))
        if (found === undefined) throw new UnderstudyError('bug', `no class ${String(key)}`)
        return found.answer
      },
      outputKey: String,
      certificate: row.certificate,
      threshold: row.threshold,
      usage: stored.usage,
      reportedModel: stored.reportedModel,
    }
  }

  return {
    async load(workspace) {
      await workspace.settle()
      const tasks: LiveTask[] = []
      for (const row of await workspace.store.live()) {
        try {
          tasks.push(await loadOne(row, workspace))
        } catch (error) {
          if (!isUnderstudyError(error)) throw error
          const help = error.help === undefined ? '' : ` ${error.help}`
          log(`Task ${row.task} goes to the lead: ${error.message}.${help}`)
        }
      }
      open = new Map(
        tasks.map(task => [task.specialist.hash, task.specialist as Specialist<string>]),
      )
      return tasks
    },
    async close() {
      const opened = await parts
      await opened?.encoder?.close()
      await opened?.runtime?.close()
    },
  }
}
