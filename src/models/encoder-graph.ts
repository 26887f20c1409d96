/** A BERT encoder as a graph of plain ONNX operators, from token numbers to one unit vector. Knows no runtime. */
import {
  Add,
  Cast,
  constant,
  Div,
  emit,
  float32,
  Gather,
  Gelu,
  input,
  LayerNormalization,
  MatMul,
  Max,
  Mul,
  ReduceL2,
  ReduceSum,
  Relu,
  Reshape,
  Shape,
  Slice,
  Softmax,
  Sub,
  scalar,
  Transpose,
  Unsqueeze,
  type Value,
} from '../engine/index.ts'
import type { EncoderConfig } from './encoder-config.ts'
import type { EncoderWeights, LayerWeights, Linear, Norm } from './encoder-weights.ts'

/** Names of what is fed and what comes out. */
export const ENCODER_IDS = 'inputIds'
export const ENCODER_MASK = 'attentionMask'
export const ENCODER_OUTPUT = 'embedding'

/** Far below any attention score, and finite: a row of padding only must not become NaN. */
const MASKED = -1e9

/**
 * The encoder's ONNX file: `inputIds` and `attentionMask` int64 `[batch, length]` in, `embedding`
 * float32 `[batch, hidden]` of unit length out.
 */
export function encoderGraph(
  config: EncoderConfig,
  weights: EncoderWeights,
): Uint8Array<ArrayBuffer> {
  const ids = input(ENCODER_IDS, 'int64', ['batch', 'length'])
  const mask = input(ENCODER_MASK, 'int64', ['batch', 'length'])
  const present = Cast(mask, 'float32') // [batch, length]
  const bias = Mul(Sub(scalar(1), Unsqueeze(present, [1, 2])), scalar(MASKED)) // [batch, 1, 1, length]
  let hidden = embeddings(ids, config, weights) // [batch, length, hidden]
  for (const layer of weights.layers) hidden = transformerLayer(hidden, bias, config, layer)
  const pooled = config.pooling === 'mean' ? meanPool(hidden, present) : firstToken(hidden)
  return emit('encoder', { inputs: [ids, mask], outputs: { [ENCODER_OUTPUT]: normalise(pooled) } })
}

function embeddings(ids: Value, config: EncoderConfig, weights: EncoderWeights): Value {
  const { hiddenSize, vocabularySize, maxPositions } = config
  const words = Gather(float32('words', weights.words, [vocabularySize, hiddenSize]), ids)
  const positions = Slice(float32('positions', weights.positions, [maxPositions, hiddenSize]), {
    axis: 0,
    end: Shape(ids, 1, 2),
  }) // [length, hidden]
  return norm(Add(words, positions), weights.embeddingNorm, config)
}

function transformerLayer(
  x: Value,
  bias: Value,
  config: EncoderConfig,
  layer: LayerWeights,
): Value {
  const attended = linear(attention(x, bias, config, layer), layer.attentionOutput)
  const middle = norm(Add(attended, x), layer.attentionNorm, config)
  const wide = activate(linear(middle, layer.up), config) // [batch, length, intermediate]
  return norm(Add(linear(wide, layer.down), middle), layer.outputNorm, config)
}

/** Scaled dot-product attention over all heads (Vaswani et al. 2017), before its output matrix. */
function attention(x: Value, bias: Value, config: EncoderConfig, layer: LayerWeights): Value {
  const { hiddenSize, headCount } = config
  const headSize = hiddenSize / headCount
  const heads = (part: Linear) => Reshape(linear(x, part), [0, 0, headCount, headSize])
  const query = Transpose(heads(layer.query), [0, 2, 1, 3]) // [batch, heads, length, headSize]
  const key = Transpose(heads(layer.key), [0, 2, 3, 1]) // [batch, heads, headSize, length]
  const value = Transpose(heads(layer.value), [0, 2, 1, 3])
  const scores = Div(MatMul(query, key), scalar(Math.sqrt(headSize)))
  const mixed = MatMul(Softmax(Add(scores, bias)), value)
  return Reshape(Transpose(mixed, [0, 2, 1, 3]), [0, 0, hiddenSize])
}

function activate(x: Value, { activation }: EncoderConfig): Value {
  switch (activation) {
    case 'gelu':
      return Gelu(x)
    case 'gelu-tanh':
      return Gelu(x, 'tanh')
    case 'relu':
      return Relu(x)
  }
}

/** Mean over the tokens that are there. The mask counts at least the special tokens. */
function meanPool(hidden: Value, present: Value): Value {
  const sum = ReduceSum(Mul(hidden, Unsqueeze(present, [2])), [1], { keep: false })
  return Div(sum, Max(ReduceSum(present, [1]), scalar(1e-9)))
}

function firstToken(hidden: Value): Value {
  return Gather(hidden, constant('first', 'int64', BigInt64Array.of(0n), []), 1)
}

function normalise(x: Value): Value {
  return Div(x, Max(ReduceL2(x, [-1]), scalar(1e-12)))
}

function linear(x: Value, { weight, bias }: Linear): Value {
  const to = bias.length
  return Add(
    MatMul(x, float32('weight', weight, [weight.length / to, to])),
    float32('bias', bias, [to]),
  )
}

function norm(
  x: Value,
  { scale, bias }: Norm,
  { hiddenSize, layerNormEpsilon }: EncoderConfig,
): Value {
  return LayerNormalization(
    x,
    float32('scale', scale, [hiddenSize]),
    float32('bias', bias, [hiddenSize]),
    layerNormEpsilon,
  )
}
