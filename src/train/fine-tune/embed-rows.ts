/** Embeddings of rows by the frozen encoder, from the cached states of its lower layers where there are any. */
import { emit, input, type TrainingRuntime } from '../../engine/index.ts'
import {
  type EncoderConfig,
  type EncoderModules,
  embedTokens,
  poolTokens,
  runLayers,
  unitLength,
} from '../../models/index.ts'
import { newId } from '../../util/index.ts'
import type { Pace } from '../pace.ts'
import { BATCH } from './classifier-graph.ts'
import { runLogits } from './forward.ts'
import type { PrefixCache } from './prefix-cache.ts'

export interface EmbedRowsOptions {
  readonly config: EncoderConfig
  readonly modules: EncoderModules
  readonly sequences: readonly (readonly number[])[]
  /** States before layer `layerCount`. */
  readonly prefix: { readonly cache: PrefixCache; readonly layerCount: number } | null
  readonly runtime: TrainingRuntime
  readonly pace: Pace
  readonly onProgress?: (doneCount: number) => void
}

/** [rows, hidden], of length 1 except behind a pooler. @throws cancelled, runtime-failed */
export async function embedRows(options: EmbedRowsOptions): Promise<Float32Array> {
  const { config, sequences, prefix, runtime, pace, onProgress } = options
  const session = newId('job')
  await runtime.load(session, embeddingGraph(options))
  try {
    return await runLogits(
      session,
      { sequences, kind: 'single-label' },
      {
        classCount: config.hiddenSize,
        runtime,
        prefix: prefix?.cache ?? null,
        pace,
        ...(onProgress && { onProgress }),
        output: 'embedding',
      },
    )
  } finally {
    await runtime.unload(session)
  }
}

function embeddingGraph({ config, modules, prefix }: EmbedRowsOptions): Uint8Array<ArrayBuffer> {
  const mask = input(BATCH.mask, 'int64', ['batch', 'length'])
  const start =
    prefix === null
      ? input(BATCH.ids, 'int64', ['batch', 'length'])
      : input(BATCH.hidden, 'float32', ['batch*length', config.hiddenSize])
  const lower = prefix === null ? embedTokens(start, modules) : start
  const layers = modules.layers.slice(prefix?.layerCount ?? 0)
  const hidden = runLayers(lower, mask, { config, layers })
  const pooled = poolTokens(hidden, mask, { config, pooler: modules.pooler })
  const embedding = config.pooling === 'pooler' ? pooled : unitLength(pooled)
  return emit('embed', { inputs: [start, mask], outputs: { embedding } })
}
