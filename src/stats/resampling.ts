/** Intervals and tests by resampling, all randomness from a given source. Knows no examples or tasks. */

/** Uniform numbers in [0, 1); anything that has `next` will do. */
export interface UniformSource {
  next(): number
}

export interface Interval {
  readonly estimate: number
  readonly low: number
  readonly high: number
}

/**
 * Ratio Σ numerators / Σ denominators over groups, with a percentile bootstrap interval that resamples whole groups
 * (Efron & Tibshirani 1993, ch. 13; Field & Welsh 2007 for clusters). An estimate: it promises nothing at finite n.
 * NaN where all denominators are 0.
 */
export function groupBootstrap(
  numerators: ArrayLike<number>,
  denominators: ArrayLike<number>,
  options: { rng: UniformSource; resampleCount?: number; level?: number },
): Interval {
  const { rng, resampleCount = 1000, level = 0.95 } = options
  const n = numerators.length
  const estimate = ratio(numerators, denominators, n, i => i)
  if (n === 0 || Number.isNaN(estimate)) return { estimate, low: Number.NaN, high: Number.NaN }
  const drawn: number[] = []
  for (let r = 0; r < resampleCount; r++) {
    const value = ratio(numerators, denominators, n, () => Math.floor(rng.next() * n))
    // A resample without a single denominator has no ratio; it says nothing about the interval.
    if (!Number.isNaN(value)) drawn.push(value)
  }
  drawn.sort((a, b) => a - b)
  const tail = (1 - level) / 2
  return { estimate, low: sortedQuantile(drawn, tail), high: sortedQuantile(drawn, 1 - tail) }
}

function ratio(
  numerators: ArrayLike<number>,
  denominators: ArrayLike<number>,
  n: number,
  pick: (i: number) => number,
): number {
  let top = 0
  let bottom = 0
  for (let i = 0; i < n; i++) {
    const j = pick(i)
    top += numerators[j] as number
    bottom += denominators[j] as number
  }
  return bottom > 0 ? top / bottom : Number.NaN
}

function sortedQuantile(sorted: readonly number[], q: number): number {
  const at = (sorted.length - 1) * q
  const low = Math.floor(at)
  const below = sorted[low] as number
  return below + ((sorted[Math.min(low + 1, sorted.length - 1)] as number) - below) * (at - low)
}
