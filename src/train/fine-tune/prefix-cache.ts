/** Hidden states of the frozen lower layers, computed once per row and kept for all epochs. Knows no training. */
import { emit, input, type TensorData, type TrainingRuntime } from '../../engine/index.ts'
import {
  ENCODER_IDS,
  ENCODER_MASK,
  type EncoderConfig,
  type EncoderModules,
  embedTokens,
  padBatch,
  runLayers,
} from '../../models/index.ts'
import { createRng, newId } from '../../util/index.ts'
import type { Pace } from '../pace.ts'
import { planEpoch } from './training-batches.ts'

export interface PrefixOptions {
  readonly config: EncoderConfig
  readonly modules: EncoderModules
  /** Layers below this one are computed. */
  readonly layerCount: number
  readonly sequences: readonly (readonly number[])[]
  readonly runtime: TrainingRuntime
  readonly pace: Pace
  readonly onProgress?: (doneCount: number) => void
}

export interface PrefixCache {
  /** Hidden states of these rows, padded with zeros, float32 [rows·length, hidden]. */
  batch(rows: readonly number[], length: number): TensorData
}

const BATCH_TOKENS = 2048
const MAX_ROWS = 64

/** Bytes that a cache of these sequences takes. */
export function prefixBytes(sequences: readonly (readonly number[])[], hiddenSize: number): number {
  return 4 * hiddenSize * sequences.reduce((sum, one) => sum + one.length, 0)
}

/** @throws cancelled, runtime-failed */
export async function computePrefix(options: PrefixOptions): Promise<PrefixCache> {
  const { config, sequences, runtime, pace, onProgress } = options
  const { hiddenSize } = config
  const starts = new Float64Array(sequences.length)
  sequences.reduce((at, one, row) => {
    starts[row] = at
    return at + one.length
  }, 0)
  const states = new Float32Array(prefixBytes(sequences, hiddenSize) / 4)
  const lengths = sequences.map(one => one.length)
  const plan = planEpoch(
    { lengths, batchTokens: BATCH_TOKENS, maxRows: MAX_ROWS },
    createRng('prefix'),
  )
  let doneCount = 0
  const session = newId('job')
  await runtime.load(session, prefixGraph(options))
  try {
    for (const rows of plan) {
      await pace.breathe()
      const { ids, mask } = padBatch(
        rows.map(row => sequences[row] as readonly number[]),
        0,
      )
      const [count, length] = ids.dims as [number, number]
      const out = new Float32Array(count * length * hiddenSize)
      await runtime.runInto(
        session,
        { [ENCODER_IDS]: ids, [ENCODER_MASK]: mask },
        { hidden: { type: 'float32', dims: [count * length, hiddenSize], data: out } },
      )
      rows.forEach((row, i) => {
        const from = i * length * hiddenSize
        const size = (lengths[row] as number) * hiddenSize
        states.set(out.subarray(from, from + size), (starts[row] as number) * hiddenSize)
      })
      doneCount += rows.length
      onProgress?.(doneCount)
    }
  } finally {
    await runtime.unload(session)
  }
  return {
    batch(rows, length) {
      const data = new Float32Array(rows.length * length * hiddenSize)
      rows.forEach((row, i) => {
        const from = (starts[row] as number) * hiddenSize
        const size = (lengths[row] as number) * hiddenSize
        data.set(states.subarray(from, from + size), i * length * hiddenSize)
      })
      return { type: 'float32', dims: [rows.length * length, hiddenSize], data }
    },
  }
}

function prefixGraph({ config, modules, layerCount }: PrefixOptions): Uint8Array<ArrayBuffer> {
  const ids = input(ENCODER_IDS, 'int64', ['batch', 'length'])
  const mask = input(ENCODER_MASK, 'int64', ['batch', 'length'])
  const layers = modules.layers.slice(0, layerCount)
  const hidden = runLayers(embedTokens(ids, modules), mask, { config, layers })
  return emit('prefix', { inputs: [ids, mask], outputs: { hidden } })
}
