/** What else a look tells, beside its certificate: estimates for the report. Knows no certificates' inner workings. */
import {
  type ClassMetrics,
  type ConfusionPair,
  compareNewestFifth,
  confusionPairs,
  perClass,
  type RecentComparison,
  type SelfDisagreement,
  selfDisagreement,
  serves,
  type TrafficEstimate,
  trafficWeighted,
} from '../evals/index.ts'
import {
  areaUnderRiskCoverage,
  expectedCalibrationError,
  type ReliabilityBin,
  type RiskCoveragePoint,
  reliabilityBins,
  riskCoverageCurve,
} from '../stats/index.ts'
import { canonicalJson, countBy, createRng, normaliseText } from '../util/index.ts'
import type { Learned } from './learn-outcome.ts'
import type { LookRow } from './look.ts'

/** Every number here is over distinct inputs unless it says traffic; at the certified threshold, else as if all were served. */
export interface LookMetrics {
  readonly threshold: number
  readonly isCertified: boolean
  /** 1 − mean loss when everything is answered. */
  readonly agreement: number
  readonly areaUnderRiskCoverage: number
  readonly calibrationError: number
  readonly riskCoverage: readonly RiskCoveragePoint[]
  readonly reliability: readonly ReliabilityBin[]
  /** Keys are outputs as canonical JSON. */
  readonly classes: readonly ClassMetrics[]
  readonly confusion: readonly ConfusionPair[]
  /** Null where times are unknown. */
  readonly newestFifth: RecentComparison | null
  readonly traffic: TrafficEstimate
  /** The lead against itself on inputs that came back and would be served. */
  readonly leadAgainstItself: SelfDisagreement
}

/** Measures a finished look; deterministic by `seed`, which only drives the resampling. */
export function describeLook<Output, Schema>(
  { rows, requests, certification }: Learned<Output, Schema>,
  seed: number | string,
): LookMetrics {
  const threshold = certification.claimed ? certification.threshold : 0
  const rng = createRng(seed)
  const scores = rows.map(row => row.score)
  const losses = rows.map(row => row.loss)
  const expected = rows.map(row => keyOf(row.expected))
  const got = rows.map(row => keyOf(row.got))
  const reliability = reliabilityBins(scores, losses)
  const times = rows.map(row => row.time)
  return {
    threshold,
    isCertified: certification.claimed,
    agreement: 1 - losses.reduce((sum, loss) => sum + loss, 0) / losses.length,
    areaUnderRiskCoverage: areaUnderRiskCoverage(scores, losses),
    calibrationError: expectedCalibrationError(reliability),
    riskCoverage: riskCoverageCurve(scores, losses),
    reliability,
    classes: perClass(expected, got),
    confusion: confusionPairs(expected, got),
    newestFifth: compareNewestFifth({ scores, losses, times }, threshold, rng.fork('newest')),
    traffic: trafficWeighted(requests, threshold, rng.fork('traffic')),
    leadAgainstItself: selfDisagreement(answerCounts(requests, threshold)),
  }
}

/** For each served input, how often each of the lead's outputs came. */
function answerCounts<Output>(
  requests: readonly LookRow<Output>[],
  threshold: number,
): readonly number[][] {
  const byInput = new Map<string, LookRow<Output>[]>()
  for (const row of requests) {
    if (!serves(row.score, threshold)) continue
    const key = normaliseText(row.input)
    const list = byInput.get(key)
    if (list === undefined) byInput.set(key, [row])
    else list.push(row)
  }
  return [...byInput.values()].map(list => [
    ...countBy(list, row => canonicalJson(row.expected)).values(),
  ])
}

function keyOf(output: unknown): string | null {
  return output === null ? null : canonicalJson(output)
}
