/** Turns the evidence of a learned task into its part of the report. Pure; knows neither ledger nor models. */
import {
  type CertificationOutcome,
  serves,
  trafficWeighted,
  type WeightedRequest,
} from '../evals/index.ts'
import {
  clopperPearsonLower,
  clopperPearsonUpper,
  expectedCalibrationError,
  reliabilityBins,
  riskCoverageCurve,
} from '../stats/index.ts'
import { clip, countBy, createRng, quantile } from '../util/index.ts'
import type { Usage } from '../wire/index.ts'
import type { LookRow } from './look.ts'
import type {
  Agreement,
  Confusion,
  CostWindow,
  Difference,
  Estimate,
  Latency,
  LearnReport,
  TaskCharts,
  TaskCost,
  TaskReport,
  TokenPrice,
} from './report.ts'

/** One certification input: what the lead said, what the specialist would have said. */
export interface EvaluatedInput {
  readonly input: string
  /** Readable form of the lead's answer, null where it gave none of the set. */
  readonly lead: string | null
  /** Null where the specialist abstains whatever the threshold. */
  readonly specialist: string | null
  readonly score: number
  readonly loss: number
  /** ISO 8601; null where unknown. */
  readonly time: string | null
}

/** Everything the report says of a task that is not computed here, and the evidence for what is. */
export interface TaskEvidence
  extends Omit<TaskReport, 'answers' | 'agreement' | 'latency' | 'cost' | 'charts' | 'window'> {
  /** Readable answers of the lead over the window, null where unusable. */
  readonly leadAnswers: readonly (string | null)[]
  /** Certification inputs, one per group; empty where no specialist could be fitted. */
  readonly evaluated: readonly EvaluatedInput[]
  /** Every request of the certification groups, repeats included. */
  readonly requests: readonly WeightedRequest[]
  readonly leadSelfDisagreement: Agreement['leadSelfDisagreement']
  /** ISO 8601, one per request, in any order. */
  readonly times: readonly string[]
  readonly leadLatenciesMs: readonly number[]
  /** Measured one by one, warm. */
  readonly specialistLatenciesMs: readonly number[]
  readonly usages: readonly (Usage | null)[]
  /** Of the lead's model; null where the table has none. */
  readonly price: TokenPrice | null
}

const MAX_CURVE_POINTS = 120
const MAX_DIFFERENCES = 12
const MAX_CONFUSED_LABELS = 8
const MAX_PAIRS = 12
const INPUT_EXCERPT = 240

/** The rows of a look as the report reads them; `label` is the output kind's readable form. */
export function evaluatedInputs<Output>(
  rows: readonly LookRow<Output>[],
  label: (output: Output) => string,
): EvaluatedInput[] {
  return rows.map(({ input, expected, got, score, loss, time }) => ({
    input,
    lead: expected === null ? null : label(expected),
    specialist: got === null ? null : label(got),
    score,
    loss,
    time,
  }))
}

/** One task's part of the report. */
export function buildTaskReport(evidence: TaskEvidence): TaskReport {
  const {
    leadAnswers,
    evaluated,
    requests,
    leadSelfDisagreement,
    times,
    leadLatenciesMs,
    specialistLatenciesMs,
    usages,
    price,
    ...known
  } = evidence
  const agreement =
    evaluated.length === 0
      ? null
      : agreementOf({ evaluated, requests, leadSelfDisagreement }, known.goal)
  const sorted = [...times].sort()
  return {
    ...known,
    window: sorted.length === 0 ? null : { from: sorted[0] as string, to: sorted.at(-1) as string },
    answers: [
      ...countBy(
        leadAnswers.filter(answer => answer !== null),
        answer => answer,
      ),
    ]
      .map(([label, count]) => ({ label, count }))
      .sort((a, b) => b.count - a.count || (a.label < b.label ? -1 : 1)),
    agreement,
    latency: {
      specialist: latencyOf(specialistLatenciesMs),
      lead: latencyOf(leadLatenciesMs),
    },
    cost: costOf(
      { usages, price, requestCount: known.requestCount },
      agreement?.servedTrafficShare ?? 0,
    ),
    charts: evaluated.length === 0 ? null : chartsOf(evaluated, known.goal),
  }
}

/** The whole report from its tasks; adds up the costs that are known. */
export function buildReport(parts: Omit<LearnReport, 'version' | 'totalCost'>): LearnReport {
  const windows = parts.tasks.map(task => task.cost.window).filter(window => window !== null)
  const sum = (field: keyof CostWindow): number =>
    windows.reduce((total, window) => total + window[field], 0)
  const totalCost =
    windows.length === 0
      ? null
      : { nowUsd: sum('nowUsd'), afterUsd: sum('afterUsd'), requestCount: sum('requestCount') }
  return { version: 1, ...parts, totalCost }
}

function latencyOf(samples: readonly number[]): Latency | null {
  if (samples.length === 0) return null
  return {
    p50Ms: quantile(samples, 0.5),
    p95Ms: quantile(samples, 0.95),
    sampleCount: samples.length,
  }
}

function agreementOf(
  {
    evaluated,
    requests,
    leadSelfDisagreement,
  }: Pick<TaskEvidence, 'evaluated' | 'requests' | 'leadSelfDisagreement'>,
  goal: CertificationOutcome | null,
): Agreement {
  const all = 1 - evaluated.reduce((sum, one) => sum + one.loss, 0) / evaluated.length
  const newestFifth = newestFifthOf(evaluated)
  return {
    certificationCount: evaluated.length,
    all,
    newestFifth,
    leadSelfDisagreement,
    newestDiffers: newestFifth !== null && (all < newestFifth.low || all > newestFifth.high),
    ...trafficOf(requests, goal),
  }
}

/** Exact two-sided 95 % bounds; losses between 0 and 1 are rounded up, which only widens what is claimed to differ. */
function newestFifthOf(evaluated: readonly EvaluatedInput[]): Estimate | null {
  const dated = evaluated.flatMap(({ time, loss }) => (time === null ? [] : [{ time, loss }]))
  const count = Math.floor(dated.length / 5)
  if (count < 20) return null
  const newest = dated
    .sort((a, b) => (a.time < b.time ? 1 : a.time > b.time ? -1 : 0))
    .slice(0, count)
  const loss = newest.reduce((sum, one) => sum + one.loss, 0)
  const whole = Math.ceil(loss)
  return {
    value: 1 - loss / count,
    low: 1 - clopperPearsonUpper(whole, count, 0.025),
    high: 1 - clopperPearsonLower(whole, count, 0.025),
  }
}

function trafficOf(
  requests: readonly WeightedRequest[],
  goal: CertificationOutcome | null,
): Pick<Agreement, 'servedTrafficRisk' | 'servedTrafficShare'> {
  if (goal === null || !goal.claimed) return { servedTrafficRisk: null, servedTrafficShare: null }
  const { risk, coverage } = trafficWeighted(requests, goal.threshold, createRng('report/traffic'))
  return {
    servedTrafficRisk: Number.isNaN(risk.estimate)
      ? null
      : { value: risk.estimate, low: risk.low, high: risk.high },
    servedTrafficShare: Number.isNaN(coverage.estimate) ? null : coverage.estimate,
  }
}

function costOf(
  { usages, price, requestCount }: Pick<TaskEvidence, 'usages' | 'price' | 'requestCount'>,
  servedShare: number,
): TaskCost {
  const none = { window: null, nowPerThousandUsd: null, afterPerThousandUsd: null }
  if (price === null) return { ...none, note: 'The price table has no entry for this model.' }
  const known = usages.filter(usage => usage !== null)
  if (known.length === 0) return { ...none, note: 'The log holds no token counts.' }
  const usd = known.reduce(
    (sum, { promptTokens, completionTokens }) =>
      sum + (promptTokens * price.inUsd + completionTokens * price.outUsd) / 1e6,
    0,
  )
  const nowPerThousandUsd = (usd / known.length) * 1000
  const afterPerThousandUsd = nowPerThousandUsd * (1 - servedShare)
  return {
    window: {
      nowUsd: (nowPerThousandUsd * requestCount) / 1000,
      afterUsd: (afterPerThousandUsd * requestCount) / 1000,
      requestCount,
    },
    nowPerThousandUsd,
    afterPerThousandUsd,
    note: 'Lead fees by the price table; the machine the specialist runs on is not counted.',
  }
}

function chartsOf(
  evaluated: readonly EvaluatedInput[],
  goal: CertificationOutcome | null,
): TaskCharts {
  const scores = evaluated.map(one => one.score)
  const losses = evaluated.map(one => one.loss)
  const bins = reliabilityBins(scores, losses)
  return {
    curve: thin(riskCoverageCurve(scores, losses), MAX_CURVE_POINTS).map(point => ({
      coverage: point.coverage,
      risk: point.risk,
      threshold: point.score,
    })),
    reliability: bins
      .filter(bin => bin.count > 0)
      .map(bin => ({ confidence: bin.meanScore, agreement: bin.meanGain, count: bin.count })),
    calibrationError: expectedCalibrationError(bins),
    confusion: confusionOf(evaluated),
    differences: differencesOf(evaluated, goal),
  }
}

/** At most `count` items, evenly spaced, the last one kept. */
function thin<T>(items: readonly T[], count: number): T[] {
  if (items.length <= count) return [...items]
  return Array.from(
    { length: count },
    (_, i) => items[Math.round((i * (items.length - 1)) / (count - 1))] as T,
  )
}

function confusionOf(evaluated: readonly EvaluatedInput[]): Confusion {
  const differing = evaluated.filter(
    (one): one is EvaluatedInput & { lead: string; specialist: string } =>
      one.lead !== null && one.specialist !== null && one.lead !== one.specialist,
  )
  const pairs = [...countBy(differing, one => JSON.stringify([one.lead, one.specialist]))]
    .map(([key, count]) => {
      const [lead, specialist] = JSON.parse(key) as [string, string]
      return { lead, specialist, count }
    })
    .sort((a, b) => b.count - a.count || (a.lead < b.lead ? -1 : 1))
  const labels: string[] = []
  for (const { lead, specialist } of pairs) {
    const missing = [...new Set([lead, specialist])].filter(label => !labels.includes(label))
    if (labels.length + missing.length <= MAX_CONFUSED_LABELS) labels.push(...missing)
  }
  const cells = countBy(evaluated, one => JSON.stringify([one.lead, one.specialist]))
  return {
    labels,
    counts: labels.map(lead => labels.map(got => cells.get(JSON.stringify([lead, got])) ?? 0)),
    pairs: pairs.slice(0, MAX_PAIRS),
  }
}

function differencesOf(
  evaluated: readonly EvaluatedInput[],
  goal: CertificationOutcome | null,
): readonly Difference[] {
  return evaluated
    .filter(one => one.loss > 0 && one.specialist !== null)
    .sort((a, b) => b.score - a.score)
    .slice(0, MAX_DIFFERENCES)
    .map(one => ({
      input: clip(one.input, INPUT_EXCERPT),
      lead: one.lead,
      specialist: one.specialist as string,
      score: one.score,
      isServed: goal?.claimed === true && serves(one.score, goal.threshold),
    }))
}
