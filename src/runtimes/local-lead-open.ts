/** From a GGUF file to a lead that serves it: installs llama.cpp where needed, loads, wraps. Knows no catalog. */
import type { Clock } from '../util/index.ts'
import { checkGguf, openLlamaEngine } from './llama.ts'
import { ensureLlamaRuntime, type LlamaInstallProgress } from './llama-install.ts'
import { createLocalLead } from './local-lead.ts'
import type { Lead } from './types.ts'

export interface OpenLocalLeadOptions {
  readonly modelPath: string
  /** For people and for `/v1/models`, e.g. `smollm2-135m`. */
  readonly modelName: string
  /** The runtime is installed below it on first use. */
  readonly dataDir: string
  readonly threads?: number
  /** Tokens of prompt and answer together. */
  readonly contextSize?: number
  readonly maxWaiting?: number
  readonly offline?: boolean
  readonly signal?: AbortSignal
  readonly onProgress?: (
    progress: LlamaInstallProgress | { readonly stage: 'load'; readonly share: number },
  ) => void
  readonly clock?: Clock
}

/**
 * Opens a local model as a lead; the first time this installs llama.cpp (about 30 MB to fetch).
 * @throws runtime-missing, runtime-failed, model-corrupt, model-unavailable, cancelled
 */
export async function openLocalLead(options: OpenLocalLeadOptions): Promise<Lead> {
  const { modelPath, modelName, onProgress, maxWaiting, ...rest } = options
  await checkGguf(modelPath)
  const { dir } = await ensureLlamaRuntime(options)
  const engine = await openLlamaEngine({
    ...rest,
    runtimeDir: dir,
    modelPath,
    onLoading: share => onProgress?.({ stage: 'load', share }),
  })
  return createLocalLead({
    engine,
    modelName,
    ...(maxWaiting === undefined ? {} : { maxWaiting }),
    ...(options.clock === undefined ? {} : { clock: options.clock }),
  })
}
