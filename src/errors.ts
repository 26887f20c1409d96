/** The one error class and the one table of codes. Knows nothing of HTTP bodies or terminals: those render it. */

/** Every code an `UnderstudyError` may carry: HTTP status, OpenAI error type, process exit code. */
export const ERRORS = {
  'request-invalid': { status: 400, type: 'invalid_request_error', exit: 2 },
  'request-too-large': { status: 413, type: 'invalid_request_error', exit: 2 },
  'usage-invalid': { status: 400, type: 'invalid_request_error', exit: 2 },
  'config-invalid': { status: 500, type: 'server_error', exit: 2 },
  'key-invalid': { status: 401, type: 'authentication_error', exit: 2 },
  'role-insufficient': { status: 403, type: 'permission_error', exit: 2 },
  'model-forbidden': { status: 403, type: 'permission_error', exit: 2 },
  'rate-limited': { status: 429, type: 'rate_limit_error', exit: 1 },
  'budget-exceeded': { status: 429, type: 'insufficient_quota', exit: 1 },
  'origin-forbidden': { status: 403, type: 'permission_error', exit: 2 },
  'not-found': { status: 404, type: 'invalid_request_error', exit: 2 },
  'model-not-found': { status: 404, type: 'invalid_request_error', exit: 2 },
  'specialist-not-found': { status: 409, type: 'invalid_request_error', exit: 2 },
  overloaded: { status: 503, type: 'server_error', exit: 1 },
  'no-lead': { status: 503, type: 'server_error', exit: 1 },
  'upstream-unavailable': { status: 502, type: 'upstream_error', exit: 1 },
  'upstream-timeout': { status: 504, type: 'upstream_error', exit: 1 },
  'upstream-invalid': { status: 502, type: 'upstream_error', exit: 1 },
  'file-unreadable': { status: 400, type: 'invalid_request_error', exit: 2 },
  'file-corrupt': { status: 500, type: 'server_error', exit: 1 },
  'model-unavailable': { status: 503, type: 'server_error', exit: 1 },
  'model-corrupt': { status: 500, type: 'server_error', exit: 1 },
  'runtime-missing': { status: 501, type: 'server_error', exit: 1 },
  'runtime-failed': { status: 500, type: 'server_error', exit: 1 },
  'ledger-unwritable': { status: 500, type: 'server_error', exit: 1 },
  'ledger-corrupt': { status: 500, type: 'server_error', exit: 1 },
  'store-unavailable': { status: 503, type: 'server_error', exit: 1 },
  'data-folder-busy': { status: 409, type: 'server_error', exit: 1 },
  'training-diverged': { status: 422, type: 'invalid_request_error', exit: 1 },
  'job-failed': { status: 500, type: 'server_error', exit: 1 },
  cancelled: { status: 499, type: 'server_error', exit: 130 },
  bug: { status: 500, type: 'server_error', exit: 70 },
} as const

export type ErrorCode = keyof typeof ERRORS

export interface ErrorOptions {
  /** What to do about it, one sentence starting with a verb. */
  help?: string
  /** Values worth logging; never secrets or prompts. */
  details?: Record<string, unknown>
  cause?: unknown
}

const MARK = Symbol.for('understudy.error')

/** The only error class thrown on purpose. `message` says what was wrong, `help` what to do. */
export class UnderstudyError extends Error {
  readonly code: ErrorCode
  readonly help: string | undefined
  readonly details: Record<string, unknown>
  readonly [MARK] = true

  constructor(code: ErrorCode, message: string, { help, details = {}, cause }: ErrorOptions = {}) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = 'UnderstudyError'
    this.code = code
    this.help = help
    this.details = details
  }
}

/** True for an `UnderstudyError` of any copy of this package. */
export function isUnderstudyError(error: unknown): error is UnderstudyError {
  return typeof error === 'object' && error !== null && MARK in error
}

/** True for an `UnderstudyError` of this code. */
export function hasCode(error: unknown, code: ErrorCode): error is UnderstudyError {
  return isUnderstudyError(error) && error.code === code
}

/** Stops on a programmer's mistake: a failure here is a bug in Understudy. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) {
    throw new UnderstudyError('bug', `Understudy has a bug: ${message}`, {
      help: 'Report it with the command that led here.',
    })
  }
}

/** Marks a branch that the types rule out. */
export function unreachable(value: never): never {
  throw new UnderstudyError('bug', `Understudy has a bug: unexpected value ${String(value)}`, {
    help: 'Report it with the command that led here.',
  })
}
