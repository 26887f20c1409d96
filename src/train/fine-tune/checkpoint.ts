/** A training run's state as one file: written atomically, so that a kill leaves the old one or the new one. */
import { type FileHandle, open } from 'node:fs/promises'
import type { TrainerState } from '../../engine/index.ts'
import { isUnderstudyError, UnderstudyError } from '../../errors.ts'
import {
  float32Tensor,
  float32Values,
  readSafetensorsHead,
  safetensorsHeadBytes,
  safetensorsParts,
} from '../../formats/index.ts'
import { readRange } from '../../platform/index.ts'
import { unreadable, writeState } from '../state-folder.ts'

export interface Checkpoint {
  /** Names the run: recipe, weights and data. A checkpoint of another run is not used. */
  readonly runId: string
  readonly state: TrainerState
  /** Losses of the epochs so far, and whatever else the loop needs; JSON. */
  readonly progress: Readonly<Record<string, unknown>>
}

/** Atomic: rename after fsync. The state is not copied, and must not change until this is done: it may take gigabytes. */
export async function writeCheckpoint(path: string, checkpoint: Checkpoint): Promise<void> {
  const { runId, state, progress } = checkpoint
  const tensors = new Map(
    Object.entries(state.buffers).map(([name, data]) => [name, float32Tensor(data, [data.length])]),
  )
  const metadata = { runId, step: String(state.step), progress: JSON.stringify(progress) }
  await writeState(path, safetensorsParts(tensors, metadata))
}

/**
 * Null where there is none, or that of another run. Each buffer is read into an array of its own: together they may be larger
 * than one array can be.
 * @throws model-corrupt when the file is damaged, file-unreadable
 */
export async function readCheckpoint(
  path: string,
  runId: string,
  { chunkBytes }: { readonly chunkBytes?: number | undefined } = {},
): Promise<Checkpoint | null> {
  let file: FileHandle | undefined
  try {
    file = await open(path)
    return await readOpen(file, { runId, chunkBytes })
  } catch (cause) {
    const { code, syscall } = cause as NodeJS.ErrnoException
    if (code === 'ENOENT') return null
    throw syscall === undefined ? damaged(path, cause) : unreadable(path, cause)
  } finally {
    await file?.close()
  }
}

async function readOpen(
  file: FileHandle,
  { runId, chunkBytes }: { readonly runId: string; readonly chunkBytes: number | undefined },
): Promise<Checkpoint | null> {
  const { size } = await file.stat()
  const read = async (begin: number, end: number): Promise<Uint8Array> => {
    const bytes = new Uint8Array(end - begin)
    const count = await readRange(file, bytes, { position: begin, chunkBytes })
    if (count < bytes.byteLength) throw new Error('it ends while it is read')
    return bytes
  }
  const headBytes = safetensorsHeadBytes(await read(0, Math.min(8, size)), size)
  const { spans, metadata } = readSafetensorsHead(await read(0, headBytes), size)
  if (metadata.runId !== runId) return null
  const step = Number(metadata.step)
  if (!Number.isSafeInteger(step) || step < 0) throw new Error(`its step is ${metadata.step}`)
  const progress = JSON.parse(metadata.progress ?? '{}') as Record<string, unknown>
  const buffers = new Map<string, Float32Array>()
  for (const [name, { type, shape, begin, end }] of spans) {
    buffers.set(name, float32Values(name, { type, shape, bytes: await read(begin, end) }))
  }
  return { runId, state: { step, buffers: Object.fromEntries(buffers) }, progress }
}

function damaged(path: string, cause: unknown): UnderstudyError {
  const what = isUnderstudyError(cause) || cause instanceof Error ? cause.message : String(cause)
  return new UnderstudyError('model-corrupt', `The checkpoint ${path} is damaged: ${what}`, {
    help: 'Delete it to start this training from its beginning.',
    cause,
  })
}
