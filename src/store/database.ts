/** What the store needs of a database, whichever it is. Knows no tables. */
import { isUnderstudyError, UnderstudyError } from '../errors.ts'
import { settledWithin } from '../util/index.ts'

/** Everything that a statement may carry, so that it crosses process borders unchanged. */
export type Value = string | number | boolean | null

export type Row = Readonly<Record<string, unknown>>

export interface Queryable {
  /** Runs one statement; `$1` … stand for the values. @throws store-unavailable */
  query(sql: string, values?: readonly Value[]): Promise<readonly Row[]>
}

export interface Database extends Queryable {
  /**
   * Runs `work` in one transaction: committed when it resolves, rolled back when it throws. Nothing else runs on its
   * connection meanwhile.
   * @throws store-unavailable, and whatever `work` throws
   */
  transaction<T>(work: (tx: Queryable) => Promise<T>): Promise<T>
  close(): Promise<void>
}

/** A driver's error as ours. `details.sqlState` tells bad data (class 22) from a database that is away. */
export function storeUnavailable(cause: unknown): UnderstudyError {
  if (isUnderstudyError(cause)) return cause
  const { message, code } = (cause ?? {}) as { message?: unknown; code?: unknown }
  const sqlState = typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) ? code : null
  const text = String(message || code || reasonOf(cause))
  return new UnderstudyError('store-unavailable', `the database did not do its work: ${text}`, {
    help: 'Check that the database runs and can be reached; recording goes on meanwhile.',
    details: { sqlState },
    cause,
  })
}

/** PGlite's file system throws objects that are no errors and say nothing but a number. */
export function reasonOf(cause: unknown): string {
  if (cause instanceof Error) return cause.message
  const { errno } = (cause ?? {}) as { errno?: unknown }
  return typeof errno === 'number' ? `its file system failed (errno ${errno})` : String(cause)
}

/** Rejects when nothing came in time; what is late is ignored. */
export async function withTimeout<T>(
  work: Promise<T>,
  timeoutMs: number,
  what: string,
): Promise<T> {
  if (await settledWithin(work, timeoutMs)) return work
  throw storeUnavailable(new Error(`${what} took longer than ${timeoutMs} ms`))
}
