/** The regularised incomplete beta function and its inverse. Numbers in, numbers out. */
import { stirlingError } from './gamma.ts'

const TWO_PI = 2 * Math.PI
const TINY = 1e-300
const MAX_STEPS = 200_000

/** Both tails of a Beta(a, b) variable at x; the smaller one carries full relative precision. */
export interface Tails {
  /** I_x(a, b) = P(X ≤ x). */
  readonly lower: number
  /** 1 − I_x(a, b). */
  readonly upper: number
}

/**
 * Both tails of Beta(a, b) at x, a > 0, b > 0. `complement` is 1 − x, given separately so that it may be tiny.
 * Continued fraction DLMF 8.17.22, evaluated by Lentz's method; prefactor by Loader's deviance form.
 */
export function betaTails(a: number, b: number, x: number, complement = 1 - x): Tails {
  if (!(a > 0) || !(b > 0) || Number.isNaN(x)) return { lower: Number.NaN, upper: Number.NaN }
  if (x <= 0) return { lower: 0, upper: 1 }
  if (complement <= 0) return { lower: 1, upper: 0 }
  if (x < (a + 1) / (a + b + 2)) {
    const lower = Math.min(1, lowerTail(a, b, x, complement))
    return { lower, upper: 1 - lower }
  }
  const upper = Math.min(1, lowerTail(b, a, complement, x))
  return { lower: 1 - upper, upper }
}

/** I_x(a, b), the distribution function of Beta(a, b) (DLMF 8.17.2). */
export function regularisedBeta(a: number, b: number, x: number): number {
  return betaTails(a, b, x).lower
}

/** The x with I_x(a, b) = `probability`; NaN outside 0 ≤ probability ≤ 1. */
export function inverseRegularisedBeta(a: number, b: number, probability: number): number {
  if (!(a > 0) || !(b > 0) || !(probability >= 0) || !(probability <= 1)) return Number.NaN
  if (probability === 0) return 0
  if (probability === 1) return 1
  return bisect(x => betaTails(a, b, x).lower < probability)
}

/** The x with 1 − I_x(a, b) = `tail`: as above, for tails so small that 1 − tail would lose their digits. */
export function inverseUpperBeta(a: number, b: number, tail: number): number {
  if (!(a > 0) || !(b > 0) || !(tail >= 0) || !(tail <= 1)) return Number.NaN
  if (tail === 0) return 1
  if (tail === 1) return 0
  return bisect(x => betaTails(a, b, x).upper > tail)
}

/** P(Bin(count, p) = hits) for real hits in [0, count]; `complement` is 1 − p. Loader (2000), saddle-point form. */
export function binomialDensity(
  hits: number,
  count: number,
  p: number,
  complement: number = 1 - p,
): number {
  if (hits < 0 || hits > count) return 0
  if (p <= 0) return hits === 0 ? 1 : 0
  if (complement <= 0) return hits === count ? 1 : 0
  if (hits === 0) return Math.exp(count * logOf(complement, p))
  if (hits === count) return Math.exp(count * logOf(p, complement))
  const misses = count - hits
  const exponent =
    stirlingError(count) -
    stirlingError(hits) -
    stirlingError(misses) -
    deviance(hits, count * p) -
    deviance(misses, count * complement)
  return Math.exp(exponent) * Math.sqrt(count / (TWO_PI * hits * misses))
}

/** ln x, through 1 − x where that is the smaller of the two. */
function logOf(x: number, complement: number): number {
  return complement < 0.5 ? Math.log1p(-complement) : Math.log(x)
}

/** x ln(x / m) + m − x without cancellation for x near m (Loader 2000, bd0). */
function deviance(x: number, m: number): number {
  if (Math.abs(x - m) < 0.1 * (x + m)) {
    const v = (x - m) / (x + m)
    let sum = (x - m) * v
    let term = 2 * x * v
    const square = v * v
    for (let j = 1; j < 1000; j++) {
      term *= square
      const next = sum + term / (2 * j + 1)
      if (next === sum) return next
      sum = next
    }
    return sum
  }
  return x * Math.log(x / m) + m - x
}

/**
 * Where in (0, 1) a monotone statement turns false: bisection, in ratio while the bracket spans orders of magnitude,
 * until two neighbouring numbers remain.
 */
function bisect(isBelow: (x: number) => boolean): number {
  let low = 0
  let high = 1
  for (let step = 0; step < 2000 && high - low > 1e-16 * high; step++) {
    const middle = low > 0 && high > 2 * low ? Math.sqrt(low) * Math.sqrt(high) : (low + high) / 2
    if (middle <= low || middle >= high || middle < TINY) break
    if (isBelow(middle)) low = middle
    else high = middle
  }
  return (low + high) / 2
}

function lowerTail(a: number, b: number, x: number, complement: number): number {
  // x^a (1−x)^b Γ(a+b) / (Γ(a+1) Γ(b)) as a binomial density, which stays exact for a + b in the millions.
  const prefix = (binomialDensity(a, a + b, x, complement) * b) / (a + b)
  return prefix * lentz(a, b, x)
}

function lentz(a: number, b: number, x: number): number {
  let c = 1
  let d = guard(1 - ((a + b) * x) / (a + 1))
  d = 1 / d
  let fraction = d
  for (let m = 1; m <= MAX_STEPS; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m))
    d = 1 / guard(1 + even * d)
    c = guard(1 + even / c)
    fraction *= d * c
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1))
    d = 1 / guard(1 + odd * d)
    c = guard(1 + odd / c)
    const step = d * c
    fraction *= step
    if (Math.abs(step - 1) < 3e-16) break
  }
  return fraction
}

function guard(value: number): number {
  return Math.abs(value) < TINY ? TINY : value
}
