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
 * that answer, its margin over the pool's runner-up, whether it would have answered the same; and the parts' signals.
 */
export function confidenceFeatures(pooled: Float64Array, opinions: readonly Opinion[]): number[] {
  const { first, second } = topTwo(pooled)
  const features = [logit(pooled[first] as number), margin(pooled, first, second)]
  for (const { logProbabilities, signals } of opinions) {
    if (opinions.length > 1) {
      const isSame = topTwo(logProbabilities).first === first ? 1 : 0
      features.push(
        logit(logProbabilities[first] as number),
        margin(logProbabilities, first, second),
        isSame,
      )
    }
    features.push(...signals)
  }
  return features
}

/** Logistic regression of `confidenceFeatures`, in [0, 1]. */
export function confidence(combiner: Combiner, features: readonly number[]): number {
  let z = combiner.intercept
  features.forEach((value, i) => {
    const { means, deviations, coefficients } = combiner
    z += ((value - (means[i] as number)) / (deviations[i] as number)) * (coefficients[i] as number)
  })
  return 1 / (1 + Math.exp(-z))
}

/** Answer and score for one input. */
export function decideVerdict(combiner: Combiner, opinions: readonly Opinion[]): Verdict {
  const pooled = pool(opinions, combiner.poolWeights)
  const score = confidence(combiner, confidenceFeatures(pooled, opinions))
  return { label: topTwo(pooled).first, score, logProbabilities: pooled }
}
