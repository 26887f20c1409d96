/** Descriptions that stand beside a certificate: estimates, not promises. Answers are opaque keys here. */
import { groupBootstrap, type Interval, type UniformSource } from '../stats/index.ts'
import { serves } from './serves.ts'

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
