/** A training run's state as one file: written atomically, so that a kill leaves the old one or the new one. */
import { readFile } from 'node:fs/promises'
import type { TrainerState } from '../../engine/index.ts'
import { isUnderstudyError, UnderstudyError } from '../../errors.ts'
import { float32Values, readSafetensors, writeSafetensors } from '../../formats/index.ts'
import { writeFileAtomic } from '../../platform/index.ts'

export interface Checkpoint {
  /** Names the run: recipe, weights and data. A checkpoint of another run is not used. */
  readonly runId: string
  readonly state: TrainerState
  /** Losses of the epochs so far, and whatever else the loop needs; JSON. */
  readonly progress: Readonly<Record<string, unknown>>
}

/** Atomic: rename after fsync. */
export async function writeCheckpoint(path: string, checkpoint: Checkpoint): Promise<void> {
  const { runId, state, progress } = checkpoint
  const tensors = new Map(
    Object.entries(state.buffers).map(([name, data]) => [
      name,
      {
        type: 'F32' as const,
        shape: [data.length],
        bytes: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
      },
    ]),
  )
  await writeFileAtomic(
    path,
    writeSafetensors(tensors, {
      runId,
      step: String(state.step),
      progress: JSON.stringify(progress),
    }),
  )
}

/**
 * Null where there is none, or that of another run.
 * @throws model-corrupt when the file is damaged
 */
export async function readCheckpoint(path: string, runId: string): Promise<Checkpoint | null> {
  let file: Uint8Array
  try {
    file = await readFile(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
  try {
    const { tensors, metadata } = readSafetensors(file)
    if (metadata.runId !== runId) return null
    const step = Number(metadata.step)
    if (!Number.isSafeInteger(step) || step < 0) throw new Error(`its step is ${metadata.step}`)
    return {
      runId,
      state: {
        step,
        buffers: Object.fromEntries(
          [...tensors].map(([name, tensor]) => [name, float32Values(name, tensor)]),
        ),
      },
      progress: JSON.parse(metadata.progress ?? '{}') as Record<string, unknown>,
    }
  } catch (cause) {
    const what = isUnderstudyError(cause) || cause instanceof Error ? cause.message : String(cause)
    throw new UnderstudyError('model-corrupt', `The checkpoint ${path} is damaged: ${what}`, {
      help: 'Delete it to start this training from its beginning.',
      cause,
    })
  }
}
