/** A test of the mean of losses in [0, 1] that need not be 0 or 1. Numbers in, numbers out. */
import { binomialCdf } from './binomial.ts'

/**
 * Hoeffding–Bentkus p-value for H: mean loss ≥ targetRisk, from `count` independent losses in [0, 1] that sum to
 * `lossSum`: min(exp(−n h₁(r̂ ∧ α, α)), e · P(Bin(n, α) ≤ ⌈n r̂⌉)). Bates et al., "Distribution-free, risk-controlling
 * prediction sets" (2021), section 3.1.
 */
export function hoeffdingBentkus(lossSum: number, count: number, targetRisk: number): number {
  if (count <= 0) return 1
  const mean = Math.min(lossSum / count, targetRisk)
  const hoeffding = Math.exp(-count * relativeEntropy(mean, targetRisk))
  // A sum such as 2.9999999999999996 must not be read as 2 losses, nor 3.0000000000000004 as 4.
  const bentkus = Math.E * binomialCdf(Math.ceil(lossSum - 1e-9), count, targetRisk)
  return Math.min(1, hoeffding, bentkus)
}

/** Upper confidence bound on the mean loss: the largest risk that the test above does not reject at `delta`. */
export function hoeffdingBentkusUpper(lossSum: number, count: number, delta: number): number {
  if (count <= 0 || lossSum >= count) return 1
  let low = lossSum / count
  let high = 1
  for (let step = 0; step < 60; step++) {
    const middle = (low + high) / 2
    if (hoeffdingBentkus(lossSum, count, middle) <= delta) high = middle
    else low = middle
  }
  return high
}

/** Kullback–Leibler divergence between two Bernoulli variables, in nats. */
function relativeEntropy(a: number, b: number): number {
  if (b >= 1) return a >= 1 ? 0 : Number.POSITIVE_INFINITY
  const first = a > 0 ? a * Math.log(a / b) : 0
  const second = a < 1 ? (1 - a) * Math.log((1 - a) / (1 - b)) : 0
  return Math.max(0, first + second)
}
