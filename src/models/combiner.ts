/** Turns the opinions of several parts into one answer and one score. Portable; knows neither texts nor what a part is. */
import { toLogProbabilities } from './reflex.ts'

/** What one part thinks of one input. */
export interface Opinion {
  /** [classCount] */
  readonly logProbabilities: Float64Array
  /** Further numbers that tell how far this part can be trusted here (familiarity, similarity); fixed length per part. */
  readonly signals: readonly number[]
}

/** Weights of a log-linear pool and of the logistic regression that turns its shape into a confidence. */
export interface Combiner {
  /** One per part. */
  readonly poolWeights: readonly number[]
  /** Of `confidenceFeatures`. */
  readonly means: readonly number[]
  readonly deviations: readonly number[]
  readonly coefficients: readonly number[]
  readonly intercept: number
  /** Smallest and largest value of each feature among the rows it was fitted on. */
  readonly lows: readonly number[]
  readonly highs: readonly number[]
}

/** The pooled answer for one input. */
export interface Verdict {
  /** Class with the highest pooled probability. */
  readonly label: number
  /** Confidence in [0, 1] that it is right. */
  readonly score: number
  /** Pooled, [classCount]. */
  readonly logProbabilities: Float64Array
}

const LOGIT_LIMIT = 12

/** Σ weight · log p, normalised: a log-linear pool (Genest & Zidek 1986). */
export function pool(opinions: readonly Opinion[], weights: readonly number[]): Float64Array {
  const pooled = new Float64Array((opinions[0] as Opinion).logProbabilities.length)
  opinions.forEach(({ logProbabilities }, part) => {
    const weight = weights[part] as number
    for (let k = 0; k < pooled.length; k++) {
      pooled[k] = (pooled[k] as number) + weight * (logProbabilities[k] as number)
    }
  })
  return toLogProbabilities(pooled)
}

/** Largest and second largest; the first of equals. `second` is −1 where there is one class. */
export function topTwo(values: Float64Array): { first: number; second: number } {
  let first = 0
  let second = -1
  for (let k = 1; k < values.length; k++) {
    const value = values[k] as number
    if (value > (values[first] as number)) {
      second = first
      first = k
    } else if (second < 0 || value > (values[second] as number)) second = k
  }
  return { first, second }
}

function logit(logProbability: number): number {
  const value = logProbability - Math.log(-Math.expm1(Math.min(logProbability, -1e-12)))
  return Math.max(-LOGIT_LIMIT, Math.min(LOGIT_LIMIT, value))
}

function margin(logProbabilities: Float64Array, first: number, second: number): number {
  if (second < 0) return LOGIT_LIMIT
  const gap = (logProbabilities[first] as number) - (logProbabilities[second] as number)
  return Math.max(-LOGIT_LIMIT, Math.min(LOGIT_LIMIT, gap))
}

/**
 * What the confidence is computed from: log-odds and margin of the pooled answer; for each part its own log-odds of
 * that answer, its margin over the pool's runner-up, whether it would have answered the same; last the parts' signals.
 */
export function confidenceFeatures(pooled: Float64Array, opinions: readonly Opinion[]): number[] {
  const { first, second } = topTwo(pooled)
  const features = [logit(pooled[first] as number), margin(pooled, first, second)]
  for (const { logProbabilities } of opinions) {
    if (opinions.length > 1) {
      const isSame = topTwo(logProbabilities).first === first ? 1 : 0
      features.push(
        logit(logProbabilities[first] as number),
        margin(logProbabilities, first, second),
        isSame,
      )
    }
  }
  for (const { signals } of opinions) features.push(...signals)
  return features
}

/** Logistic regression of `confidenceFeatures`, in [0, 1]. Features count as the nearest value that fitting has seen. */
export function confidence(combiner: Combiner, features: readonly number[]): number {
  const { means, deviations, coefficients, lows, highs } = combiner
  let z = combiner.intercept
  features.forEach((value, i) => {
    const seen = Math.max(lows[i] as number, Math.min(highs[i] as number, value))
    z += ((seen - (means[i] as number)) / (deviations[i] as number)) * (coefficients[i] as number)
  })
  return 1 / (1 + Math.exp(-z))
}

/** How far beyond the range that fitting has seen a signal may lie, as a share of that range and of its size. */
const RANGE_SLACK = 0.25
const SIZE_SLACK = 0.1

/**
 * True for an input unlike everything the combiner was fitted on: a signal (familiarity, length, similarity) far outside its
 * range. What a regression says there is extrapolation.
 */
function isStrange({ lows, highs }: Combiner, opinions: readonly Opinion[]): boolean {
  const signals = opinions.flatMap(opinion => opinion.signals)
  const first = lows.length - signals.length
  return signals.some((value, i) => {
    const low = lows[first + i] as number
    const high = highs[first + i] as number
    const slack = Math.max(RANGE_SLACK * (high - low), SIZE_SLACK * Math.abs(high))
    return value < low - slack || value > high + slack
  })
}

/** Answer and score for one input; the score is 0 for one that is unlike all that was seen. */
export function decideVerdict(combiner: Combiner, opinions: readonly Opinion[]): Verdict {
  const pooled = pool(opinions, combiner.poolWeights)
  const score = isStrange(combiner, opinions)
    ? 0
    : confidence(combiner, confidenceFeatures(pooled, opinions))
  return { label: topTwo(pooled).first, score, logProbabilities: pooled }
}
