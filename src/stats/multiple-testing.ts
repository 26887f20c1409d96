/** How several tests share one error level. Numbers in, decisions out; knows no thresholds or scores. */

/** A hypothesis that a procedure rejected, and the level at which it was tested. */
export interface Rejection {
  /** In the order of the p-values. */
  readonly index: number
  readonly level: number
}

/**
 * Fixed-sequence testing from several starts, each with an equal share of delta: along the sequence, reject while p ≤ the
 * level at hand; a failure loses it, and testing begins anew at the next start. A sequence that reaches the next start
 * brings its level along (the fallback procedure: Wiens, "A fixed sequence Bonferroni procedure", Pharmaceutical Statistics 2,
 * 2003). P(any true hypothesis rejected) ≤ delta, whatever the dependence. Order and starts must be fixed before the data
 * are seen.
 */
export function fixedSequenceTest(
  pValues: readonly number[],
  starts: readonly number[],
  delta: number,
): readonly Rejection[] {
  const share = delta / Math.max(1, starts.length)
  const isStart = new Set(starts)
  const rejections: Rejection[] = []
  let level = 0
  pValues.forEach((p, index) => {
    if (isStart.has(index)) level += share
    if (level > 0 && p <= level) rejections.push({ index, level })
    else level = 0
  })
  return rejections
}

/**
 * The scan for a risk that can only grow along the sequence: reject while p ≤ delta, stop at the first failure. One
 * level for all, since only the first true hypothesis could be rejected wrongly. Bates et al. (2021), theorem 1.
 */
export function monotoneScan(pValues: readonly number[], delta: number): readonly Rejection[] {
  return fixedSequenceTest(pValues, [0], delta)
}

/**
 * What the `look`-th look (from 1) at the same data may spend: δ·6/(π²v²). The sum over all looks is δ, since
 * Σ 1/v² = π²/6 (Basel series).
 */
export function deltaOfLook(delta: number, look: number): number {
  return (delta * 6) / (Math.PI ** 2 * look ** 2)
}
