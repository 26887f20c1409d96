/** A BERT encoder as a graph of plain ONNX operators, from token numbers to one unit vector. Knows no runtime and no weights. */

import {
  Add,
  Cast,
  Concat,
  constant,
  Div,
  emit,
  FusedMatMul,
  Gather,
  Gelu,
  input,
  int64,
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
  Tanh,
  Transpose,
  Unsqueeze,
  type Value,
} from '../engine/index.ts'
import { assert } from '../errors.ts'
import type { EncoderConfig } from './encoder-config.ts'
import {
  type EncoderModules,
  frozenLinear,
  frozenModules,
  type Layer,
  type LayerModules,
} from './encoder-modules.ts'
import type { EncoderWeights, Linear } from './encoder-weights.ts'

/** Names of what is fed and what comes out. */
export const ENCODER_IDS = 'inputIds'
export const ENCODER_MASK = 'attentionMask'
export const ENCODER_OUTPUT = 'embedding'

/** Far below any attention score, and finite: a row of padding only must not become NaN. */
const MASKED = -1e9

/** Name of the hidden states `[batch·length, hidden]` that layer `layer` starts from, 0 being the first. */
export const hiddenOutput = (layer: number) => `hidden:${layer}`

/** A linear layer that gives the logits of a graph. */
export interface GraphClassifier {
  readonly linear: Linear
  /** Whether it stands on the pooled vector at unit length, or on the vector as it is. */
  readonly isNormalised: boolean
}

/** Name of the logits `[batch, labels]` of a graph with a classifier. */
export const CLASSIFIER_LOGITS = 'logits'

/**
 * The encoder's ONNX file: `inputIds` and `attentionMask` int64 `[batch, length]` in, `embedding` float32 `[batch, hidden]` of
 * unit length out. Without a classifier the hidden states between layers come out too, for what stands on the lower ones; with
 * one the `logits`.
 */
export function encoderGraph(
  config: EncoderConfig,
  weights: EncoderWeights,
  classifier?: GraphClassifier,
): Uint8Array<ArrayBuffer> {
  const ids = input(ENCODER_IDS, 'int64', ['batch', 'length'])
  const mask = input(ENCODER_MASK, 'int64', ['batch', 'length'])
  const modules = frozenModules(config, weights)
  const outputs: Record<string, Value> = {}
  let hidden = embedTokens(ids, modules)
  for (const [i, layer] of modules.layers.entries()) {
    if (classifier === undefined) outputs[hiddenOutput(i)] = hidden
    hidden = runLayers(hidden, mask, { config, layers: [layer] })
  }
  const pooled = poolTokens(hidden, mask, { config, pooler: modules.pooler })
  return emit('encoder', {
    inputs: [ids, mask],
    outputs: { ...outputs, ...encoderOutputs(pooled, classifier) },
  })
}

/** What comes out over the pooled vectors `[batch, hidden]`: the embedding, and logits where there is a classifier. */
export function encoderOutputs(
  pooled: Value,
  classifier: GraphClassifier | undefined,
): Record<string, Value> {
  const embedding = unitLength(pooled)
  if (classifier === undefined) return { [ENCODER_OUTPUT]: embedding }
  const { linear, isNormalised } = classifier
  const logits = frozenLinear(linear)(isNormalised ? embedding : pooled)
  return { [ENCODER_OUTPUT]: embedding, [CLASSIFIER_LOGITS]: logits }
}

/** Token numbers int64 `[batch, length]` to hidden states `[batch·length, hidden]` before the first layer. */
export function embedTokens(ids: Value, modules: EncoderModules): Value {
  const words = modules.words(ids) // [batch, length, hidden]
  const [positionCount, hiddenSize] = modules.positions.shape as [number, number]
  const all = constant('position', 'int64', BigInt64Array.from(count(positionCount)), [
    positionCount,
  ])
  const positions = Gather(modules.positions, Slice(all, { axis: 0, end: Shape(ids, 1, 2) })) // [length, hidden]
  return modules.embeddingNorm(Reshape(Add(words, positions), [-1, hiddenSize]))
}

/** 0n, 1n, … */
function count(length: number): bigint[] {
  return Array.from({ length }, (_, i) => BigInt(i))
}

/** Hidden states `[batch·length, hidden]` through some layers; `mask` int64 `[batch, length]`. */
export function runLayers(
  hidden: Value,
  mask: Value,
  {
    config,
    layers,
    drop = x => x,
  }: {
    readonly config: EncoderConfig
    readonly layers: readonly LayerModules[]
    /** What happens to the output of attention and of feed-forward before it is added: dropout while training. */
    readonly drop?: (x: Value) => Value
  },
): Value {
  const absent = Sub(scalar(1), Unsqueeze(Cast(mask, 'float32'), [1, 2]))
  const bias = Mul(absent, scalar(MASKED)) // [batch, 1, 1, length]
  const context = { mask, bias, config, drop }
  return layers.reduce((x, layer) => transformerLayer(x, { ...context, layer }), hidden)
}

/** Hidden states `[batch·length, hidden]` to one vector per text, `[batch, hidden]`, as the configuration pools. */
export function poolTokens(
  hidden: Value,
  mask: Value,
  { config, pooler }: { readonly config: EncoderConfig; readonly pooler?: Layer | undefined },
): Value {
  const tokens = Reshape(hidden, Concat([Shape(mask), int64(config.hiddenSize)], 0))
  if (config.pooling === 'mean') return meanPool(tokens, mask)
  const first = firstToken(tokens)
  if (config.pooling === 'cls') return first
  assert(pooler !== undefined, 'an encoder that pools through its pooler has one')
  return Tanh(pooler(first))
}

/** Rows `[batch, hidden]` divided by their lengths. */
export function unitLength(x: Value): Value {
  return Div(x, Max(ReduceL2(x, [-1]), scalar(1e-12)))
}

interface LayerContext {
  readonly mask: Value
  readonly bias: Value
  readonly config: EncoderConfig
  readonly layer: LayerModules
  readonly drop: (x: Value) => Value
}

function transformerLayer(x: Value, context: LayerContext): Value {
  const { layer, config, drop } = context
  const attended = drop(layer.attentionOutput(attention(x, context)))
  const middle = layer.attentionNorm(Add(attended, x))
  const wide = activate(layer.up(middle), config) // [tokens, intermediate]
  return layer.outputNorm(Add(drop(layer.down(wide)), middle))
}

/** Scaled dot-product attention over all heads (Vaswani et al. 2017), before its output matrix. */
function attention(x: Value, { mask, bias, config, layer }: LayerContext): Value {
  const { hiddenSize, headCount } = config
  const headSize = hiddenSize / headCount
  const split = Concat([Shape(mask), int64(headCount, headSize)], 0)
  // [batch, heads, length, headSize]
  const heads = (part: Value) => Transpose(Reshape(part, split), [0, 2, 1, 3])
  const [query, key, value] = [layer.query(x), layer.key(x), layer.value(x)].map(heads) as [
    Value,
    Value,
    Value,
  ]
  const scores = FusedMatMul(query, key, { transB: true, alpha: 1 / Math.sqrt(headSize) })
  const mixed = MatMul(Softmax(Add(scores, bias)), value)
  return Reshape(Transpose(mixed, [0, 2, 1, 3]), [-1, hiddenSize])
}

/** The function between the two wide matrices. */
export function activate(x: Value, { activation }: EncoderConfig): Value {
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
function meanPool(tokens: Value, mask: Value): Value {
  const present = Cast(mask, 'float32') // [batch, length]
  const sum = ReduceSum(Mul(tokens, Unsqueeze(present, [2])), [1], { keep: false })
  return Div(sum, Max(ReduceSum(present, [1]), scalar(1e-9)))
}

function firstToken(tokens: Value): Value {
  return Gather(tokens, constant('first', 'int64', BigInt64Array.of(0n), []), 1)
}
