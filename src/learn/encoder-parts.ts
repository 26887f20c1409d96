/** The encoder that closed-set specialists share, made ready on a runtime, or the reason why it is not to be had. */
import { basename, isAbsolute } from 'node:path'
import { isUnderstudyError, UnderstudyError } from '../errors.ts'
import {
  CATALOG,
  type ClassifierParts,
  catalogEntry,
  createEncoder,
  type EncoderHandle,
  ensureModel,
  openEncoderFolder,
} from '../models/index.ts'
import { canTrain, type InferenceRuntime } from '../runtimes/index.ts'
import type { JobEvent } from './job-messages.ts'

/** Small, English, Apache-2.0; see docs/decisions. */
export const DEFAULT_ENCODER = 'all-minilm-l6-v2'
const WEIGHTS = 'model.safetensors'

/** What an encoder is called outside: paths of this machine are nobody else's business. */
export function encoderName(encoder: string | null): string {
  return encoder === null ? DEFAULT_ENCODER : basename(encoder)
}

export interface EncoderPartsOptions {
  /** Absolute path of a folder, or a name of the catalog; null: the default. */
  readonly encoder?: string | null
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
export async function openEncoderParts(
  options: EncoderPartsOptions,
): Promise<{ parts: ClassifierParts; notice: string | null }> {
  const name = options.encoder ?? DEFAULT_ENCODER
  let runtime: InferenceRuntime | null = null
  try {
    const folder = isAbsolute(name) ? null : await pull(name, options)
    runtime = await options.openRuntime()
    const training = canTrain(runtime) ? runtime : null
    if (folder !== null) {
      const encoder = await openFromCatalog(name, folder, runtime)
      return { parts: { encoder, runtime, training }, notice: null }
    }
    const { encoder, isTrained } = await openEncoderFolder(name, runtime)
    const notice = isTrained
      ? `The encoder ${encoder.name} was trained on labelled rows: certificates hold only if these were not among the requests that certify.`
      : null
    return { parts: { encoder, runtime, training }, notice }
  } catch (error) {
    await runtime?.close()
    if (!isUnderstudyError(error) || error.code === 'cancelled') throw error
    const notice = `Only reflex specialists were possible: ${error.message}${error.help === undefined ? '' : ` (${error.help})`}`
    return { parts: { encoder: null, runtime: null }, notice }
  }
}

async function pull(
  name: string,
  { signal, onEvent, offline }: EncoderPartsOptions,
): Promise<string> {
  if (!CATALOG.some(entry => entry.name === name && entry.kind === 'encoder')) {
    throw new UnderstudyError('model-unavailable', `There is no encoder ${JSON.stringify(name)}`, {
      help: 'Set encoder to the absolute path of a folder, or to a name of understudy models list.',
    })
  }
  const { dir } = await ensureModel(name, {
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
  return dir
}

function openFromCatalog(
  name: string,
  source: string,
  runtime: InferenceRuntime,
): Promise<EncoderHandle> {
  const weights = catalogEntry(name).files.find(file => file.path === WEIGHTS)
  return createEncoder({
    name,
    source,
    runtime,
    ...(weights && { weightsHash: weights.sha256 }),
  })
}
