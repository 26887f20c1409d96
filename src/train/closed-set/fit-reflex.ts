/** Fits a reflex: softmax regression on hashed n-grams by AdaGrad. Knows nothing of folds or of other parts. */
import {
  type HashedFeatures,
  quantiseReflex,
  type Reflex,
  weighFeatures,
} from '../../models/index.ts'
import type { Rng } from '../../util/index.ts'

/** Weights of one model at most: 32 MB while fitting, 8 MB as bytes. */
const MAX_WEIGHTS = 8_388_608
const MIN_BITS = 10
const MAX_BITS = 16
/** Rows between two breaths. */
const BREATH_ROWS = 128
const BIAS_RATE = 0.1
/** Classes whose probability is this close to right are not updated: a quarter less work, nothing lost (docs/log.md). */
const NEGLIGIBLE = 1e-3

/** log2 of the number of buckets for so many classes. */
export function reflexBits(classCount: number): number {
  const fitting = Math.floor(Math.log2(MAX_WEIGHTS / Math.max(1, classCount)))
  return Math.max(MIN_BITS, Math.min(MAX_BITS, fitting))
}

export interface ReflexRows {
  /** Hashed with `reflexBits(classCount)`. */
  readonly features: readonly HashedFeatures[]
  /** Class of each row; rows with −1 teach nothing. */
  readonly labels: Int32Array
}

export interface ReflexOptions {
  readonly classCount: number
  readonly rng: Rng
  /** Row numbers to learn from. */
  readonly rows: Int32Array
  readonly epochCount?: number
  readonly learningRate?: number
  /** Awaited every 128 rows; resolves to true to end the fitting with what there is, throws to cancel it. */
  readonly breathe?: () => Promise<boolean>
}

/** Fits a reflex to the given rows; deterministic by `rng`. Without a usable row it is the uniform guess. */
export async function fitReflex(data: ReflexRows, options: ReflexOptions): Promise<Reflex> {
  const { classCount, rng, epochCount = 8, learningRate = 1, breathe } = options
  const bits = reflexBits(classCount)
  const order = options.rows.filter(row => (data.labels[row] as number) >= 0)
  const idf = inverseFrequencies(data, order, bits)
  const learner = createLearner(2 ** bits, classCount, learningRate)
  const values = new Map<number, Float32Array>()
  for (const row of order) {
    values.set(row, weighFeatures(data.features[row] as HashedFeatures, idf))
  }
  let isStopped = false
  for (let epoch = 0; epoch < epochCount && !isStopped; epoch++) {
    rng.shuffle(order)
    for (let at = 0; at < order.length && !isStopped; at++) {
      const row = order[at] as number
      const { buckets } = data.features[row] as HashedFeatures
      learner.step(buckets, values.get(row) as Float32Array, data.labels[row] as number)
      if (at % BREATH_ROWS === BREATH_ROWS - 1) isStopped = (await breathe?.()) ?? false
    }
  }
  return quantiseReflex({ bits, classCount, idf, bias: learner.bias, weights: learner.weights })
}

/** Smoothed inverse document frequency per bucket; 0 where no row has it. */
function inverseFrequencies(data: ReflexRows, rows: Int32Array, bits: number): Float32Array {
  const seen = new Float32Array(2 ** bits)
  for (const row of rows) {
    for (const bucket of (data.features[row] as HashedFeatures).buckets) {
      seen[bucket] = (seen[bucket] as number) + 1
    }
  }
  return seen.map(count => (count === 0 ? 0 : Math.log((1 + rows.length) / (1 + count)) + 1))
}

/**
 * Softmax regression by AdaGrad (Duchi et al. 2011) with one rate per bucket instead of one per weight: as good here,
 * and `classCount` times less memory.
 */
function createLearner(bucketCount: number, classCount: number, learningRate: number) {
  const bias = new Float32Array(classCount)
  const weights = new Float32Array(bucketCount * classCount) // [buckets, classes]
  const biasSquares = new Float32Array(classCount).fill(1e-2)
  const squares = new Float32Array(bucketCount).fill(1e-8)
  const gradient = new Float64Array(classCount)
  const active = new Int32Array(classCount)
  let activeCount = 0

  function forward(buckets: Int32Array, values: Float32Array): void {
    gradient.set(bias)
    for (let i = 0; i < buckets.length; i++) {
      const from = (buckets[i] as number) * classCount
      const value = values[i] as number
      for (let k = 0; k < classCount; k++) {
        gradient[k] = (gradient[k] as number) + value * (weights[from + k] as number)
      }
    }
  }

  /** Turns logits into the gradient of the log loss, lists the classes where it matters; returns its squared length. */
  function toGradient(label: number): number {
    activeCount = 0
    let top = Number.NEGATIVE_INFINITY
    for (let k = 0; k < classCount; k++) top = Math.max(top, gradient[k] as number)
    let sum = 0
    for (let k = 0; k < classCount; k++) sum += Math.exp((gradient[k] as number) - top)
    let size = 0
    for (let k = 0; k < classCount; k++) {
      const g = Math.exp((gradient[k] as number) - top) / sum - (k === label ? 1 : 0)
      gradient[k] = g
      size += g * g
      if (Math.abs(g) > NEGLIGIBLE) active[activeCount++] = k
    }
    return size
  }

  function step(buckets: Int32Array, values: Float32Array, label: number): void {
    forward(buckets, values)
    const size = toGradient(label)
    if (size < 1e-8) return
    for (let k = 0; k < classCount; k++) {
      const g = gradient[k] as number
      const squared = (biasSquares[k] as number) + g * g
      biasSquares[k] = squared
      bias[k] = (bias[k] as number) - (BIAS_RATE * learningRate * g) / Math.sqrt(squared)
    }
    for (let i = 0; i < buckets.length; i++) {
      const bucket = buckets[i] as number
      const value = values[i] as number
      const squared = (squares[bucket] as number) + value * value * size
      squares[bucket] = squared
      const rate = (learningRate * value) / Math.sqrt(squared)
      const from = bucket * classCount
      for (let j = 0; j < activeCount; j++) {
        const k = active[j] as number
        weights[from + k] = (weights[from + k] as number) - rate * (gradient[k] as number)
      }
    }
  }
  return { bias, weights, step }
}
