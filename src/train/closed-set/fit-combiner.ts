/** Fits the combiner on out-of-fold opinions: pool weights by maximum likelihood, confidence by logistic regression. */
import {
  type Combiner,
  confidenceFeatures,
  type Opinion,
  pool,
  topTwo,
} from '../../models/index.ts'
import { solveSymmetric } from '../head/linear-algebra.ts'

export interface CombinerRows {
  /** Opinions of every part on every row, [row][part]; out of fold. */
  readonly opinions: readonly (readonly Opinion[])[]
  /** Class of each row; −1 where no class is right. */
  readonly labels: Int32Array
}

/** Opinions read for the pool weights at most (rows × classes): three numbers need no more. */
const MAX_POOL_CELLS = 1_000_000
/** Pull of the pool weights towards equal shares, in rows. */
const POOL_RIDGE = 2
/** Pull of the standardised coefficients towards 0: what two rows may teach is little. */
const CONFIDENCE_RIDGE = 1
const NEWTON_STEPS = 25

/** Fits a combiner to the given rows; every row counts, those with label −1 as never right. Without rows: a coin. */
export function fitCombiner(data: CombinerRows, rows: Int32Array): Combiner {
  const example = data.opinions[0] ?? []
  const poolWeights = fitPool(data, rows, example.length)
  const width = confidenceFeatures(pool(example, poolWeights), example).length
  const features: number[][] = []
  const isRight: number[] = []
  for (const row of rows) {
    const opinions = data.opinions[row] as readonly Opinion[]
    const pooled = pool(opinions, poolWeights)
    features.push(confidenceFeatures(pooled, opinions))
    isRight.push(topTwo(pooled).first === data.labels[row] ? 1 : 0)
  }
  return { poolWeights, ...fitConfidence(features, isRight, width) }
}

/** Newton's method on the log loss of the pool, which is convex in the weights. */
function fitPool(data: CombinerRows, rows: Int32Array, partCount: number): number[] {
  const start = 1 / partCount
  let weights = new Array<number>(partCount).fill(start)
  const taught = rows.filter(row => (data.labels[row] as number) >= 0)
  const classCount = data.opinions[taught[0] ?? 0]?.[0]?.logProbabilities.length ?? 1
  if (classCount < 2) return weights
  const stride = Math.max(1, Math.ceil((taught.length * classCount) / MAX_POOL_CELLS))
  for (let iteration = 0; iteration < NEWTON_STEPS; iteration++) {
    const gradient = weights.map(weight => POOL_RIDGE * (weight - start))
    const hessian = weights.map((_, p) => weights.map((_, q) => (p === q ? POOL_RIDGE : 0)))
    for (let i = 0; i < taught.length; i += stride) {
      const row = taught[i] as number
      addPoolRow(data.opinions[row] as readonly Opinion[], data.labels[row] as number, weights, {
        gradient,
        hessian,
      })
    }
    const step = solveSymmetric(hessian, gradient)
    const scale = Math.min(1, 0.5 / Math.max(...step.map(Math.abs), 1e-12))
    weights = weights.map((weight, p) => Math.max(0, weight - scale * (step[p] as number)))
    if (Math.max(...step.map(Math.abs)) < 1e-6) break
  }
  return weights.some(weight => weight > 0) ? weights : new Array<number>(partCount).fill(start)
}

function addPoolRow(
  opinions: readonly Opinion[],
  label: number,
  weights: readonly number[],
  { gradient, hessian }: { gradient: number[]; hessian: number[][] },
): void {
  const probabilities = pool(opinions, weights).map(Math.exp)
  const means = opinions.map(({ logProbabilities }) => {
    let sum = 0
    for (let k = 0; k < probabilities.length; k++) {
      sum += (probabilities[k] as number) * (logProbabilities[k] as number)
    }
    return sum
  })
  opinions.forEach(({ logProbabilities: own }, p) => {
    gradient[p] = (gradient[p] as number) + (means[p] as number) - (own[label] as number)
    opinions.forEach(({ logProbabilities: other }, q) => {
      if (q > p) return
      let sum = 0
      for (let k = 0; k < probabilities.length; k++) {
        sum += (probabilities[k] as number) * (own[k] as number) * (other[k] as number)
      }
      const covariance = sum - (means[p] as number) * (means[q] as number)
      ;(hessian[p] as number[])[q] = ((hessian[p] as number[])[q] as number) + covariance
      if (q < p) (hessian[q] as number[])[p] = (hessian[p] as number[])[q] as number
    })
  })
}

/**
 * Ridge logistic regression by damped Newton steps on standardised features; undamped ones run away where nearly every
 * row is right (docs/log.md). Half a right and half a wrong pseudo-row keep the intercept finite where all are right.
 */
export function fitConfidence(
  features: readonly (readonly number[])[],
  isRight: readonly number[],
  width = features[0]?.length ?? 0,
): Omit<Combiner, 'poolWeights'> {
  const means = columnMeans(features, width)
  const deviations = columnDeviations(features, means)
  const rows = features.map(row =>
    row.map((value, i) => (value - (means[i] as number)) / (deviations[i] as number)),
  )
  const rightCount = isRight.reduce((sum, right) => sum + right, 0)
  const start = new Array<number>(width + 1).fill(0)
  start[width] = Math.log((rightCount + 0.5) / (rows.length - rightCount + 0.5))
  const lossOf = (candidate: readonly number[]): number => logisticLoss(rows, isRight, candidate)
  let state: { readonly parameters: readonly number[]; readonly loss: number } = {
    parameters: start,
    loss: lossOf(start),
  }
  for (let iteration = 0; iteration < NEWTON_STEPS; iteration++) {
    const next = damped(state, logisticStep(rows, isRight, state.parameters), lossOf)
    const isDone = state.loss - next.loss <= 1e-10 * state.loss
    state = next
    if (isDone) break
  }
  const { parameters } = state
  const column = (i: number): number[] => features.map(row => row[i] as number)
  return {
    means,
    deviations,
    coefficients: parameters.slice(0, width),
    intercept: parameters[width] as number,
    lows: means.map((mean, i) => column(i).reduce((a, b) => Math.min(a, b), mean)),
    highs: means.map((mean, i) => column(i).reduce((a, b) => Math.max(a, b), mean)),
  }
}

/** The first of ever shorter Newton steps that lowers the loss; the start itself when none does. */
function damped(
  start: { readonly parameters: readonly number[]; readonly loss: number },
  step: readonly number[],
  lossOf: (parameters: readonly number[]) => number,
): { readonly parameters: readonly number[]; readonly loss: number } {
  for (let scale = 1; scale > 1e-4; scale /= 2) {
    const parameters = start.parameters.map((value, i) => value - scale * (step[i] as number))
    const loss = lossOf(parameters)
    if (loss < start.loss) return { parameters, loss }
  }
  return start
}

/** The penalised log loss that `logisticStep` is a Newton step of. */
function logisticLoss(
  rows: readonly (readonly number[])[],
  isRight: readonly number[],
  parameters: readonly number[],
): number {
  const width = parameters.length - 1
  const intercept = parameters[width] as number
  // ln(1 + e^x) without overflow.
  const softplus = (x: number): number => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)))
  let loss = 0.5 * softplus(intercept) + 0.5 * softplus(-intercept)
  for (let i = 0; i < width; i++) loss += 0.5 * CONFIDENCE_RIDGE * (parameters[i] as number) ** 2
  rows.forEach((row, n) => {
    let z = intercept
    for (let i = 0; i < width; i++) z += (row[i] as number) * (parameters[i] as number)
    loss += softplus(isRight[n] === 1 ? -z : z)
  })
  return loss
}

function logisticStep(
  rows: readonly (readonly number[])[],
  isRight: readonly number[],
  parameters: readonly number[],
): number[] {
  const width = parameters.length - 1
  const gradient = parameters.map((value, i) => (i < width ? CONFIDENCE_RIDGE * value : 0))
  const hessian = parameters.map((_, i) =>
    parameters.map((_, j) => (i === j && i < width ? CONFIDENCE_RIDGE : 0)),
  )
  const add = (row: readonly number[], target: number, weight: number): void => {
    let z = parameters[width] as number
    for (let i = 0; i < width; i++) z += (row[i] as number) * (parameters[i] as number)
    const p = 1 / (1 + Math.exp(-z))
    const curvature = weight * Math.max(p * (1 - p), 1e-9)
    const error = weight * (p - target)
    for (let i = 0; i <= width; i++) {
      const x = i < width ? (row[i] as number) : 1
      gradient[i] = (gradient[i] as number) + error * x
      const line = hessian[i] as number[]
      for (let j = 0; j <= i; j++) {
        line[j] = (line[j] as number) + curvature * x * (j < width ? (row[j] as number) : 1)
      }
    }
  }
  rows.forEach((row, n) => {
    add(row, isRight[n] as number, 1)
  })
  const average = new Array<number>(width).fill(0)
  add(average, 1, 0.5)
  add(average, 0, 0.5)
  for (let i = 0; i <= width; i++) {
    for (let j = 0; j < i; j++) (hessian[j] as number[])[i] = (hessian[i] as number[])[j] as number
  }
  return solveSymmetric(hessian, gradient)
}

function columnMeans(rows: readonly (readonly number[])[], width: number): number[] {
  const sums = new Array<number>(width).fill(0)
  for (const row of rows)
    row.forEach((value, i) => {
      sums[i] = (sums[i] as number) + value
    })
  return sums.map(sum => sum / Math.max(1, rows.length))
}

/** Standard deviations; 1 for a column that does not vary. */
function columnDeviations(
  rows: readonly (readonly number[])[],
  means: readonly number[],
): number[] {
  const sums = means.map(() => 0)
  for (const row of rows)
    row.forEach((value, i) => {
      sums[i] = (sums[i] as number) + (value - (means[i] as number)) ** 2
    })
  return sums.map(sum => {
    const deviation = Math.sqrt(sum / Math.max(1, rows.length))
    return deviation > 1e-9 ? deviation : 1
  })
}
