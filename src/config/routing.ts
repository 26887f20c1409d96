/** Upstreams, routes and the cache as the rest of the house sees them: every default filled in. Knows no YAML. */
import type { RouteSection, UpstreamSection } from './sections.ts'

export type ApiKind = 'openai' | 'anthropic'

/** Milliseconds each; null: no limit. */
export interface UpstreamTimeouts {
  readonly connectMs: number
  readonly firstTokenMs: number
  readonly idleMs: number
  readonly totalMs: number | null
}

/** A server that models run on. */
export interface UpstreamConfig {
  readonly name: string
  /** `URL`, `replay:FILE` or `local:MODEL`. */
  readonly url: string
  readonly apis: readonly ApiKind[]
  /** Secret. */
  readonly apiKey: string | null
  readonly timeouts: UpstreamTimeouts
  readonly retryCount: number
  readonly breaker: { readonly failureCount: number; readonly openMs: number }
  /** Null: only real requests tell. */
  readonly health: {
    readonly path: string
    readonly everyMs: number
    readonly timeoutMs: number
  } | null
  /** Null: no limit. */
  readonly maxConcurrency: number | null
}

export interface RouteTarget {
  /** Name of an upstream. */
  readonly upstream: string
  /** Null: the model that the caller names. */
  readonly model: string | null
  readonly weight: number
}

export interface RouteCache {
  readonly ttlMs: number
  readonly scope: 'key' | 'route'
}

/** A model name that callers may use. */
export interface RouteConfig {
  readonly name: string
  readonly targets: readonly RouteTarget[]
  readonly fallbacks: readonly RouteTarget[]
  /** What is set here goes before the upstream's. */
  readonly timeouts: Partial<Omit<UpstreamTimeouts, 'connectMs'>>
  readonly cache: RouteCache | null
}

export interface CacheConfig {
  readonly maxBytes: number
  readonly maxAnswerBytes: number
}

const MINUTE_MS = 60_000
const MIB = 2 ** 20

/** What holds for a lead that is named by its address alone. */
export const DEFAULT_TIMEOUTS: UpstreamTimeouts = {
  connectMs: 5_000,
  firstTokenMs: 10 * MINUTE_MS,
  idleMs: 5 * MINUTE_MS,
  totalMs: null,
}

export function upstreamConfig(name: string, section: UpstreamSection): UpstreamConfig {
  const { url, api = 'openai', timeouts = {}, retries = 2, breaker = {}, health } = section
  return {
    name,
    url,
    apis: typeof api === 'string' ? [api] : api,
    apiKey: section['api-key'] ?? null,
    timeouts: {
      connectMs: timeouts.connect ?? DEFAULT_TIMEOUTS.connectMs,
      firstTokenMs: timeouts['first-token'] ?? DEFAULT_TIMEOUTS.firstTokenMs,
      idleMs: timeouts.idle ?? DEFAULT_TIMEOUTS.idleMs,
      totalMs: timeouts.total ?? DEFAULT_TIMEOUTS.totalMs,
    },
    retryCount: retries,
    breaker: { failureCount: breaker.failures ?? 5, openMs: breaker['open-for'] ?? 10_000 },
    health:
      health === undefined
        ? null
        : {
            path: health.path ?? '/v1/models',
            everyMs: health.every ?? 10_000,
            timeoutMs: health.timeout ?? 2_000,
          },
    maxConcurrency: section['max-concurrency'] ?? null,
  }
}

export function routeConfig(name: string, section: RouteSection): RouteConfig {
  const { to, fallbacks = [], timeouts = {}, cache } = section
  const { 'first-token': firstTokenMs, idle: idleMs, total: totalMs } = timeouts
  return {
    name,
    targets: to.map(targetOf),
    fallbacks: fallbacks.map(targetOf),
    timeouts: {
      ...(firstTokenMs === undefined ? {} : { firstTokenMs }),
      ...(idleMs === undefined ? {} : { idleMs }),
      ...(totalMs === undefined ? {} : { totalMs }),
    },
    cache:
      cache === undefined
        ? null
        : { ttlMs: cache.ttl ?? 5 * MINUTE_MS, scope: cache.scope ?? 'key' },
  }
}

function targetOf({ upstream, model, weight }: RouteSection['to'][number]): RouteTarget {
  return { upstream, model: model ?? null, weight: weight ?? 1 }
}

export function cacheConfig(
  section: {
    readonly 'max-mb'?: number | undefined
    readonly 'max-answer-mb'?: number | undefined
  } = {},
): CacheConfig {
  return {
    maxBytes: Math.round((section['max-mb'] ?? 64) * MIB),
    maxAnswerBytes: Math.round((section['max-answer-mb'] ?? 1) * MIB),
  }
}
