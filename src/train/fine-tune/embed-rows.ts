/** Embeddings of rows by the frozen encoder, from the cached states of its lower layers where there are any. */
import { emit, input, type TrainingRuntime } from '../../engine/index.ts'
import {
  type EncoderConfig,
  type EncoderModules,
  embedTokens,
  padBatch,
  poolTokens,
  runLayers,
  unitLength,
} from '../../models/index.ts'
import { createRng, newId } from '../../util/index.ts'
import type { Pace } from '../pace.ts'
import { BATCH } from './classifier-graph.ts'
import type { PrefixCache } from './prefix-cache.ts'
import { planEpoch } from './training-batches.ts'

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

const BATCH_TOKENS = 2048
const MAX_ROWS = 64

/** [rows, hidden], of length 1 except behind a pooler. @throws cancelled, runtime-failed */
export async function embedRows(options: EmbedRowsOptions): Promise<Float32Array> {
  const { config, sequences, prefix, runtime, pace, onProgress } = options
  const { hiddenSize } = config
  const session = newId('job')
  await runtime.load(session, embeddingGraph(options))
  const embeddings = new Float32Array(sequences.length * hiddenSize)
  const plan = planEpoch(
    { lengths: sequences.map(one => one.length), batchTokens: BATCH_TOKENS, maxRows: MAX_ROWS },
    createRng('embed'),
  )
  let doneCount = 0
  try {
    for (const rows of plan) {
      await pace.breathe()
      const picked = rows.map(row => sequences[row] as readonly number[])
      const { ids, mask } = padBatch(picked, 0)
      const start =
        prefix === null
          ? { [BATCH.ids]: ids }
          : { [BATCH.hidden]: prefix.cache.batch(rows, ids.dims[1] as number) }
      const data = new Float32Array(rows.length * hiddenSize)
      await runtime.runInto(
        session,
        { ...start, [BATCH.mask]: mask },
        { embedding: { type: 'float32', dims: [rows.length, hiddenSize], data } },
      )
      rows.forEach((row, i) => {
        embeddings.set(data.subarray(i * hiddenSize, (i + 1) * hiddenSize), row * hiddenSize)
      })
      doneCount += rows.length
      onProgress?.(doneCount)
    }
  } finally {
    await runtime.unload(session)
  }
  return embeddings
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
