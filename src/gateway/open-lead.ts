/** The lead as the operator names it: an address, a recording, or a model on this machine. */
import { basename } from 'node:path'
import { UnderstudyError } from '../errors.ts'
import { ensureModel } from '../models/index.ts'
import { type Lead, openLocalLead, openRemoteLead, openReplayLead } from '../runtimes/index.ts'

/** What opening is busy with: `total` 0 where it is not known. */
export interface OpenProgress {
  readonly stage: string
  readonly done: number
  readonly total: number
  readonly unit?: 'bytes'
}

export interface OpenLeadOptions {
  readonly key: string | null
  /** Where a local model's runtime is installed. */
  readonly dataDir: string
  readonly env: Readonly<Record<string, string | undefined>>
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: OpenProgress) => void
}

/**
 * Opens `URL`, `replay:FILE` or `local:MODEL`, where MODEL is a name of the catalog or a GGUF file.
 * @throws usage-invalid, file-unreadable, not-found, model-unavailable, model-corrupt, runtime-missing, runtime-failed, cancelled
 */
export async function openLead(spec: string, options: OpenLeadOptions): Promise<Lead> {
  if (spec.startsWith('replay:')) return openReplayLead({ file: spec.slice('replay:'.length) })
  if (spec.startsWith('local:')) return openLocal(spec.slice('local:'.length), options)
  return openRemoteLead({ url: spec, key: options.key })
}

async function openLocal(model: string, options: OpenLeadOptions): Promise<Lead> {
  const { dataDir, env, signal, onProgress } = options
  const { modelPath, modelName } = await localModel(model, options)
  return openLocalLead({
    modelPath,
    modelName,
    dataDir,
    ...(env.UNDERSTUDY_OFFLINE === '1' ? { offline: true } : {}),
    ...(signal === undefined ? {} : { signal }),
    onProgress: progress =>
      onProgress?.(
        progress.stage === 'load'
          ? { stage: `loading ${modelName}`, done: progress.share, total: 1 }
          : { stage: `installing llama.cpp: ${progress.stage}`, done: 0, total: 0 },
      ),
  })
}

async function localModel(
  model: string,
  { env, signal, onProgress }: Pick<OpenLeadOptions, 'env' | 'signal' | 'onProgress'>,
): Promise<{ modelPath: string; modelName: string }> {
  if (/\.gguf$/iu.test(model)) {
    return { modelPath: model, modelName: basename(model).replace(/\.gguf$/iu, '') }
  }
  const { files } = await ensureModel(model, {
    env,
    ...(signal === undefined ? {} : { signal }),
    onProgress: ({ doneBytes, totalBytes }) =>
      onProgress?.({
        stage: `fetching ${model}`,
        done: doneBytes,
        total: totalBytes,
        unit: 'bytes',
      }),
  })
  const modelPath = Object.values(files).find(path => /\.gguf$/iu.test(path))
  if (modelPath === undefined) {
    throw new UnderstudyError('usage-invalid', `The model '${model}' is none that writes text.`, {
      help: 'Use one of kind slm in `understudy models list`, or the path of a GGUF file.',
    })
  }
  return { modelPath, modelName: model }
}
