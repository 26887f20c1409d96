/** A circuit breaker: stops sending to what keeps failing, and lets one request at a time find out whether it is back. */
import type { Clock } from '../util/index.ts'

export type BreakerState = 'closed' | 'open' | 'half-open'

export interface Breaker {
  readonly state: BreakerState
  /** Milliseconds until a request may try again; 0 where one may now. */
  readonly waitMs: number
  /** True where `enter` would succeed. */
  readonly isPassable: boolean
  /** The right to send one request; null where there is none now. In half-open state only one is out at a time. */
  enter(): BreakerPass | null
}

/** `neither`: nothing that says how the upstream is, such as a caller who left. */
export type BreakerOutcome = 'success' | 'failure' | 'neither'

export interface BreakerPass {
  /** What came of the request. */
  leave(outcome: BreakerOutcome): void
}

export interface BreakerOptions {
  /** Failures in a row that open it. */
  readonly failureCount: number
  readonly openMs: number
  readonly clock: Pick<Clock, 'monotonic'>
}

export function createBreaker({ failureCount, openMs, clock }: BreakerOptions): Breaker {
  let failures = 0
  let openUntilMs: number | null = null
  /** The pass of the one request that finds out. */
  let probe: BreakerPass | null = null

  const waitMs = (): number =>
    openUntilMs === null ? 0 : Math.max(0, openUntilMs - clock.monotonic())
  const isPassable = (): boolean => openUntilMs === null || (waitMs() === 0 && probe === null)
  return {
    get state() {
      if (openUntilMs === null) return 'closed'
      return waitMs() > 0 ? 'open' : 'half-open'
    },
    get waitMs() {
      return waitMs()
    },
    get isPassable() {
      return isPassable()
    },
    enter() {
      if (!isPassable()) return null
      const pass: BreakerPass = {
        leave(outcome) {
          const isProbe = probe === pass
          if (isProbe) probe = null
          if (outcome === 'success') {
            failures = 0
            openUntilMs = null
            // One that is still under way must not stand for the probe of a later opening.
            probe = null
          } else if (outcome === 'failure') {
            failures++
            // Requests that were sent before it opened tell nothing new by failing later.
            const isNews = openUntilMs === null ? failures >= failureCount : isProbe
            if (isNews) openUntilMs = clock.monotonic() + openMs
          }
        },
      }
      if (openUntilMs !== null) probe = pass
      return pass
    },
  }
}
