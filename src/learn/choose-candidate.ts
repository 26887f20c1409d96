/** Which candidate is certified: decided on out-of-fold scores of the training part, never on certification examples. */
import { assert } from '../errors.ts'
import { areaUnderRiskCoverage, riskCoverageCurve } from '../stats/index.ts'
import type { Candidate } from './learner.ts'

/** What the choice rested on, for the report. */
export interface CandidateSummary {
  readonly name: string
  /** Largest out-of-fold coverage whose risk stays within the target; an estimate. */
  readonly estimatedCoverage: number
  /** Area under the out-of-fold risk–coverage curve; lower is better. */
  readonly areaUnderRiskCoverage: number
  /** 1 − mean out-of-fold loss. */
  readonly outOfFoldAgreement: number
  readonly isChosen: boolean
}

/** The candidate with the largest estimated coverage, then the smallest area, then the first. */
export function chooseCandidate<Output>(
  candidates: readonly Candidate<Output>[],
  targetRisk: number,
): { chosen: Candidate<Output>; summaries: CandidateSummary[] } {
  const measured = candidates.map(candidate => ({ candidate, ...measure(candidate, targetRisk) }))
  const [best] = [...measured].sort(
    (a, b) =>
      b.estimatedCoverage - a.estimatedCoverage ||
      a.areaUnderRiskCoverage - b.areaUnderRiskCoverage,
  )
  assert(best !== undefined, 'there is a candidate to choose')
  return {
    chosen: best.candidate,
    summaries: measured.map(({ candidate, ...rest }) => ({
      name: candidate.name,
      ...rest,
      isChosen: candidate === best.candidate,
    })),
  }
}

function measure<Output>(candidate: Candidate<Output>, targetRisk: number) {
  const { outOfFoldScores: scores, outOfFoldLosses: losses } = candidate
  assert(scores.length === losses.length, 'as many out-of-fold losses as scores')
  const within = riskCoverageCurve(scores, losses).filter(point => point.risk <= targetRisk)
  const area = areaUnderRiskCoverage(scores, losses)
  return {
    estimatedCoverage: Math.max(0, ...within.map(point => point.coverage)),
    areaUnderRiskCoverage: Number.isNaN(area) ? 1 : area,
    outOfFoldAgreement: 1 - losses.reduce((sum, loss) => sum + loss, 0) / losses.length,
  }
}
