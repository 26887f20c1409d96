/** One try at one upstream: its time limits, its credentials, and what the try says about the upstream's health. */
import type { ApiKind, UpstreamConfig, UpstreamTimeouts } from '../config/index.ts'
import { hasCode, isUnderstudyError, UnderstudyError } from '../errors.ts'
import type { Lead, LeadRequest, LeadResponse } from '../runtimes/index.ts'
import type { Clock } from '../util/index.ts'
import { withModel } from '../wire/index.ts'
import { type Breaker, type BreakerOutcome, type BreakerPass, createBreaker } from './breaker.ts'
import type { UpstreamState } from './types.ts'

/** An upstream with what is known about it. */
export interface Upstream {
  readonly config: UpstreamConfig
  readonly lead: Lead
  readonly breaker: Breaker
  /** Set by the active health check. */
  isHealthy: boolean
  /** It asked for rest until then, on the monotonic clock; others go first. */
  restUntilMs: number
  activeCount: number
  tryCount: number
  failureCount: number
}

export function createUpstream(
  config: UpstreamConfig,
  lead: Lead,
  clock: Pick<Clock, 'monotonic'>,
): Upstream {
  return {
    config,
    lead,
    breaker: createBreaker({ ...config.breaker, clock }),
    isHealthy: true,
    restUntilMs: 0,
    activeCount: 0,
    tryCount: 0,
    failureCount: 0,
  }
}

export function stateOf({ config, breaker, ...rest }: Upstream): UpstreamState {
  const { isHealthy, activeCount, tryCount, failureCount } = rest
  return {
    name: config.name,
    isHealthy,
    breaker: breaker.state,
    activeCount,
    tryCount,
    failureCount,
  }
}

/** Which API a path belongs to. */
export function apiOf(path: string): ApiKind {
  return /^\/v1\/(?:messages|complete)(?:[/?]|$)/u.test(path) ? 'anthropic' : 'openai'
}

/** Headers that identify or authorise a caller: they belong to this gateway, never to an upstream that has a name. */
const CREDENTIALS: ReadonlySet<string> = new Set([
  'authorization',
  'x-api-key',
  'api-key',
  'x-goog-api-key',
  'cookie',
  'openai-organization',
  'openai-project',
])

export interface AttemptOptions {
  /** Null: the model that the body names. */
  readonly model: string | null
  readonly timeouts: UpstreamTimeouts
  /** When the whole request must be over, on the monotonic clock; null: never. */
  readonly deadlineMs: number | null
  readonly clock: Pick<Clock, 'monotonic'>
  /** The right to send it, which is given back here. */
  readonly pass: BreakerPass
}

/**
 * Sends a request and waits for the first byte of the answer, so that what fails before it can be tried elsewhere.
 * @throws upstream-unavailable, upstream-timeout, upstream-invalid, cancelled
 */
export async function attempt(
  upstream: Upstream,
  request: LeadRequest,
  { model, timeouts, deadlineMs, clock, pass }: AttemptOptions,
): Promise<LeadResponse> {
  const limits = createLimits(upstream.config.name, request.signal, timeouts, deadlineMs, clock)
  let isTold = false
  const tell = (outcome: BreakerOutcome): void => {
    if (isTold) return
    isTold = true
    upstream.activeCount--
    if (outcome === 'failure') upstream.failureCount++
    pass.leave(outcome)
  }
  const over = (outcome: BreakerOutcome): void => {
    tell(outcome)
    limits.clear()
  }
  upstream.activeCount++
  upstream.tryCount++
  limits.onAbandoned(() => over('neither'))
  try {
    const response = await upstream.lead.send({
      ...request,
      headers: withoutCredentials(request.headers),
      body: model === null || request.body === null ? request.body : withModel(request.body, model),
      signal: limits.signal,
    })
    const source = response.body[Symbol.asyncIterator]()
    const first = await source.next()
    limits.came()
    if (!isStatus(response.status)) {
      await source.return?.()
      throw noStatus(response.status, upstream.config.name)
    }
    const failed = response.status >= 500
    // A long stream must not keep others waiting to hear that the upstream is back.
    if (!failed && upstream.breaker.state !== 'closed') pass.leave('success')
    if (first.done === true) over(failed ? 'failure' : 'success')
    // An error may be held while others are tried, this upstream too: its work is done.
    else if (response.status >= 400) tell(failed ? 'failure' : 'success')
    const watched = watch(source, first, { limits, over, failed })
    return { status: response.status, headers: response.headers, body: watched }
  } catch (error) {
    const known = limits.translate(error)
    over(hasCode(known, 'cancelled') ? 'neither' : 'failure')
    throw known
  }
}

function withoutCredentials(
  headers: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !CREDENTIALS.has(name)))
}

function isStatus(status: number): boolean {
  return status >= 200 && status <= 599
}

function noStatus(status: number, name: string): UnderstudyError {
  return new UnderstudyError('upstream-invalid', `Upstream ${name} answered status ${status}.`, {
    help: 'Check that its url leads to an API of the kind that `api` says.',
  })
}

interface Limits {
  readonly signal: AbortSignal
  /** Starts the limit on silence; it does not run while the caller is slow to read. */
  waiting(): void
  /** Something came. */
  came(): void
  clear(): void
  /** Called when the caller leaves. */
  onAbandoned(callback: () => void): void
  /** A time limit's own error in place of the cancellation that it caused. */
  translate(error: unknown): unknown
}

function createLimits(
  name: string,
  callerSignal: AbortSignal,
  { firstTokenMs, idleMs }: UpstreamTimeouts,
  deadlineMs: number | null,
  clock: Pick<Clock, 'monotonic'>,
): Limits {
  const controller = new AbortController()
  let passed: string | null = null
  let abandoned = (): void => {}
  const expire = (limit: string) => () => {
    passed = limit
    controller.abort()
  }
  const leave = (): void => {
    controller.abort()
    abandoned()
  }
  let timer = setTimeout(expire('first-token'), firstTokenMs)
  const total =
    deadlineMs === null
      ? null
      : setTimeout(expire('total'), Math.max(0, deadlineMs - clock.monotonic()))
  if (callerSignal.aborted) controller.abort()
  callerSignal.addEventListener('abort', leave, { once: true })
  return {
    signal: controller.signal,
    waiting() {
      timer = setTimeout(expire('idle'), idleMs)
    },
    came: () => clearTimeout(timer),
    clear() {
      clearTimeout(timer)
      if (total !== null) clearTimeout(total)
      callerSignal.removeEventListener('abort', leave)
    },
    onAbandoned(callback) {
      abandoned = callback
    },
    translate(error) {
      if (passed === null) return error
      const isUnsent = isUnderstudyError(error) && error.details.isUnsent === true
      return new UnderstudyError(
        'upstream-timeout',
        `Upstream ${name} did not answer in time (${passed}).`,
        {
          help: 'Try again later, or raise that timeout.',
          details: { limit: passed, ...(isUnsent && { isUnsent }) },
          cause: error,
        },
      )
    },
  }
}

/** The body as it comes, watched for silence; whichever way it ends is told once. */
function watch(
  source: AsyncIterator<Uint8Array>,
  first: IteratorResult<Uint8Array>,
  {
    limits,
    over,
    failed,
  }: {
    readonly limits: Limits
    readonly over: (outcome: BreakerOutcome) => void
    readonly failed: boolean
  },
): AsyncIterable<Uint8Array> {
  let held: IteratorResult<Uint8Array> | null = first
  const iterator: AsyncIterator<Uint8Array> = {
    async next() {
      if (held !== null) {
        const next = held
        held = null
        return next
      }
      limits.waiting()
      try {
        const next = await source.next()
        limits.came()
        if (next.done === true) over(failed ? 'failure' : 'success')
        return next
      } catch (error) {
        const known = limits.translate(error)
        over(hasCode(known, 'cancelled') ? 'neither' : 'failure')
        throw known
      }
    },
    async return() {
      // Where the reader stops early, what came was good as far as it went.
      over(failed ? 'failure' : 'neither')
      await source.return?.()
      return { done: true, value: undefined }
    },
  }
  return { [Symbol.asyncIterator]: () => iterator }
}
