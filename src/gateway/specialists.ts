/** Puts on stage what the store says is live: opens specialists on a pool of worker threads. Knows no HTTP. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { LiveTask } from '../cascade/index.ts'
import type { Settings } from '../config/index.ts'
import { isUnderstudyError, UnderstudyError } from '../errors.ts'
import type { Certificate } from '../evals/index.ts'
import {
  computedBy,
  loadClosedSetSpecialist,
  openEncoderParts,
  type StoredOutcome,
  type StoredSpecialist,
} from '../learn/index.ts'
import type { ClassifierParts, EncoderHandle, Specialist } from '../models/index.ts'
import { writeFileAtomic } from '../platform/index.ts'
import { openRuntimePool, resolveExecutionProvider } from '../runtimes/index.ts'
import type { LiveRow } from '../store/index.ts'
import { classOf } from '../tasks/index.ts'
import type { OwnedWorkspace } from '../workspace/index.ts'

/** In the data folder: the tiers that were on stage last. Only a hint of what the next start will need. */
const STAGE_FILE = 'stage.json'

export interface SpecialistLoader {
  /** Begins opening what was needed last time, while the database is not there yet. Never waits, never throws. */
  warm(dataDir: string): void
  /** The tasks that are live now. Specialists that stay on stage stay open. */
  load(workspace: OwnedWorkspace): Promise<readonly LiveTask[]>
  /** The encoder that they share, without fetching it; null where it is not on this machine. */
  encoder(): Promise<EncoderHandle | null>
  close(): Promise<void>
}

/**
 * Opens the encoder and its threads with the first specialist that needs them.
 * @param settings `encoder`: folder or name; null: the default
 */
export function createSpecialistLoader(
  log: (text: string) => void,
  { encoder, executionProvider }: Pick<Settings, 'encoder' | 'executionProvider'>,
): SpecialistLoader {
  let parts: Promise<ClassifierParts> | null = null
  let warming: Promise<void> = Promise.resolve()
  let open: ReadonlyMap<string, Specialist<string>> = new Map()

  let resolved: ReturnType<typeof resolveExecutionProvider> | null = null
  const provider = () => {
    resolved ??= resolveExecutionProvider(executionProvider)
    return resolved
  }
  const openRuntime = async () => openRuntimePool({ provider: await provider() })
  const partsFor = async (tier: string): Promise<ClassifierParts> => {
    if (tier === 'reflex') return { encoder: null, runtime: null }
    await warming
    parts ??= openEncoderParts({ openRuntime, encoder }).then(({ parts: opened, notice }) => {
      if (notice !== null) log(notice)
      return opened
    })
    const opened = await parts.catch(error => {
      parts = null
      throw error
    })
    if (opened.runtime === null) parts = null // It may be there at the next try.
    return opened
  }

  const warmUp = async (dataDir: string): Promise<void> => {
    const tiers = await readTiers(dataDir)
    if (!tiers.includes('encoder')) return
    // Without the network: whether a download is worth it, only the store knows.
    const { parts: opened } = await openEncoderParts({ openRuntime, encoder, offline: true })
    if (opened.runtime !== null) parts = Promise.resolve(opened)
  }

  const loadOne = async (row: LiveRow, workspace: OwnedWorkspace): Promise<LiveTask> => {
    const record = await workspace.store.specialist(row.specialist)
    if (record === null) {
      throw new UnderstudyError('not-found', `specialist ${row.specialist} is not in the ledger`)
    }
    const stored = record.manifest as StoredSpecialist
    const certificate = await checkCertificate(row, workspace, {
      tier: record.tier,
      provider: record.tier === 'reflex' ? 'cpu' : await provider(),
    })
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
      certifiedLeads: certificate.reference === 'people' ? [] : certificate.leadReported,
      usage: stored.usage,
      reportedModel: stored.reportedModel,
    }
  }

  return {
    warm(dataDir) {
      // What fails here is met again, and reported, by the specialist that needs it.
      warming = warmUp(dataDir).catch(() => undefined)
    },
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
      await keepTiers(workspace.dataDir, tasks)
      return tasks
    },
    async encoder() {
      await warming
      parts ??= openEncoderParts({ openRuntime, encoder, offline: true }).then(
        ({ parts: opened }) => opened,
      )
      const opened = await parts
      if (opened.encoder === null) parts = null // It may be there at the next try.
      return opened.encoder
    },
    async close() {
      await warming
      const opened = await parts
      await opened?.encoder?.close()
      await opened?.runtime?.close()
    },
  }
}

async function readTiers(dataDir: string): Promise<readonly unknown[]> {
  const text = await readFile(join(dataDir, STAGE_FILE), 'utf8').catch(() => '{}')
  const { tiers } = JSON.parse(text) as { tiers?: unknown }
  return Array.isArray(tiers) ? tiers : []
}

async function keepTiers(dataDir: string, tasks: readonly LiveTask[]): Promise<void> {
  const tiers = [...new Set(tasks.map(task => task.specialist.tier))].sort()
  const text = JSON.stringify({ tiers })
  const path = join(dataDir, STAGE_FILE)
  if ((await readFile(path, 'utf8').catch(() => '')) === text) return
  // A folder that cannot be written only makes the next start slower.
  await writeFileAtomic(path, text).catch(() => undefined)
}

/** A certificate holds only where its scores were computed: same runtime, same kernels. @throws model-unavailable */
async function checkCertificate(
  { certificate: id }: LiveRow,
  { store }: OwnedWorkspace,
  { tier, provider }: { tier: string; provider: string },
): Promise<Certificate> {
  const found = id === null ? null : await store.certificate(id)
  if (found === null) {
    throw new UnderstudyError('model-unavailable', 'its certificate is not in the ledger', {
      help: 'Learn the task again.',
    })
  }
  const { certificate } = found.outcome as StoredOutcome
  const here = computedBy(tier, provider)
  if (certificate.runtime === here.runtime && certificate.kernelFamily === here.kernelFamily) {
    return certificate
  }
  throw new UnderstudyError(
    'model-unavailable',
    `its certificate is void here: it holds for ${certificate.runtime} on ${certificate.kernelFamily}, this is ${here.runtime} on ${here.kernelFamily}`,
    { help: 'Learn the task again on this machine.' },
  )
}
