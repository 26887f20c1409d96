/** Several upstreams as one lead: routes by model, retries what is safe to retry, falls back, and keeps account of who is well. */
import { setTimeout as pause } from 'node:timers/promises'
import type { RouteConfig, RouteTarget, UpstreamConfig, UpstreamTimeouts } from '../config/index.ts'
import { isUnderstudyError, UnderstudyError } from '../errors.ts'
import type { RouteTrail, RouteTry } from '../ledger/index.ts'
import type { Lead, LeadRequest, LeadResponse } from '../runtimes/index.ts'
import { type Clock, canonicalJson, nearest } from '../util/index.ts'
import { modelIn } from '../wire/index.ts'
import { apiOf, attempt, createUpstream, stateOf, type Upstream } from './attempt.ts'
import type { BreakerPass } from './breaker.ts'
import { type Candidate, choose, isAvailable } from './choose.ts'
import { startHealthChecks } from './health.ts'
import {
  backoffMs,
  LONGEST_WAIT_MS,
  type Repeat,
  repeatOfError,
  repeatOfStatus,
  retryAfterMs,
} from './repeat.ts'
import type { RouteView, Upstreams } from './types.ts'

export interface UpstreamsOptions {
  readonly upstreams: readonly UpstreamConfig[]
  readonly routes: readonly RouteConfig[]
  /**
   * Answers what names no route: the name of an upstream; or a lead of its own, whose requests pass through as they are,
   * and which whoever opened it closes.
   */
  readonly fallThrough: string | Lead | null
  readonly open: (config: UpstreamConfig) => Promise<Lead>
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>
  /** Those of an earlier configuration: what did not change stays open, with its connections and its breaker. */
  readonly earlier?: OpenUpstreams | null
}

export interface OpenUpstreams extends Upstreams {
  /** Closes what `successor` did not take over, once it is idle. */
  retire(successor: OpenUpstreams | null): Promise<void>
  readonly opened: ReadonlyMap<string, Upstream>
}

/** What one request may be sent to. */
interface Plan {
  readonly route: RouteConfig | null
  readonly model: string | null
  readonly targets: readonly Candidate[]
  readonly fallbacks: readonly Candidate[]
}

interface Outcome {
  readonly repeat: Repeat
  readonly give: () => LeadResponse
  readonly drop: () => void
  readonly retryAfterMs: number | null
}

const MAX_REST_MS = 60_000

/** @throws usage-invalid, and what opening an upstream throws */
export async function openUpstreams(options: UpstreamsOptions): Promise<OpenUpstreams> {
  const { fallThrough, clock, random, earlier = null } = options
  const { sleep = (ms, signal) => pause(ms, undefined, { signal }) } = options
  const opened = await openAll(options, earlier)
  const routes = new Map(options.routes.map(route => [route.name, route]))
  const views = options.routes.map(({ name, cache }): RouteView => ({ name, cache }))
  const stopChecks = startHealthChecks([...opened.values()])
  const ownLead = typeof fallThrough === 'string' ? null : fallThrough

  const candidates = (targets: readonly RouteTarget[], path: string): Candidate[] =>
    targets.flatMap(target => {
      const upstream = opened.get(target.upstream)
      const isFitting = upstream?.config.apis.includes(apiOf(path)) === true
      return upstream !== undefined && isFitting ? [{ target, upstream }] : []
    })

  const planOf = (request: LeadRequest): Plan | null => {
    const model = request.body === null ? null : modelIn(request.body)
    const route = model === null ? null : (routes.get(model) ?? null)
    if (route !== null) {
      const targets = candidates(route.targets, request.path)
      const fallbacks = candidates(route.fallbacks, request.path)
      if (targets.length + fallbacks.length > 0) return { route, model, targets, fallbacks }
      throw new UnderstudyError(
        'not-found',
        `No upstream of route '${route.name}' speaks the API of ${request.path.split('?')[0]?.slice(0, 100)}.`,
        {
          help: 'Call the API that its upstreams speak, or correct their `api` in the configuration.',
        },
      )
    }
    if (ownLead !== null) return null
    if (typeof fallThrough !== 'string') throw unknownModel(model, [...routes.keys()])
    const target = { upstream: fallThrough, model: null, weight: 1 }
    return {
      route: null,
      model,
      targets: [{ target, upstream: opened.get(fallThrough) as Upstream }],
      fallbacks: [],
    }
  }

  const tryOne = async (
    { target, upstream }: Candidate,
    request: LeadRequest,
    plan: Plan,
    how: { tries: RouteTry[]; deadlineMs: number | null; pass: BreakerPass },
  ): Promise<Outcome> => {
    const { tries, ...limits } = how
    const timeouts: UpstreamTimeouts = { ...upstream.config.timeouts, ...plan.route?.timeouts }
    const model = target.model ?? null
    const startMs = clock.monotonic()
    const note = (status: number | null, error: string | null): void => {
      const latencyMs = clock.monotonic() - startMs
      tries.push({ upstream: upstream.config.name, model, status, error, latencyMs })
    }
    try {
      const response = await attempt(upstream, request, { ...limits, model, timeouts, clock })
      note(response.status, null)
      const asked = retryAfterMs(response.headers['retry-after'], clock.now())
      if (asked !== null && [429, 503, 529].includes(response.status)) {
        upstream.restUntilMs = clock.monotonic() + Math.min(asked, MAX_REST_MS)
      }
      const trail = { ...trailOf(plan, tries), upstream: upstream.config.name, model }
      return {
        repeat: repeatOfStatus(response.status, { hasOwnKey: upstream.config.apiKey !== null }),
        give: () => ({ ...response, trail }),
        drop: () =>
          void response.body[Symbol.asyncIterator]()
            .return?.()
            .catch(() => undefined),
        retryAfterMs: asked,
      }
    } catch (error) {
      note(null, isUnderstudyError(error) ? error.code : 'bug')
      return {
        repeat: repeatOfError(error),
        give: () => {
          throw withTrail(error, trailOf(plan, tries))
        },
        drop: () => {},
        retryAfterMs: null,
      }
    }
  }

  const follow = async (plan: Plan, request: LeadRequest): Promise<LeadResponse> => {
    const tries: RouteTry[] = []
    const totalMs =
      plan.route?.timeouts.totalMs ?? plan.targets[0]?.upstream.config.timeouts.totalMs ?? null
    const deadlineMs = totalMs === null ? null : clock.monotonic() + totalMs
    const retriesLeft = new Map(plan.targets.map(each => [each, each.upstream.config.retryCount]))
    const fallbacks = [...plan.fallbacks]
    let waiting = [...plan.targets]
    let last: Outcome | null = null
    for (let round = 0; ; ) {
      const next = choose(waiting, clock.monotonic(), random())
      const pass = next?.upstream.breaker.enter() ?? null
      if (next !== null && pass !== null) {
        last?.drop()
        last = await tryOne(next, request, plan, { tries, deadlineMs, pass })
        if (last.repeat === 'final') return last.give()
        waiting = waiting.filter(each => each !== next)
        if (last.repeat === 'elsewhere') retriesLeft.delete(next)
        continue
      }
      const again = [...retriesLeft].filter(
        ([each, left]) => left > 0 && isAvailable(each.upstream),
      )
      const waitMs = Math.max(last?.retryAfterMs ?? 0, 0) + backoffMs(round, random())
      const mayWait =
        waitMs <= LONGEST_WAIT_MS &&
        (deadlineMs === null || clock.monotonic() + waitMs < deadlineMs)
      if (last !== null && again.length > 0 && mayWait) {
        round++
        for (const [each, left] of again) retriesLeft.set(each, left - 1)
        waiting = again.map(([each]) => each)
        await sleep(waitMs, request.signal).catch(cause => {
          const isUnsent = tries.every(({ error }) => error !== 'upstream-timeout')
          throw new UnderstudyError('cancelled', 'The caller left before an upstream answered.', {
            details: { trail: trailOf(plan, tries), ...(isUnsent && { isUnsent }) },
            cause,
          })
        })
        continue
      }
      retriesLeft.clear()
      const fallback = fallbacks.shift()
      if (fallback === undefined) break
      waiting = [fallback]
    }
    if (last !== null) return last.give()
    throw noneAvailable(plan, tries)
  }

  /** Requests that have no answer yet, and may still need any of their upstreams. */
  const underWay = new Set<Promise<LeadResponse>>()
  return {
    name: ownLead?.name ?? (typeof fallThrough === 'string' ? `upstream ${fallThrough}` : 'routes'),
    opened,
    async send(request) {
      const plan = planOf(request)
      if (plan === null) return (ownLead as Lead).send(request)
      const answer = follow(plan, request)
      underWay.add(answer)
      return answer.finally(() => underWay.delete(answer))
    },
    speaks(path, model) {
      const route = routes.get(model)
      const names = route === undefined ? [fallThrough] : upstreamsOf(route)
      const apis = names.flatMap(name =>
        typeof name === 'string' ? (opened.get(name)?.config.apis ?? []) : [],
      )
      if (apis.length === 0) return ownLead?.speaks?.(path, model) ?? true
      return apis.includes(apiOf(path)) || !apis.includes('openai')
    },
    states: () => [...opened.values()].map(stateOf),
    routes: () => views,
    route: model => (model === null ? null : (views.find(({ name }) => name === model) ?? null)),
    async close() {
      stopChecks()
      await Promise.all([...opened.values()].map(({ lead }) => lead.close()))
    },
    async retire(successor) {
      stopChecks()
      while (underWay.size > 0) await Promise.allSettled(underWay)
      const kept = new Set([...(successor?.opened.values() ?? [])].map(({ lead }) => lead))
      const leaving = [...opened.values()].map(({ lead }) => lead).filter(lead => !kept.has(lead))
      await Promise.all(leaving.map(lead => lead.drain?.() ?? lead.close()))
    },
  }
}

async function openAll(
  { upstreams, open, clock }: UpstreamsOptions,
  earlier: OpenUpstreams | null,
): Promise<ReadonlyMap<string, Upstream>> {
  const opened = new Map<string, Upstream>()
  const fresh: Lead[] = []
  try {
    for (const config of upstreams) {
      const same = earlier?.opened.get(config.name)
      if (same !== undefined && canonicalJson(same.config) === canonicalJson(config)) {
        opened.set(config.name, same)
        continue
      }
      const lead = await open(config)
      fresh.push(lead)
      opened.set(config.name, createUpstream(config, lead, clock))
    }
    return opened
  } catch (error) {
    await Promise.all(fresh.map(lead => lead.close()))
    throw error
  }
}

function upstreamsOf({ targets, fallbacks }: RouteConfig): readonly string[] {
  return [...targets, ...fallbacks].map(({ upstream }) => upstream)
}

function unknownModel(model: string | null, routes: readonly string[]): UnderstudyError {
  if (model === null) {
    return new UnderstudyError('no-lead', 'No upstream answers what names no route.', {
      help: 'Name a route as the model, or set `lead` to the upstream that answers everything else.',
    })
  }
  const near = nearest(model, routes)
  const hint = near === null ? '' : ` Did you mean '${near}'?`
  return new UnderstudyError(
    'model-not-found',
    `There is no model '${model.slice(0, 100)}'.${hint}`,
    {
      help: 'List what there is at /v1/models.',
      details: { param: 'model' },
    },
  )
}

function noneAvailable(plan: Plan, tries: readonly RouteTry[]): UnderstudyError {
  const { route, targets, fallbacks } = plan
  const all = [...targets, ...fallbacks].map(({ upstream }) => upstream)
  const isFull = all.some(({ isHealthy, breaker }) => isHealthy && breaker.isPassable)
  const what = route === null ? 'the lead' : `route '${route.name}'`
  const waits = all.map(({ breaker }) => breaker.waitMs).filter(ms => ms > 0)
  const details = {
    retryAfterSeconds: Math.ceil(
      Math.max(1000, Math.min(...(waits.length > 0 ? waits : [1000]))) / 1000,
    ),
    trail: trailOf(plan, tries),
  }
  return isFull
    ? new UnderstudyError('overloaded', `Every upstream of ${what} is as busy as it may be.`, {
        help: 'Try again in a moment.',
        details,
      })
    : new UnderstudyError('upstream-unavailable', `No upstream of ${what} is in health.`, {
        help: 'Try again in a moment; /understudy/v1/status tells which upstreams fail.',
        details,
      })
}

/** The trail of a request that nobody has answered yet. */
function trailOf({ route }: Plan, tries: readonly RouteTry[]): RouteTrail {
  return { route: route?.name ?? null, upstream: null, model: null, tries }
}

function withTrail(error: unknown, trail: RouteTrail): unknown {
  if (!isUnderstudyError(error)) return error
  const { code, message, help, details, cause } = error
  return new UnderstudyError(code, message, {
    ...(help === undefined ? {} : { help }),
    details: { ...details, trail },
    cause,
  })
}
