/** Curves that describe a score: reliability, calibration error, risk against coverage. Numbers in, numbers out. */

export interface ReliabilityBin {
  /** Bounds of the bin on the score axis; the upper one belongs to it. */
  readonly from: number
  readonly to: number
  readonly count: number
  /** NaN where the bin is empty. */
  readonly meanScore: number
  /** 1 − mean loss; NaN where the bin is empty. */
  readonly meanGain: number
}

/** Equal-width bins of score against 1 − loss (DeGroot & Fienberg 1983). Scores that are NaN are left out. */
export function reliabilityBins(
  scores: ArrayLike<number>,
  losses: ArrayLike<number>,
  binCount = 10,
): ReliabilityBin[] {
  const counts = new Float64Array(binCount)
  const scoreSums = new Float64Array(binCount)
  const gainSums = new Float64Array(binCount)
  for (let i = 0; i < scores.length; i++) {
    const score = scores[i] as number
    if (Number.isNaN(score)) continue
    const bin = Math.min(binCount - 1, Math.max(0, Math.ceil(score * binCount) - 1))
    counts[bin]! += 1
    scoreSums[bin]! += score
    gainSums[bin]! += 1 - (losses[i] as number)
  }
  return Array.from(counts, (count, bin) => ({
    from: bin / binCount,
    to: (bin + 1) / binCount,
    count,
    meanScore: count > 0 ? (scoreSums[bin] as number) / count : Number.NaN,
    meanGain: count > 0 ? (gainSums[bin] as number) / count : Number.NaN,
  }))
}

/** Mean gap between score and 1 − loss over bins, weighted by count (Naeini, Cooper & Hauskrecht 2015). NaN: no data. */
export function expectedCalibrationError(bins: readonly ReliabilityBin[]): number {
  let gap = 0
  let total = 0
  for (const bin of bins) {
    if (bin.count === 0) continue
    gap += bin.count * Math.abs(bin.meanScore - bin.meanGain)
    total += bin.count
  }
  return total > 0 ? gap / total : Number.NaN
}

export interface RiskCoveragePoint {
  /** Lowest score that is answered. */
  readonly score: number
  /** Share of all inputs answered. */
  readonly coverage: number
  /** Mean loss among the answered. */
  readonly risk: number
}

/** One point per distinct score, from the surest down (El-Yaniv & Wiener 2010). Scores that are NaN are never answered. */
export function riskCoverageCurve(
  scores: ArrayLike<number>,
  losses: ArrayLike<number>,
): RiskCoveragePoint[] {
  const order = descendingOrder(scores)
  const points: RiskCoveragePoint[] = []
  let lossSum = 0
  for (let rank = 0; rank < order.length; rank++) {
    const i = order[rank] as number
    lossSum += losses[i] as number
    const next = order[rank + 1]
    if (next !== undefined && scores[next] === scores[i]) continue
    points.push({
      score: scores[i] as number,
      coverage: (rank + 1) / scores.length,
      risk: lossSum / (rank + 1),
    })
  }
  return points
}

/**
 * Area under the risk–coverage curve (Geifman & El-Yaniv 2017): the mean risk over all prefixes of the order by score;
 * among equal scores every order counts equally. Lower is better; NaN without data.
 */
export function areaUnderRiskCoverage(
  scores: ArrayLike<number>,
  losses: ArrayLike<number>,
): number {
  let area = 0
  let servedBefore = 0
  let lossBefore = 0
  for (const point of riskCoverageCurve(scores, losses)) {
    const served = Math.round(point.coverage * scores.length)
    const loss = point.risk * served
    const rate = (loss - lossBefore) / (served - servedBefore)
    for (let m = servedBefore + 1; m <= served; m++) {
      area += (lossBefore + rate * (m - servedBefore)) / m
    }
    servedBefore = served
    lossBefore = loss
  }
  return servedBefore > 0 ? area / servedBefore : Number.NaN
}

function descendingOrder(scores: ArrayLike<number>): number[] {
  const order: number[] = []
  for (let i = 0; i < scores.length; i++) if (!Number.isNaN(scores[i] as number)) order.push(i)
  return order.sort((a, b) => (scores[b] as number) - (scores[a] as number) || a - b)
}
