/** Who may ask for what, and how much of it: keys, their limits and their budgets. Knows no HTTP but the names of headers. */
import type { BudgetPeriod, ConfigKey, PriceTable } from '../config/index.ts'
import { priceOf } from '../config/index.ts'
import { UnderstudyError } from '../errors.ts'
import type { Charge } from '../ledger/index.ts'
import type { Clock } from '../util/index.ts'
import type { Bucket } from './bucket.ts'
import { createBucket } from './bucket.ts'
import type { Key, Keys } from './keys.ts'
import { periodEndMs, periodStart } from './period.ts'
import type { Spend, SpendState } from './spend.ts'
import { NO_USAGE, type Usage } from './spend-totals.ts'

export interface Access {
  readonly keys: Keys
  /** Lets one request in, by the limits of its key. @throws model-forbidden, rate-limited */
  admit(key: Key | null, asked: Asked): Ticket
  /** Another process answered for a key: its limits per minute are shared. Money is, by the sum of what all spent. */
  noteElsewhere(key: string, usage: Usage): void
  /** What a key used since a day, and in its budget's period. */
  usageOf(key: Key): { readonly total: Usage; readonly period: Usage | null }
  /** Whether what keys use comes to the disk. Their limits and budgets hold in any case. */
  readonly spendState: SpendState
  configure(config: { readonly keys: readonly ConfigKey[]; readonly prices: PriceTable }): void
  close(): Promise<void>
}

/** What a request asks for, before anybody answered it. */
export interface Asked {
  /** Null where the request names none. */
  readonly model: string | null
  readonly byteCount: number
  /** All that it names, where it names several: each must be allowed. */
  readonly models?: readonly string[]
}

export interface Tokens {
  readonly promptTokens: number
  readonly completionTokens: number
}

/** One request that was let in. Ends with `settle` or `release`. */
export interface Ticket {
  /** What is left, in the headers that OpenAI's clients read; empty where the key has no such limit. */
  headers(): Readonly<Record<string, string>>
  /** Before the lead is asked: money. @throws budget-exceeded, model-forbidden */
  checkBudget(): void
  /**
   * The lead answered, as `model`: its tokens and their price are counted. Where the answer reports none (`usage` null) or
   * broke off, they are estimated from the bytes.
   */
  settle(answer: {
    readonly model: string | null
    readonly usage: Tokens | null
    readonly isComplete: boolean
    readonly byteCount: number
  }): Settled
  /** The lead was not asked, or gave no answer: nothing but the request counts. Resolves as `written` does. */
  release(): Promise<void>
}

export interface Settled {
  /** Null without a key, and where the ticket had ended before. */
  readonly charge: Charge | null
  /** Resolves when the count would survive a kill, or cannot in time. */
  readonly written: Promise<void>
}

/** About four bytes of English a token; more in other languages, where this estimates high. */
const BYTES_PER_TOKEN = 4
const MAX_RETRY_SECONDS = 3600

/** One for each key as long as the process runs: requests under way give back to it, whatever was configured meanwhile. */
interface Buckets {
  requests: Bucket | null
  tokens: Bucket | null
  /** Money that requests under way may cost. */
  reservedUsd: number
}

export interface AccessOptions {
  readonly keys: Keys
  readonly spend: Spend
  readonly prices: PriceTable
  readonly clock: Clock
}

export function createAccess({ keys, spend, clock, ...rest }: AccessOptions): Access {
  let { prices } = rest
  const buckets = new Map<string, Buckets>()

  const bucketOf = (held: Bucket | null, limit: number | null): Bucket | null => {
    if (limit === null) return null
    return held?.limit === limit ? held : createBucket(limit, clock)
  }
  const bucketsOf = (key: Key): Buckets => {
    const held = buckets.get(key.id) ?? { requests: null, tokens: null, reservedUsd: 0 }
    held.requests = bucketOf(held.requests, key.requestsPerMinute)
    held.tokens = bucketOf(held.tokens, key.tokensPerMinute)
    buckets.set(key.id, held)
    return held
  }
  /** Where money is limited, a model without a price counts at the dearest one known: a gap must not be a way around. */
  const costUsd = (key: Key, models: readonly (string | null)[], tokens: Tokens): number | null => {
    const priced = models.map(model => (model === null ? null : priceOf(model, prices)))
    const price = priced.find(each => each !== null)
    if (price == null && key.budget === null) return null
    const { inUsd, outUsd } = price ?? { inUsd: dearestUsd(prices), outUsd: dearestUsd(prices) }
    return (tokens.promptTokens * inUsd + tokens.completionTokens * outUsd) / 1e6
  }
  const spentUsd = (key: Key, period: BudgetPeriod): number =>
    spend.since(key.id, periodStart(period, clock.now())).usd

  return {
    keys,
    usageOf(key) {
      const since = (day: string): Usage => spend.since(key.id, day)
      const { budget } = key
      return {
        total: since(''),
        period: budget === null ? null : since(periodStart(budget.per, clock.now())),
      }
    },
    admit(key, { model, byteCount, models = [] }) {
      if (key === null) return FREE
      for (const named of [model, ...models]) checkModel(key, named)
      const held = bucketsOf(key)
      const estimate = Math.ceil(byteCount / BYTES_PER_TOKEN)
      const headers = (): Record<string, string> => limitHeaders(held)
      checkRate(key, held, estimate, headers)
      held.requests?.take(1)
      held.tokens?.take(estimate)
      let reservedUsd = 0
      let isOver = false
      /** False where it was over already. */
      const end = (tokenCount: number): boolean => {
        if (isOver) return false
        isOver = true
        held.reservedUsd -= reservedUsd
        held.tokens?.take(tokenCount - estimate)
        return true
      }
      return {
        headers,
        checkBudget() {
          const { budget } = key
          if (budget === null) return
          if (spentUsd(key, budget.per) + held.reservedUsd >= budget.usd) {
            throw budgetExceeded(key, budget, clock.now())
          }
          reservedUsd = (estimate * dearestUsd(prices)) / 1e6
          held.reservedUsd += reservedUsd
        },
        settle({ model: answeredAs, usage, isComplete, byteCount: answerBytes }) {
          const estimated = {
            promptTokens: estimate,
            completionTokens: Math.ceil(answerBytes / BYTES_PER_TOKEN),
          }
          const tokens = isComplete ? (usage ?? estimated) : brokenOff(usage, estimated)
          if (!end(tokens.promptTokens + tokens.completionTokens)) return UNSETTLED
          const usd = costUsd(key, [answeredAs, model], tokens)
          const isEstimated = usage === null || !isComplete
          const { promptTokens, completionTokens } = tokens
          const used = {
            requestCount: 1,
            promptTokens,
            completionTokens,
            usd: usd ?? 0,
            estimatedCount: isEstimated ? 1 : 0,
          }
          return {
            charge: { key: key.id, promptTokens, completionTokens, usd, isEstimated },
            written: spend.add(key.id, used, clock.now()),
          }
        },
        async release() {
          if (end(0)) await spend.add(key.id, { ...NO_USAGE, requestCount: 1 }, clock.now())
        },
      }
    },
    noteElsewhere(id, { requestCount, promptTokens, completionTokens }) {
      // A key that was not used here yet has no buckets here yet.
      const key = keys.get(id)
      if (key === null) return
      const { requests, tokens } = bucketsOf(key)
      requests?.take(requestCount)
      tokens?.take(promptTokens + completionTokens)
    },
    get spendState() {
      return spend.state
    },
    configure(config) {
      ;({ prices } = config)
      keys.configure(config.keys)
    },
    close: () => spend.close(),
  }
}

/**
 * What an answer that broke off cost at least. The prompt is counted before the first word, unless a zero stands in its
 * place; the count of the answer says how far it was when it was reported.
 */
function brokenOff(reported: Tokens | null, estimated: Tokens): Tokens {
  if (reported === null) return estimated
  return {
    promptTokens: reported.promptTokens > 0 ? reported.promptTokens : estimated.promptTokens,
    completionTokens: Math.max(reported.completionTokens, estimated.completionTokens),
  }
}

const UNSETTLED: Settled = { charge: null, written: Promise.resolve() }

/** For callers without a key, where none is required. */
const FREE: Ticket = {
  headers: () => ({}),
  checkBudget: () => {},
  settle: () => UNSETTLED,
  release: async () => {},
}

/** True where a key may call a model or route. */
export function isAllowedModel({ models }: Pick<Key, 'models'>, model: string): boolean {
  if (models === null) return true
  return models.some(pattern =>
    pattern.endsWith('*') ? model.startsWith(pattern.slice(0, -1)) : pattern === model,
  )
}

/** @throws model-forbidden */
function checkModel(key: Key, model: string | null): void {
  const { name, models } = key
  if (models === null || (model !== null && isAllowedModel(key, model))) return
  const what = model === null ? 'what names no model' : `the model '${model.slice(0, 100)}'`
  throw new UnderstudyError('model-forbidden', `The key '${name}' may not call ${what}.`, {
    help: `It may call ${models.join(', ')}.`,
    details: { param: 'model' },
  })
}

/** @throws rate-limited */
function checkRate(
  { name }: Key,
  { requests, tokens }: Buckets,
  estimate: number,
  headers: () => Record<string, string>,
): void {
  const waits = [
    { what: 'requests', limit: requests?.limit, ms: requests?.waitMs(1) ?? 0 },
    { what: 'tokens', limit: tokens?.limit, ms: tokens?.waitMs(estimate) ?? 0 },
  ]
  const [longest] = waits.sort((a, b) => b.ms - a.ms)
  if (longest === undefined || longest.ms === 0) return
  throw new UnderstudyError(
    'rate-limited',
    `The key '${name}' has used its ${longest.limit} ${longest.what} per minute.`,
    {
      help: `Try again in ${seconds(longest.ms)} s.`,
      details: { retryAfterSeconds: seconds(longest.ms), headers: headers() },
    },
  )
}

function budgetExceeded(
  { name }: Key,
  { usd, per }: { readonly usd: number; readonly per: BudgetPeriod },
  nowMs: number,
): UnderstudyError {
  const endMs = periodEndMs(per, nowMs)
  const until =
    endMs === null ? '' : ` It begins anew on ${new Date(endMs).toISOString().slice(0, 10)} (UTC).`
  return new UnderstudyError(
    'budget-exceeded',
    `The key '${name}' has used its budget of ${usd} US dollars${per === 'total' ? '' : ` per ${per}`}.`,
    {
      help: `Ask the operator of this gateway for more.${until}`,
      details: {
        ...(endMs === null
          ? {}
          : { retryAfterSeconds: Math.min(MAX_RETRY_SECONDS, seconds(endMs - nowMs)) }),
        // The clients would otherwise try again at once.
        headers: { 'x-should-retry': 'false' },
      },
    },
  )
}

/** The dearest price bounds what a request may cost before it is known which model answers. */
function dearestUsd(prices: PriceTable): number {
  return Math.max(0, ...Object.values(prices).map(({ inUsd, outUsd }) => Math.max(inUsd, outUsd)))
}

function limitHeaders({ requests, tokens }: Buckets): Record<string, string> {
  return { ...headersOf('requests', requests), ...headersOf('tokens', tokens) }
}

function headersOf(what: string, bucket: Bucket | null): Record<string, string> {
  if (bucket === null) return {}
  return {
    [`x-ratelimit-limit-${what}`]: String(bucket.limit),
    [`x-ratelimit-remaining-${what}`]: String(Math.max(0, Math.floor(bucket.level))),
    [`x-ratelimit-reset-${what}`]: `${(bucket.waitMs(bucket.limit) / 1000).toFixed(3)}s`,
  }
}

function seconds(ms: number): number {
  return Math.max(1, Math.ceil(ms / 1000))
}
