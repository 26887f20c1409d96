/** Losses as graphs: for one class, for several, and for how rows of a batch lie to each other. Knows no encoder and no head. */
import {
  Add,
  Concat,
  Div,
  FusedMatMul,
  LogSoftmax,
  Max,
  Mul,
  Neg,
  ReduceMean,
  ReduceSum,
  Sub,
  scalar,
  Unsqueeze,
  type Value,
} from '../../engine/index.ts'

/** `Σ weight · −Σ target · log softmax`: [units, classes], [units, classes] and [units] to a scalar. */
export function crossEntropy(logits: Value, targets: Value, weights: Value): Value {
  const likelihood = ReduceSum(Mul(targets, LogSoftmax(logits)), [-1], { keep: false })
  return Neg(ReduceSum(Mul(weights, likelihood), undefined, { keep: false }))
}

/**
 * `Σ weight · mean over classes of −(target · log σ + (1 − target) · log(1 − σ))`, as PyTorch's `BCEWithLogitsLoss`. σ(x) is the
 * softmax of [x, 0], whose closed form neither overflows nor loses its gradient anywhere.
 */
export function binaryCrossEntropy(logits: Value, targets: Value, weights: Value): Value {
  const yes = Unsqueeze(logits, [2]) // [batch, classes, 1]
  const both = LogSoftmax(Concat([yes, Mul(yes, scalar(0))], 2))
  const wanted = Unsqueeze(targets, [2])
  const chances = Concat([wanted, Add(scalar(1), Neg(wanted))], 2)
  const likelihood = ReduceSum(Mul(chances, both), [2], { keep: false }) // [batch, classes]
  const mean = ReduceMean(likelihood, [1], { keep: false })
  return Neg(ReduceSum(Mul(weights, mean), undefined, { keep: false }))
}

export interface ContrastiveLossOptions {
  /** float32 [batch, classes]: probabilities, so that a teacher's soft targets make pairs that belong together in part. */
  readonly targets: Value
  /** float32 [batch]: how much each row counts. */
  readonly weights: Value
  /** float32 [batch, batch]: 1 on the diagonal, 0 elsewhere. */
  readonly self: Value
  /** Cosines are divided by it: the smaller, the more the nearest rows of other classes count. */
  readonly temperature: number
}

/** Far below any cosine over a temperature, and finite: 0 · −Infinity would be no number. */
const MASKED = -1e9

/**
 * Supervised contrastive loss, the mean outside of the logarithm (Khosla et al. 2020, eq. 2): `Σ_i weight_i · −mean over the
 * others p of i's class of log softmax_j≠i(z_i·z_j / temperature)`. Rows alone of their class in the batch pull nothing
 * towards themselves, and are pushed away by the others; rows that share a class in part (soft targets) pull in part.
 * @param embeddings [batch, hidden], of length 1
 */
export function contrastiveLoss(
  embeddings: Value,
  { targets, weights, self, temperature }: ContrastiveLossOptions,
): Value {
  const cosines = FusedMatMul(embeddings, embeddings, { transB: true, alpha: 1 / temperature })
  const others = Add(cosines, Mul(self, scalar(MASKED))) // [batch, batch]
  const sharing = FusedMatMul(targets, targets, { transB: true })
  const partners = Mul(sharing, Sub(scalar(1), self))
  const total = ReduceSum(partners, [1]) // [batch, 1]
  const shares = Div(partners, Max(total, scalar(1)))
  return crossEntropy(others, shares, weights)
}
