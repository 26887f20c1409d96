/** A circuit breaker: stops sending to what keeps failing, and lets one request at a time find out whether it is back. */
import type { Clock } from '../util/index.ts'

export type BreakerState = 'closed' | 'open' | 'half-open'

export interface Breaker {
  readonly state: BreakerState
  /** Milliseconds until a request may try again; 0 where one may now. */
  readonly waitMs: number
  /** True where `enter` would succeed. */
  readonly isPassable: boolean
  /** Takes the right to send. In half-open state only one holds it at a time. */
  enter(): boolean
  /** What came of it. `neither`: nothing that says how the upstream is, such as a caller who left. */
  leave(outcome: 'success' | 'failure' | 'neither'): void
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
  let isProbing = false

  const waitMs = (): number =>
    openUntilMs === null ? 0 : Math.max(0, openUntilMs - clock.monotonic())
  const isPassable = (): boolean => openUntilMs === null || (waitMs() === 0 && !isProbing)
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
      if (!isPassable()) return false
      isProbing = openUntilMs !== null
      return true
    },
    leave(outcome) {
      isProbing = false
      if (outcome === 'success') {
        failures = 0
        openUntilMs = null
      } else if (outcome === 'failure') {
        failures++
        if (openUntilMs !== null || failures >= failureCount) {
          openUntilMs = clock.monotonic() + openMs
        }
      }
    },
  }
}
