/** A limit per minute that refills evenly, so that no minute's edge lets twice as much through. */
import type { Clock } from '../util/index.ts'

export interface Bucket {
  readonly limit: number
  /** What is left; below 0 where more was used than expected. */
  readonly level: number
  /** Milliseconds until `amount` is there, at most the whole of the limit. */
  waitMs(amount: number): number
  /** Uses an amount; a negative one gives back. */
  take(amount: number): void
}

const MINUTE_MS = 60_000

export function createBucket(limit: number, clock: Pick<Clock, 'monotonic'>): Bucket {
  let held = limit
  let atMs = clock.monotonic()
  const level = (): number => {
    const nowMs = clock.monotonic()
    held = Math.min(limit, held + ((nowMs - atMs) * limit) / MINUTE_MS)
    atMs = nowMs
    return held
  }
  return {
    limit,
    get level() {
      return level()
    },
    waitMs(amount) {
      const missing = Math.min(amount, limit) - level()
      // Below a millionth it is rounding, not use.
      return missing <= 1e-6 ? 0 : Math.ceil((missing * MINUTE_MS) / limit)
    },
    take(amount) {
      held = Math.min(limit, level() - amount)
    },
  }
}
