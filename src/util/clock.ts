/** The only reader of the clock. Everything else is handed a `Clock`. */

export interface Clock {
  /** Milliseconds since the Unix epoch. */
  now(): number
  /** Milliseconds on a clock that never jumps. */
  monotonic(): number
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
}

/** A clock that stands still until told otherwise, for tests and simulations. */
export function fixedClock(startMs = 0): Clock & { advance(ms: number): void } {
  let nowMs = startMs
  return {
    now: () => nowMs,
    monotonic: () => nowMs - startMs,
    advance(ms) {
      nowMs += ms
    },
  }
}
