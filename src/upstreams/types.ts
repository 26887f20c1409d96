/** What the gateway sees of its upstreams. */
import type { RouteCache } from '../config/index.ts'
import type { Lead } from '../runtimes/index.ts'
import type { BreakerState } from './breaker.ts'

export interface UpstreamState {
  readonly name: string
  /** Of its active health check; true where there is none. */
  readonly isHealthy: boolean
  readonly breaker: BreakerState
  /** Requests under way. */
  readonly activeCount: number
  /** Tries since it was opened, and how many of them failed. */
  readonly tryCount: number
  readonly failureCount: number
}

export interface RouteView {
  readonly name: string
  /** Null: answers of this route are not kept. */
  readonly cache: RouteCache | null
}

/** Several upstreams behind the one interface of a lead: each request goes where the route of its model leads. */
export interface Upstreams extends Lead {
  states(): readonly UpstreamState[]
  routes(): readonly RouteView[]
  /** The route that a model names; null where it is none. */
  route(model: string | null): RouteView | null
}
