/** How several tests share one error level. Numbers in, decisions out; knows no thresholds or scores. */

/** Which hypotheses a procedure rejected, and at which level each. */
export interface Rejections {
  /** Indices in the order of the p-values. */
  readonly rejected: readonly number[]
  /** Level at which every one of them was tested. */
  readonly level: number
}

/**
 * Fixed-sequence testing from several starts: from each start, reject while p ≤ delta / starts.length and stop at the
 * first failure. P(any true hypothesis rejected) ≤ delta, whatever the dependence. Angelopoulos, Bates, Candès, Jordan
 * & Lei, "Learn then test" (2021), algorithm 1. The order and the starts must be fixed before the data are seen.
 */
export function fixedSequenceTest(
  pValues: readonly number[],
  starts: readonly number[],
  delta: number,
): Rejections {
  const level = delta / Math.max(1, starts.length)
  const rejected = new Set<number>()
  for (const start of starts) {
    for (let i = start; i < pValues.length && (pValues[i] as number) <= level; i++) rejected.add(i)
  }
  return { rejected: [...rejected].sort((a, b) => a - b), level }
}

/**
 * The scan for a risk that can only grow along the sequence: reject while p ≤ delta, stop at the first failure. One
 * level for all, since only the first true hypothesis could be rejected wrongly. Bates et al. (2021), theorem 1.
 */
export function monotoneScan(pValues: readonly number[], delta: number): Rejections {
  return fixedSequenceTest(pValues, [0], delta)
}

/**
 * What the `look`-th look (from 1) at the same data may spend: δ·6/(π²v²). The sum over all looks is δ, since
 * Σ 1/v² = π²/6 (Basel series).
 */
export function deltaOfLook(delta: number, look: number): number {
  return (delta * 6) / (Math.PI ** 2 * look ** 2)
}
