/** What may be tried again, where, and after how long. Sends nothing. */
import { isUnderstudyError } from '../errors.ts'

/**
 * `final`: goes to the caller. `again`: safe to send once more, here or elsewhere. `elsewhere`: only to another upstream,
 * since this one would do the same, or may be at work on it still.
 */
export type Repeat = 'final' | 'again' | 'elsewhere'

/** Statuses by which a server says that it did not do the work; 529 is Anthropic's "overloaded". */
const NOT_DONE: ReadonlySet<number> = new Set([429, 502, 503, 504, 529])

/** By status. Where the key is the gateway's own, its being refused is no fault of the caller. */
export function repeatOfStatus(
  status: number,
  { hasOwnKey }: { readonly hasOwnKey: boolean },
): Repeat {
  if (NOT_DONE.has(status)) return 'again'
  return hasOwnKey && (status === 401 || status === 403) ? 'elsewhere' : 'final'
}

/** By failure before the first byte. */
export function repeatOfError(error: unknown): Repeat {
  if (!isUnderstudyError(error)) return 'final'
  switch (error.code) {
    case 'upstream-unavailable':
      return 'again'
    case 'upstream-timeout':
      return error.details.limit === 'total' ? 'final' : 'elsewhere'
    case 'upstream-invalid':
      return 'elsewhere'
    default:
      return 'final'
  }
}

const BASE_MS = 250
const LONGEST_BACKOFF_MS = 8_000
/** A longer `Retry-After` is not waited for: the caller hears of it instead. */
export const LONGEST_WAIT_MS = 10_000

/** Full jitter: anywhere from nothing to twice as long each time, so that callers do not return all at once. */
export function backoffMs(round: number, uniform: number): number {
  return uniform * Math.min(LONGEST_BACKOFF_MS, BASE_MS * 2 ** round)
}

/** Milliseconds that `Retry-After` asks for, in seconds or as a date; null where it says nothing readable. */
export function retryAfterMs(value: string | undefined, nowMs: number): number | null {
  if (value === undefined) return null
  if (/^\s*\d{1,9}(?:\.\d+)?\s*$/u.test(value)) return Number(value) * 1000
  // Dates begin with a day of the week; the parser would take much else.
  const at = /^\s*[A-Za-z]/u.test(value) ? Date.parse(value) : Number.NaN
  return Number.isNaN(at) ? null : Math.max(0, at - nowMs)
}
