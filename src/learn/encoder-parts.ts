/** The encoder that closed-set specialists share, made ready on a runtime, or the reason why it is not to be had. */
import { isUnderstudyError } from '../errors.ts'
import { type ClassifierParts, catalogEntry, createEncoder, ensureModel } from '../models/index.ts'
import { canTrain, type InferenceRuntime } from '../runtimes/index.ts'
import type { JobEvent } from './job-messages.ts'

/** Small, English, Apache-2.0; see docs/decisions. */
export const DEFAULT_ENCODER = 'all-minilm-l6-v2'
const WEIGHTS = 'model.safetensors'

export interface EncoderPartsOptions {
  readonly openRuntime: () => Promise<InferenceRuntime>
  readonly signal?: AbortSignal
  readonly onEvent?: (event: JobEvent) => void
  /** Never touch the network. */
  readonly offline?: boolean
}

/**
 * Downloads the model where it is missing. Without network or native runtime everything still works with the reflex: the
 * notice says what was lost.
 * @throws cancelled
 */
export async function openEncoderParts({
  openRuntime,
  signal,
  onEvent,
  offline,
}: EncoderPartsOptions): Promise<{ parts: ClassifierParts; notice: string | null }> {
  let runtime: InferenceRuntime | null = null
  try {
    const model = await ensureModel(DEFAULT_ENCODER, {
      ...(signal && { signal }),
      ...(offline !== undefined && { offline }),
      onProgress: ({ model, doneBytes, totalBytes }) =>
        onEvent?.({
          stage: 'download',
          done: doneBytes,
          total: totalBytes,
          note: model,
          unit: 'bytes',
        }),
    })
    runtime = await openRuntime()
    const weights = catalogEntry(DEFAULT_ENCODER).files.find(file => file.path === WEIGHTS)
    const encoder = await createEncoder({
      name: DEFAULT_ENCODER,
      source: model.dir,
      runtime,
      ...(weights && { weightsHash: weights.sha256 }),
    })
    const training = canTrain(runtime) ? runtime : null
    return { parts: { encoder, runtime, training }, notice: null }
  } catch (error) {
    await runtime?.close()
    if (!isUnderstudyError(error) || error.code === 'cancelled') throw error
    const notice = `Only reflex specialists were possible: ${error.message}${error.help === undefined ? '' : ` (${error.help})`}`
    return { parts: { encoder: null, runtime: null }, notice }
  }
}
