/** The binomial distribution and exact bounds on a rate. Numbers in, numbers out; knows no certificates. */
import { betaTails, inverseRegularisedBeta, inverseUpperBeta } from './beta.ts'

/**
 * P(Bin(count, rate) ≤ hits) = I_{1−rate}(count − hits, hits + 1) (DLMF 8.17.5). As a p-value it tests
 * H: risk ≥ rate after seeing `hits` losses in `count`.
 */
export function binomialCdf(hits: number, count: number, rate: number): number {
  const k = Math.floor(hits)
  if (k < 0) return 0
  if (k >= count) return 1
  return betaTails(k + 1, count - k, rate).upper
}

/** P(Bin(count, rate) > hits), with full relative precision where it is small. */
export function binomialSf(hits: number, count: number, rate: number): number {
  const k = Math.floor(hits)
  if (k < 0) return 1
  if (k >= count) return 0
  return betaTails(k + 1, count - k, rate).lower
}

/**
 * Upper confidence bound on a rate: sup{p : P(Bin(count, p) ≤ hits) ≥ delta} (Clopper & Pearson 1934). The true rate
 * exceeds it with probability at most `delta`. 1 when count is 0 or every trial hit.
 */
export function clopperPearsonUpper(hits: number, count: number, delta: number): number {
  if (hits >= count) return 1
  if (hits === 0) return -Math.expm1(Math.log(delta) / count)
  return inverseUpperBeta(hits + 1, count - hits, delta)
}

/** Lower confidence bound on a rate at confidence 1 − delta (Clopper & Pearson 1934); 0 when nothing hit. */
export function clopperPearsonLower(hits: number, count: number, delta: number): number {
  if (hits <= 0) return 0
  if (hits >= count) return Math.exp(Math.log(delta) / count)
  return inverseRegularisedBeta(hits, count - hits + 1, delta)
}

/** Examples needed before a risk below `targetRisk` can be proved with no loss at all: ⌈ln δ / ln(1 − α)⌉. */
export function zeroLossMinimum(targetRisk: number, delta: number): number {
  if (!(targetRisk > 0) || !(delta > 0)) return Number.POSITIVE_INFINITY
  if (targetRisk >= 1 || delta >= 1) return 1
  // Guards against ln ratios a rounding error above an integer.
  return Math.max(1, Math.ceil(Math.log(delta) / Math.log1p(-targetRisk) - 1e-9))
}

/** Largest number of losses in `count` that still proves a risk below `targetRisk` at `delta`; −1: none does. */
export function lossesAllowed(count: number, targetRisk: number, delta: number): number {
  if (binomialCdf(0, count, targetRisk) > delta) return -1
  let low = 0
  let high = Math.min(count - 1, Math.ceil(count * targetRisk))
  while (low < high) {
    const middle = Math.ceil((low + high) / 2)
    if (binomialCdf(middle, count, targetRisk) <= delta) low = middle
    else high = middle - 1
  }
  return low
}
