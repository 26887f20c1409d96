/** What a replayed day shows: who answered, how often it differed, how fast, what it saved. Pure. */
import { type PriceTable, priceOf } from '../../config/index.ts'
import { readLabel } from '../../demo/index.ts'
import type { Estimate, Latency } from '../../learn/index.ts'
import { clopperPearsonLower, clopperPearsonUpper } from '../../stats/index.ts'
import { answerKey } from '../../tasks/index.ts'
import { quantile } from '../../util/index.ts'
import { answerOf, usageOf } from '../../wire/index.ts'
import type { Reply } from './replay.ts'

/** How one of the desk's jobs fared on the replayed day. */
export interface JobResult {
  readonly job: string
  readonly isLearnable: boolean
  readonly requestCount: number
  readonly localCount: number
  /** Locally answered requests by tier. */
  readonly tiers: Readonly<Record<string, number>>
  /** Differs from the lead's recorded answer, of what was answered locally and can be compared; exact 95 % bounds. */
  readonly differs: Estimate | null
  /** Wrong by the generator's truth, of the same requests: the specialist, and the lead. */
  readonly wrong: { readonly specialist: number; readonly lead: number } | null
}

export interface DemoResult {
  readonly requestCount: number
  readonly localCount: number
  readonly jobs: readonly JobResult[]
  readonly latency: Readonly<Record<string, Latency>>
  readonly reasons: Readonly<Record<string, number>>
  readonly cost: {
    readonly allLeadUsd: number
    readonly savedUsd: number
    readonly unpricedCount: number
  }
  /** Free-form, several turns, images, free tools: answered locally although they should not be. Must be 0. */
  readonly intrusionCount: number
  /** Answers without a decision id, or locally given without a certificate. Must be 0. */
  readonly unaccountedCount: number
}

/** Sums a replayed day up. */
export function measureReplay(
  replies: readonly Reply[],
  reasons: Readonly<Record<string, number>>,
  prices: PriceTable,
): DemoResult {
  const local = replies.filter(isLocal)
  const names = [...new Set(replies.map(reply => reply.source.job))]
  const tiers = [...new Set(replies.map(reply => reply.servedBy))]
  return {
    requestCount: replies.length,
    localCount: local.length,
    jobs: names
      .map(job =>
        jobResult(
          job,
          replies.filter(reply => reply.source.job === job),
        ),
      )
      .sort(
        (a, b) => Number(b.isLearnable) - Number(a.isLearnable) || b.requestCount - a.requestCount,
      ),
    latency: Object.fromEntries(
      tiers.map(tier => [tier, latencyOf(replies.filter(reply => reply.servedBy === tier))]),
    ),
    reasons,
    cost: costOf(replies, prices),
    intrusionCount: local.filter(reply => reply.source.expectation === 'leave-alone').length,
    unaccountedCount:
      replies.filter(reply => reply.decisionId === null).length +
      local.filter(reply => !reply.hasCertificate).length,
  }
}

function isLocal(reply: Reply): boolean {
  return reply.servedBy !== 'lead' && reply.servedBy !== ''
}

function jobResult(job: string, replies: readonly Reply[]): JobResult {
  const local = replies.filter(isLocal)
  const tiers: Record<string, number> = {}
  for (const { servedBy } of local) tiers[servedBy] = (tiers[servedBy] ?? 0) + 1
  // Where the lead failed on that day there is nothing to compare with.
  const comparable = local.filter(reply => reply.source.slip !== 'failed')
  const differing = comparable.filter(differsFromLead).length
  const judged = comparable.filter(reply => reply.source.truth !== null)
  return {
    job,
    isLearnable: replies[0]?.source.expectation === 'learnable',
    requestCount: replies.length,
    localCount: local.length,
    tiers,
    differs: comparable.length === 0 ? null : exactShare(differing, comparable.length),
    wrong:
      judged.length === 0
        ? null
        : {
            specialist:
              judged.filter(reply => labelOf(reply) !== reply.source.truth).length / judged.length,
            lead:
              judged.filter(({ source }) => source.leadLabel !== source.truth).length /
              judged.length,
          },
  }
}

function differsFromLead(reply: Reply): boolean {
  const lead = answerOf(reply.source.line.response, reply.source.line.status).answer
  const got = answerOf(reply.body, reply.status).answer
  return lead === null || got === null || answerKey(lead) !== answerKey(got)
}

function labelOf(reply: Reply): string | null {
  const { answer } = answerOf(reply.body, reply.status)
  return answer === null ? null : readLabel(answer)
}

/** Two-sided 95 % Clopper–Pearson. */
function exactShare(hits: number, count: number): Estimate {
  return {
    value: hits / count,
    low: clopperPearsonLower(hits, count, 0.025),
    high: clopperPearsonUpper(hits, count, 0.025),
  }
}

function latencyOf(replies: readonly Reply[]): Latency {
  const samples = replies.map(reply => reply.latencyMs)
  return {
    p50Ms: quantile(samples, 0.5),
    p95Ms: quantile(samples, 0.95),
    sampleCount: samples.length,
  }
}

/** At the prices of the table, by the tokens that the recorded lead answers report. */
function costOf(replies: readonly Reply[], prices: PriceTable): DemoResult['cost'] {
  let [allLeadUsd, savedUsd, unpricedCount] = [0, 0, 0]
  for (const reply of replies) {
    const { request, response } = reply.source.line
    const usage = usageOf(response)
    const price = priceOf(String(request.model), prices)
    if (usage === null || price === null) {
      unpricedCount++
      continue
    }
    const usd = (usage.promptTokens * price.inUsd + usage.completionTokens * price.outUsd) / 1e6
    allLeadUsd += usd
    if (isLocal(reply)) savedUsd += usd
  }
  return { allLeadUsd, savedUsd, unpricedCount }
}
