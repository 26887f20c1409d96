/** Descriptions that stand beside a certificate: estimates, not promises. Answers are opaque keys here. */
import {
  groupBootstrap,
  type Interval,
  permutationPValue,
  type UniformSource,
} from '../stats/index.ts'
import { serves } from './serves.ts'

/** How one answer of the lead fared. Keys are whatever tells answers apart; null: no answer, or outside the schema. */
export interface ClassMetrics {
  readonly key: string
  /** Times the lead gave it, times the specialist gave it, times both. */
  readonly expectedCount: number
  readonly gotCount: number
  readonly bothCount: number
}

/** One row per answer, most frequent first. */
export function perClass(
  expected: readonly (string | null)[],
  got: readonly (string | null)[],
): ClassMetrics[] {
  const rows = new Map<string, { expectedCount: number; gotCount: number; bothCount: number }>()
  const row = (key: string) => {
    const found = rows.get(key) ?? { expectedCount: 0, gotCount: 0, bothCount: 0 }
    rows.set(key, found)
    return found
  }
  expected.forEach((key, i) => {
    if (key !== null) row(key).expectedCount++
    const other = got[i] ?? null
    if (other !== null) row(other).gotCount++
    if (key !== null && key === other) row(key).bothCount++
  })
  return [...rows]
    .map(([key, counts]) => ({ key, ...counts }))
    .sort((a, b) => b.expectedCount - a.expectedCount || (a.key < b.key ? -1 : 1))
}

export interface ConfusionPair {
  readonly expected: string | null
  readonly got: string
  readonly count: number
}

/** The most frequent pairs of different answers. Abstentions are no confusion. */
export function confusionPairs(
  expected: readonly (string | null)[],
  got: readonly (string | null)[],
  limit = 20,
): ConfusionPair[] {
  const pairs = new Map<string, { expected: string | null; got: string; count: number }>()
  expected.forEach((key, i) => {
    const other = got[i] ?? null
    if (other === null || other === key) return
    const name = JSON.stringify([key, other])
    const pair = pairs.get(name) ?? { expected: key, got: other, count: 0 }
    pair.count++
    pairs.set(name, pair)
  })
  return [...pairs.values()].sort((a, b) => b.count - a.count).slice(0, limit)
}

/** Scores and losses of the same inputs, in the same order. */
export interface Scored {
  readonly scores: ArrayLike<number>
  readonly losses: ArrayLike<number>
}

export interface ServedPart {
  readonly count: number
  readonly servedCount: number
  /** Mean loss among the served; NaN where none was. */
  readonly risk: number
}

/** What a threshold serves of these inputs, and how well. */
export function servedPart({ scores, losses }: Scored, threshold: number): ServedPart {
  const served = servedLosses({ scores, losses }, threshold)
  const sum = served.reduce((total, loss) => total + loss, 0)
  return { count: scores.length, servedCount: served.length, risk: sum / served.length }
}

export interface RecentComparison {
  readonly newest: ServedPart
  readonly older: ServedPart
  /** One-sided permutation p-value that the newest are served worse by chance alone. */
  readonly pValue: number
  /** True below 5 %: traffic may have moved away from the window. */
  readonly isWorse: boolean
}

/** The newest fifth by time against the rest, at one threshold; null where times are unknown or all alike. */
export function compareNewestFifth(
  { scores, losses, times }: Scored & { readonly times: readonly (string | null)[] },
  threshold: number,
  rng: UniformSource,
): RecentComparison | null {
  const order = times
    .flatMap((time, i) => (time === null ? [] : [{ time: Date.parse(time), i }]))
    .filter(({ time }) => !Number.isNaN(time))
    .sort((a, b) => a.time - b.time || a.i - b.i)
  if (order.length < 5 || order[0]?.time === order.at(-1)?.time) return null
  const cut = order.length - Math.round(order.length / 5)
  const part = (rows: typeof order): Scored => ({
    scores: rows.map(({ i }) => scores[i] as number),
    losses: rows.map(({ i }) => losses[i] as number),
  })
  const older = part(order.slice(0, cut))
  const newest = part(order.slice(cut))
  const pValue = permutationPValue(
    servedLosses(newest, threshold),
    servedLosses(older, threshold),
    { rng },
  )
  return {
    newest: servedPart(newest, threshold),
    older: servedPart(older, threshold),
    pValue,
    isWorse: pValue < 0.05,
  }
}

/** One request: which input group it belongs to, how it was scored, how often it occurred. */
export interface WeightedRequest {
  readonly group: string
  readonly score: number
  readonly loss: number
  readonly weight: number
}

export interface TrafficEstimate {
  /** Risk among served requests, each counted as often as it occurs. */
  readonly risk: Interval
  /** Share of requests served. */
  readonly coverage: Interval
}

/** The rates of the traffic itself, repeats included, with 95 % intervals that resample whole groups. */
export function trafficWeighted(
  requests: readonly WeightedRequest[],
  threshold: number,
  rng: UniformSource,
): TrafficEstimate {
  const sums = new Map<string, { all: number; served: number; loss: number }>()
  for (const { group, score, loss, weight } of requests) {
    const sum = sums.get(group) ?? { all: 0, served: 0, loss: 0 }
    sum.all += weight
    if (serves(score, threshold)) {
      sum.served += weight
      sum.loss += weight * loss
    }
    sums.set(group, sum)
  }
  const rows = [...sums.values()]
  const column = (name: 'all' | 'served' | 'loss') => rows.map(row => row[name])
  return {
    risk: groupBootstrap(column('loss'), column('served'), { rng }),
    coverage: groupBootstrap(column('served'), column('all'), { rng }),
  }
}

export interface SelfDisagreement {
  /** Inputs that were asked more than once. */
  readonly inputCount: number
  /** Mean probability that two answers to the same input differ. NaN without repeats. */
  readonly rate: number
  /** No deterministic specialist can differ less often than this on such inputs: half the rate. */
  readonly floor: number
}

/**
 * How often the lead contradicts itself: for each input, how many times each of its answers came. The rate averages over
 * inputs the unbiased pair estimate 1 − Σ c(c−1) / n(n−1). The floor: the best fixed answer differs with probability
 * 1 − max p ≥ (1 − Σ p²)/2.
 */
export function selfDisagreement(answerCounts: readonly (readonly number[])[]): SelfDisagreement {
  let sum = 0
  let inputCount = 0
  for (const counts of answerCounts) {
    const n = counts.reduce((total, count) => total + count, 0)
    if (n < 2) continue
    const same = counts.reduce((total, count) => total + count * (count - 1), 0)
    sum += 1 - same / (n * (n - 1))
    inputCount++
  }
  const rate = sum / inputCount
  return { inputCount, rate, floor: rate / 2 }
}

function servedLosses({ scores, losses }: Scored, threshold: number): number[] {
  const served: number[] = []
  for (let i = 0; i < scores.length; i++) {
    if (serves(scores[i] as number, threshold)) served.push(losses[i] as number)
  }
  return served
}
