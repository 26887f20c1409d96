/**
 * The certificate's decision: which threshold, if any, keeps the risk below the target. Sees scores, losses and a grid;
 * knows no labels, texts, tasks or models.
 */
import { assert } from '../errors.ts'
import {
  binomialCdf,
  clopperPearsonUpper,
  fixedSequenceTest,
  hoeffdingBentkus,
  hoeffdingBentkusUpper,
  monotoneScan,
  type Rejection,
} from '../stats/index.ts'
import { explainNoClaim } from './no-claim.ts'
import { type Tally, tally } from './tally.ts'
import { gridStarts } from './threshold-grid.ts'
import type { CertificationInput, CertificationOutcome, Claim } from './types.ts'

/** What only the caller knows, for the estimate of missing requests. */
export interface CertifyOptions {
  /**
   * Requests that arrive per certification example: requests of the task ÷ distinct inputs looked at here.
   * Covers repeated inputs and the share that goes to training.
   */
  readonly requestsPerExample?: number
}

/**
 * One look at one statement: the smallest threshold at which the promise holds with probability 1 − delta, or no claim.
 *
 * Selective, P(loss | served) ≤ α: fixed-sequence testing along the grid from 5 starts at δ/5 each, levels passed on
 * (Angelopoulos et al., "Learn then test", 2021; Wiens 2003); given the number served, errors are binomial, so each
 * p-value is exact. Marginal, P(served ∧ loss) ≤ α: falls as the threshold rises, so the scan needs no correction (Bates
 * et al. 2021). Losses that are not all 0 or 1 are tested by Hoeffding–Bentkus.
 */
export function certify(
  input: CertificationInput,
  options: CertifyOptions = {},
): CertificationOutcome {
  const { scores, losses, grid, targetRisk, delta, promise } = input
  assert(targetRisk > 0 && targetRisk < 1, `target risk ${targetRisk} lies in (0, 1)`)
  assert(delta > 0 && delta < 1, `delta ${delta} lies in (0, 1)`)
  const counts = tally(scores, losses, grid)
  const rejections = test(counts, input)
  // The promise holds at every rejected threshold at once; the last one answers most. One that answers nothing is none.
  const last = rejections.findLast(({ index }) => (counts.servedCounts[index] as number) > 0)
  if (last === undefined) return explainNoClaim(input, counts, options.requestsPerExample ?? 1)
  const { index: best, level } = last
  const servedCount = counts.servedCounts[best] as number
  const lossSum = counts.lossSums[best] as number
  const trials = promise === 'selective' ? servedCount : counts.n
  return {
    claimed: true,
    promise,
    targetRisk,
    delta,
    threshold: grid[best] as number,
    n: counts.n,
    servedCount,
    lossSum,
    coverage: servedCount / counts.n,
    riskUpperBound: counts.isBinary
      ? clopperPearsonUpper(lossSum, trials, level)
      : hoeffdingBentkusUpper(lossSum, trials, level),
    method: methodName(input, counts),
  }
}

/** One outcome per target risk: separate statements, each at the full delta. */
export function certifyTable(
  input: Omit<CertificationInput, 'targetRisk'>,
  targetRisks: readonly number[],
  options: CertifyOptions = {},
): CertificationOutcome[] {
  return targetRisks.map(targetRisk => certify({ ...input, targetRisk }, options))
}

/** True where the outcome is a claim; for narrowing lists. */
export function isClaim(outcome: CertificationOutcome): outcome is Claim {
  return outcome.claimed
}

function test(counts: Tally, input: CertificationInput): readonly Rejection[] {
  const { grid, targetRisk, delta, promise } = input
  const pValues = grid.map((_, j) => {
    const trials = promise === 'selective' ? (counts.servedCounts[j] as number) : counts.n
    const lossSum = counts.lossSums[j] as number
    return counts.isBinary
      ? binomialCdf(lossSum, trials, targetRisk)
      : hoeffdingBentkus(lossSum, trials, targetRisk)
  })
  return promise === 'selective'
    ? fixedSequenceTest(pValues, gridStarts(grid.length), delta)
    : monotoneScan(pValues, delta)
}

function methodName(input: CertificationInput, counts: Tally): string {
  const bound = counts.isBinary ? 'Clopper–Pearson' : 'Hoeffding–Bentkus'
  if (input.promise === 'marginal') return `${bound}, monotone scan`
  const starts = gridStarts(input.grid.length).length
  return `${bound}, fixed sequence from ${starts} ${starts === 1 ? 'start' : 'starts'}`
}
