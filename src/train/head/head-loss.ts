/** Log loss of a linear softmax over fixed embeddings, and its gradient, as one ONNX graph. Knows no optimiser. */
import {
  Cast,
  constant,
  Equal,
  Exp,
  emit,
  float32,
  Gemm,
  input,
  LogSoftmax,
  Mul,
  Neg,
  ReduceSum,
  Sub,
  type Value,
} from '../../engine/index.ts'

/** Names of what is fed and what comes out. */
export const LOSS_FEEDS = { weights: 'weights', bias: 'bias', rowWeights: 'rowWeights' } as const
export const LOSS_OUTPUTS = {
  loss: 'loss',
  weights: 'weightsGradient',
  bias: 'biasGradient',
} as const

export interface HeadRows {
  /** [count, dimension] */
  readonly embeddings: Float32Array
  /** [count]; −1 is no class, such rows need the weight 0. */
  readonly labels: Int32Array
  /** Probabilities wanted, [count, classCount], where labels do not say it all. */
  readonly targets?: Float32Array
  readonly dimension: number
  readonly classCount: number
}

/**
 * `weights` [dimension, classCount], `bias` [classCount] and `rowWeights` [count, 1] in; the loss summed over the rows
 * by their weights, and its gradients, out. The rows lie in the graph, so that only weights travel.
 */
export function headLossGraph(rows: HeadRows): Uint8Array<ArrayBuffer> {
  const { embeddings, labels, dimension, classCount } = rows
  const count = labels.length
  const x = float32('embeddings', embeddings, [count, dimension])
  const weights = input(LOSS_FEEDS.weights, 'float32', [dimension, classCount])
  const bias = input(LOSS_FEEDS.bias, 'float32', [classCount])
  const rowWeights = input(LOSS_FEEDS.rowWeights, 'float32', [count, 1])
  const wanted = wantedOf(rows)
  const logProbabilities = LogSoftmax(Gemm(x, weights, bias)) // [count, classCount]
  const error = Mul(rowWeights, Sub(Exp(logProbabilities), wanted)) // [count, classCount]
  return emit('head-loss', {
    inputs: [weights, bias, rowWeights],
    outputs: {
      [LOSS_OUTPUTS.loss]: Neg(ReduceSum(Mul(rowWeights, Mul(wanted, logProbabilities)))),
      [LOSS_OUTPUTS.weights]: Gemm(x, error, undefined, { transA: true }),
      [LOSS_OUTPUTS.bias]: ReduceSum(error, [0], { keep: false }),
    },
  })
}

/** [count, classCount] */
function wantedOf({ labels, targets, classCount }: HeadRows): Value {
  const count = labels.length
  if (targets !== undefined) return float32('targets', targets, [count, classCount])
  const label = constant('labels', 'int64', BigInt64Array.from(labels, BigInt), [count, 1])
  const classes = BigInt64Array.from({ length: classCount }, (_, k) => BigInt(k))
  return Cast(Equal(label, constant('classes', 'int64', classes, [1, classCount])), 'float32')
}
