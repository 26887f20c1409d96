/** The trainable pieces of a BERT encoder as functions from value to value: frozen here, trained or quantised elsewhere. */
import { float32, Gather, Gemm, LayerNormalization, type Value } from '../engine/index.ts'
import type { EncoderConfig } from './encoder-config.ts'
import type { EncoderWeights, LayerWeights, Linear, Norm } from './encoder-weights.ts'

/** From `[tokens, in]` to `[tokens, out]`. */
export type Layer = (x: Value) => Value

export interface LayerModules {
  readonly query: Layer
  readonly key: Layer
  readonly value: Layer
  readonly attentionOutput: Layer
  readonly attentionNorm: Layer
  readonly up: Layer
  readonly down: Layer
  readonly outputNorm: Layer
}

export interface EncoderModules {
  /** From token numbers int64 `[batch, length]` to `[batch, length, hidden]`. */
  readonly words: Layer
  /** `[positions, hidden]`. */
  readonly positions: Value
  readonly embeddingNorm: Layer
  readonly layers: readonly LayerModules[]
  /** The matrix behind the first token, where the encoder has one. */
  readonly pooler?: Layer
}

/** All weights as constants of the graph. */
export function frozenModules(config: EncoderConfig, weights: EncoderWeights): EncoderModules {
  const { hiddenSize, vocabularySize, maxPositions } = config
  const words = float32('words', weights.words, [vocabularySize, hiddenSize])
  return {
    words: ids => Gather(words, ids),
    positions: float32('positions', weights.positions, [maxPositions, hiddenSize]),
    embeddingNorm: frozenNorm(weights.embeddingNorm, config),
    layers: weights.layers.map(layer => layerModules(layer, config)),
    ...(weights.pooler && { pooler: frozenLinear(weights.pooler) }),
  }
}

/** One layer with its weights as constants. */
export function layerModules(layer: LayerWeights, config: EncoderConfig): LayerModules {
  const norm = (one: Norm) => frozenNorm(one, config)
  return {
    query: frozenLinear(layer.query),
    key: frozenLinear(layer.key),
    value: frozenLinear(layer.value),
    attentionOutput: frozenLinear(layer.attentionOutput),
    attentionNorm: norm(layer.attentionNorm),
    up: frozenLinear(layer.up),
    down: frozenLinear(layer.down),
    outputNorm: norm(layer.outputNorm),
  }
}

/** `x·weight + bias` with both as constants. */
export function frozenLinear({ weight, bias }: Linear): Layer {
  const to = bias.length
  const matrix = float32('weight', weight, [weight.length / to, to])
  const vector = float32('bias', bias, [to])
  return x => Gemm(x, matrix, vector)
}

function frozenNorm({ scale, bias }: Norm, { hiddenSize, layerNormEpsilon }: EncoderConfig): Layer {
  const gain = float32('scale', scale, [hiddenSize])
  const shift = float32('bias', bias, [hiddenSize])
  return x => LayerNormalization(x, gain, shift, layerNormEpsilon)
}
