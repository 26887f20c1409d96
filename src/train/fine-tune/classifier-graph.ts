/** The graph that fine-tuning differentiates: trained layers, pooling, head and loss. Knows no optimiser and no batches. */
import {
  Add,
  Concat,
  Gemm,
  type Input,
  input,
  int64,
  Mul,
  type ParameterSpec,
  Reshape,
  Shape,
  scalar,
  type TrainingGraph,
  type Value,
} from '../../engine/index.ts'
import {
  ENCODER_IDS,
  ENCODER_MASK,
  type EncoderConfig,
  embedTokens,
  type Layer,
  poolTokens,
  runLayers,
  unitLength,
} from '../../models/index.ts'
import {
  binaryCrossEntropy,
  type ContrastiveLossOptions,
  contrastiveLoss,
  crossEntropy,
} from './losses.ts'
import type { TrainableEncoder } from './trainable-encoder.ts'

/** Names of what a batch is fed. */
export const BATCH = {
  ids: ENCODER_IDS,
  mask: ENCODER_MASK,
  /** Hidden states before the first trained layer, instead of ids. */
  hidden: 'hidden',
  targets: 'targets',
  weights: 'weights',
  /** Which row is which: 1 where a row meets itself. Only where rows of a batch are compared. */
  self: 'self',
  /** What hidden numbers are multiplied by, one for each place where some are dropped: `dropout.0`, `dropout.1`, … */
  dropout: 'dropout',
} as const

export const HEAD_WEIGHT = 'classifier.weight'
export const HEAD_BIAS = 'classifier.bias'

/** What a head decides: one class of a text, any number of them, or one class of each token. */
export type HeadKind = 'single-label' | 'multi-label' | 'tokens'

export interface ClassifierGraphOptions {
  readonly config: EncoderConfig
  readonly encoder: TrainableEncoder
  readonly classCount: number
  /** Default: `single-label`. */
  readonly kind?: HeadKind
  /** Logits are divided by it in the loss, which counts for its square (Hinton et al. 2015); default 1. */
  readonly temperature?: number
  /** The head sees the embedding, of length 1, times this. */
  readonly scale: number
  /** Start of the head: weights [hidden, classCount], bias [classCount]. */
  readonly head: { readonly weights: Float32Array; readonly bias: Float32Array }
  /** Feeds hidden states of the frozen layers instead of computing them in every step. */
  readonly isPrefixCached: boolean
  /** Whether hidden numbers are dropped in the layers that train: by masks that are fed. */
  readonly hasDropout?: boolean
  /** Compares the rows of a batch as well: `share` of the loss is contrastive. Of whole texts with one class only. */
  readonly contrast?: { readonly share: number; readonly temperature: number }
}

export interface ClassifierGraph extends TrainingGraph {
  readonly specs: readonly ParameterSpec[]
  /** Ids or hidden states, and the mask: all that logits need beside the parameters. */
  readonly features: readonly [Input, Input]
  /** Masks of dropout, [batch·length, hidden], with the other data. */
  readonly masks: readonly Input[]
  /** Nothing dropped; [batch, classCount], of tokens [batch, length, classCount]. */
  readonly logits: Value
}

/**
 * `targets` float32 [batch, classCount] are probabilities, `weights` float32 [batch] say how much each row counts; of tokens, both
 * have a second dimension `length`. The loss is `Σ weight · cross-entropy`, for several labels the mean over their binary ones.
 */
export function classifierGraph(options: ClassifierGraphOptions): ClassifierGraph {
  const { config, encoder, classCount, head, isPrefixCached, kind = 'single-label' } = options
  const mask = input(BATCH.mask, 'int64', ['batch', 'length'])
  const start = isPrefixCached
    ? input(BATCH.hidden, 'float32', ['batch*length', config.hiddenSize])
    : input(BATCH.ids, 'int64', ['batch', 'length'])
  const lower = isPrefixCached ? start : frozenPart(start, mask, options)
  const layers = encoder.modules.layers.slice(encoder.firstLayer)
  const masks: Input[] = []
  const drop = (x: Value): Value => {
    const one = input(`${BATCH.dropout}.${masks.length}`, 'float32', [
      'batch*length',
      config.hiddenSize,
    ])
    masks.push(one)
    return Mul(x, one)
  }
  const clean = runLayers(lower, mask, { config, layers })
  const hidden = options.hasDropout ? runLayers(lower, mask, { config, layers, drop }) : clean
  const weight = input(HEAD_WEIGHT, 'float32', [config.hiddenSize, classCount])
  const bias = input(HEAD_BIAS, 'float32', [classCount])
  const headOptions = { ...options, pooler: encoder.modules.pooler, weight, bias }
  const logits = headLogits(clean, mask, headOptions)
  const trained = hidden === clean ? logits : headLogits(hidden, mask, headOptions)
  const units = kind === 'tokens' ? ['batch', 'length'] : ['batch']
  const targets = input(BATCH.targets, 'float32', [...units, classCount])
  const weights = input(BATCH.weights, 'float32', units)
  const specs: ParameterSpec[] = [
    ...encoder.parameters,
    { input: weight, initial: head.weights, isDecayed: true },
    { input: bias, initial: head.bias, isDecayed: false },
  ]
  const headLoss = lossOf(trained, { targets, weights, options })
  const self = input(BATCH.self, 'float32', ['batch', 'batch'])
  const contrast = options.contrast && { ...options.contrast, targets, weights, self }
  return {
    name: 'classifier',
    data: [start, mask, targets, weights, ...(contrast ? [self] : []), ...masks],
    parameters: [...specs.map(one => one.input), ...encoder.rows.map(one => one.input)],
    loss: contrast
      ? withContrast(headLoss, embeddingOf(hidden, mask, options), contrast)
      : headLoss,
    specs,
    features: [start, mask],
    masks,
    logits,
  }
}

export interface HeadLogitsOptions
  extends Pick<ClassifierGraphOptions, 'config' | 'classCount' | 'scale' | 'kind'> {
  readonly pooler: Layer | undefined
  readonly weight: Value
  readonly bias: Value
}

/** Last hidden states `[batch·length, hidden]` to logits [batch, classCount], of tokens [batch, length, classCount]. */
export function headLogits(hidden: Value, mask: Value, options: HeadLogitsOptions): Value {
  const { config, classCount, scale, kind, pooler, weight, bias } = options
  if (kind === 'tokens') {
    const size = Concat([Shape(mask), int64(classCount)], 0)
    return Reshape(Gemm(hidden, weight, bias), size)
  }
  const pooled = poolTokens(hidden, mask, { config, pooler })
  return Gemm(headInput(pooled, config, scale), weight, bias)
}

/** Of length 1, [batch, hidden]. Pooled as for the head: the runtime computes what both have in common once. */
function embeddingOf(
  hidden: Value,
  mask: Value,
  { config, encoder }: ClassifierGraphOptions,
): Value {
  return unitLength(poolTokens(hidden, mask, { config, pooler: encoder.modules.pooler }))
}

/** `(1 − share) · head's loss + share · contrastive loss`. */
function withContrast(
  headLoss: Value,
  embeddings: Value,
  { share, ...options }: ContrastiveLossOptions & { readonly share: number },
): Value {
  const contrast = contrastiveLoss(embeddings, options)
  return Add(Mul(headLoss, scalar(1 - share)), Mul(contrast, scalar(share)))
}

function lossOf(
  logits: Value,
  {
    targets,
    weights,
    options: { kind, temperature = 1 },
  }: { targets: Value; weights: Value; options: ClassifierGraphOptions },
): Value {
  const cooled = temperature === 1 ? logits : Mul(logits, scalar(1 / temperature))
  const loss =
    kind === 'multi-label'
      ? binaryCrossEntropy(cooled, targets, weights)
      : crossEntropy(cooled, targets, weights)
  return temperature === 1 ? loss : Mul(loss, scalar(temperature ** 2))
}

/** A pooler's output feeds the head as it is (`BertForSequenceClassification`), other pooling with length `scale`. */
export function headInput(pooled: Value, { pooling }: EncoderConfig, scale: number): Value {
  return pooling === 'pooler' ? pooled : Mul(unitLength(pooled), scalar(scale))
}

function frozenPart(ids: Input, mask: Input, { config, encoder }: ClassifierGraphOptions): Value {
  const layers = encoder.modules.layers.slice(0, encoder.firstLayer)
  return runLayers(embedTokens(ids, encoder.modules), mask, { config, layers })
}
