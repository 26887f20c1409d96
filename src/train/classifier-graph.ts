/** The graph that fine-tuning differentiates: trained layers, pooling, head and loss. Knows no optimiser and no batches. */
import {
  Gemm,
  type Input,
  input,
  LogSoftmax,
  Mul,
  Neg,
  type ParameterSpec,
  ReduceSum,
  scalar,
  type TrainingGraph,
  type Value,
} from '../engine/index.ts'
import {
  ENCODER_IDS,
  ENCODER_MASK,
  type EncoderConfig,
  embedTokens,
  poolTokens,
  runLayers,
  unitLength,
} from '../models/index.ts'
import type { TrainableEncoder } from './trainable-encoder.ts'

/** Names of what a batch is fed. */
export const BATCH = {
  ids: ENCODER_IDS,
  mask: ENCODER_MASK,
  /** Hidden states before the first trained layer, instead of ids. */
  hidden: 'hidden',
  targets: 'targets',
  weights: 'weights',
} as const

export const HEAD_WEIGHT = 'classifier.weight'
export const HEAD_BIAS = 'classifier.bias'

export interface ClassifierGraphOptions {
  readonly config: EncoderConfig
  readonly encoder: TrainableEncoder
  readonly classCount: number
  /** The head sees the embedding, of length 1, times this. */
  readonly scale: number
  /** Start of the head: weights [hidden, classCount], bias [classCount]. */
  readonly head: { readonly weights: Float32Array; readonly bias: Float32Array }
  /** Feeds hidden states of the frozen layers instead of computing them in every step. */
  readonly isPrefixCached: boolean
}

export interface ClassifierGraph extends TrainingGraph {
  readonly specs: readonly ParameterSpec[]
}

/**
 * `targets` float32 [batch, classCount] are probabilities, `weights` float32 [batch] say how much each row counts; the loss is
 * `Σ weight · cross-entropy`.
 */
export function classifierGraph(options: ClassifierGraphOptions): ClassifierGraph {
  const { config, encoder, classCount, scale, head, isPrefixCached } = options
  const mask = input(BATCH.mask, 'int64', ['batch', 'length'])
  const start = isPrefixCached
    ? input(BATCH.hidden, 'float32', ['batch*length', config.hiddenSize])
    : input(BATCH.ids, 'int64', ['batch', 'length'])
  const lower = isPrefixCached ? start : frozenPart(start, mask, options)
  const layers = encoder.modules.layers.slice(encoder.firstLayer)
  const hidden = runLayers(lower, mask, { config, layers })
  const pooled = poolTokens(hidden, mask, { config, pooler: encoder.modules.pooler }) // [batch, hidden]
  const weight = input(HEAD_WEIGHT, 'float32', [config.hiddenSize, classCount])
  const bias = input(HEAD_BIAS, 'float32', [classCount])
  const logits = Gemm(headInput(pooled, config, scale), weight, bias) // [batch, classCount]
  const targets = input(BATCH.targets, 'float32', ['batch', classCount])
  const weights = input(BATCH.weights, 'float32', ['batch'])
  const specs: ParameterSpec[] = [
    ...encoder.parameters,
    { input: weight, initial: head.weights, isDecayed: true },
    { input: bias, initial: head.bias, isDecayed: false },
  ]
  return {
    name: 'classifier',
    data: [start, mask, targets, weights],
    parameters: [...specs.map(one => one.input), ...encoder.rows.map(one => one.input)],
    loss: crossEntropy(logits, targets, weights),
    specs,
  }
}

/** A pooler's output feeds the head as it is (`BertForSequenceClassification`), other pooling with length `scale`. */
export function headInput(pooled: Value, { pooling }: EncoderConfig, scale: number): Value {
  return pooling === 'pooler' ? pooled : Mul(unitLength(pooled), scalar(scale))
}

function frozenPart(ids: Input, mask: Input, { config, encoder }: ClassifierGraphOptions): Value {
  const layers = encoder.modules.layers.slice(0, encoder.firstLayer)
  return runLayers(embedTokens(ids, encoder.modules), mask, { config, layers })
}

/** `Σ weight · −Σ target · log softmax`: [batch, classes], [batch, classes] and [batch] to a scalar. */
export function crossEntropy(logits: Value, targets: Value, weights: Value): Value {
  const likelihood = ReduceSum(Mul(targets, LogSoftmax(logits)), [-1], { keep: false })
  return Neg(ReduceSum(Mul(weights, likelihood), undefined, { keep: false }))
}
