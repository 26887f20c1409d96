/** An encoder's modules with weights in 8 or 4 bits, for serving. Knows operators and weights, no task and no accuracy. */
import {
  Cast,
  constant,
  DynamicQuantizeMatMul,
  float32,
  Gather,
  GatherBlockQuantized,
  MatMulNBits,
  Mul,
  MultiHeadAttention,
  type Value,
} from '../engine/index.ts'
import { UnderstudyError } from '../errors.ts'
import type { EncoderConfig } from './encoder-config.ts'
import { frozenModules, type Layer } from './encoder-modules.ts'
import type { LAYER_LINEARS } from './encoder-names.ts'
import type { EncoderWeights, LayerWeights, Linear } from './encoder-weights.ts'
import {
  BLOCK_SIZE,
  packBlocks,
  packColumns,
  quantizeColumns,
  quantizeRows,
} from './quantize-weights.ts'
import type { ServingModules } from './serving-graph.ts'

/**
 * - `int8`: products of integers, activations quantised on the way by the range of the whole tensor. A text's result therefore
 *   depends on the texts beside it in a batch: encode one at a time where results must be repeatable.
 * - `int4`: weights in blocks of 32; each row of activations is quantised for itself. Smaller, slower than `int8` where measured.
 */
export type QuantizeKind = 'int8' | 'int4'

/**
 * Modules that compute what `frozenModules` computes, nearly: linear layers and word embeddings quantised, norms, biases and
 * positions in float32, attention in one step.
 * @throws usage-invalid for `int4` where a layer's input is no multiple of 32
 */
export function quantizedModules(
  config: EncoderConfig,
  weights: EncoderWeights,
  { kind }: { readonly kind: QuantizeKind },
): ServingModules {
  if (kind === 'int4') requireBlocks(config)
  const { headCount, maxTokens, hiddenSize } = config
  const frozen = frozenModules(config, weights)
  const linear = kind === 'int8' ? byteLinear : nibbleLinear
  return {
    ...frozen,
    words: kind === 'int8' ? byteWords(weights, config) : nibbleWords(weights, config),
    // Texts are cut to `maxTokens`, so later positions are never read.
    positions: float32('positions', weights.positions.subarray(0, maxTokens * hiddenSize), [
      maxTokens,
      hiddenSize,
    ]),
    layers: frozen.layers.map((layer, i) => ({
      ...layer,
      ...quantizedLinears(weights.layers[i] as LayerWeights, linear),
    })),
    attend: (parts, mask) => MultiHeadAttention(parts, Cast(mask, 'int32'), headCount),
  }
}

function quantizedLinears(
  weights: LayerWeights,
  linear: (one: Linear) => Layer,
): Record<keyof typeof LAYER_LINEARS, Layer> {
  const { query, key, value, attentionOutput, up, down } = weights
  return {
    query: linear(query),
    key: linear(key),
    value: linear(value),
    attentionOutput: linear(attentionOutput),
    up: linear(up),
    down: linear(down),
  }
}

function byteLinear(one: Linear): Layer {
  const { bias, weight } = one
  const { values, scales } = quantizeColumns(one)
  const columns = bias.length
  const matrix = {
    values: constant('weight', 'int8', values, [weight.length / columns, columns]),
    scale: float32('scale', scales, [columns]),
  }
  const vector = float32('bias', bias, [columns])
  return x => DynamicQuantizeMatMul(x, matrix, vector)
}

function nibbleLinear(one: Linear): Layer {
  const { packed, scales } = packColumns(one)
  const columns = one.bias.length
  const rows = one.weight.length / columns
  const matrix = {
    rows,
    columns,
    bits: 4,
    blockSize: BLOCK_SIZE,
    packed: constant('weight', 'uint8', packed, [columns, rows / BLOCK_SIZE, BLOCK_SIZE / 2]),
    scales: float32('scale', scales, [scales.length]),
  } as const
  const bias = float32('bias', one.bias, [columns])
  return x => MatMulNBits(x, matrix, { bias })
}

function byteWords({ words }: EncoderWeights, { vocabularySize, hiddenSize }: EncoderConfig) {
  const { values, scales } = quantizeRows(words, hiddenSize)
  const table = constant('words', 'int8', values, [vocabularySize, hiddenSize])
  const scale = float32('scale', scales, [vocabularySize, 1])
  return (ids: Value) => Mul(Cast(Gather(table, ids), 'float32'), Gather(scale, ids))
}

function nibbleWords({ words }: EncoderWeights, { vocabularySize, hiddenSize }: EncoderConfig) {
  const { packed, scales } = packBlocks(words)
  // Signed nibbles are the unsigned ones less 8: the top bit of each turned over.
  const signed = packed.map(byte => byte ^ 0x88)
  const values = constant('words', 'int4', signed, [vocabularySize, hiddenSize])
  const scale = float32('scale', scales, [vocabularySize, hiddenSize / BLOCK_SIZE])
  return (ids: Value) =>
    GatherBlockQuantized({ values, scale }, ids, { blockSize: BLOCK_SIZE, bits: 4 })
}

function requireBlocks({ hiddenSize, intermediateSize }: EncoderConfig): void {
  const odd = [hiddenSize, intermediateSize].find(size => size % BLOCK_SIZE !== 0)
  if (odd === undefined) return
  throw new UnderstudyError(
    'usage-invalid',
    `A layer with ${odd} inputs cannot be cut into blocks of ${BLOCK_SIZE}, which int4 needs`,
    { help: 'Quantise this model to int8.' },
  )
}
