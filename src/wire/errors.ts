/** Errors and lists in the API's own shape. Knows no HTTP framework. */
import { ERRORS, isUnderstudyError, type UnderstudyError } from '../errors.ts'
import { isObject } from './json.ts'

/** The API's error object. */
export interface ErrorBody {
  readonly error: {
    readonly message: string
    readonly type: string
    readonly param: string | null
    readonly code: string
  }
}

/** An error for the caller: status, and a body whose message ends with what to do. Foreign errors say only `bug`. */
export function errorBody(error: unknown): { readonly status: number; readonly body: ErrorBody } {
  if (!isUnderstudyError(error)) {
    return render(ERRORS.bug, 'bug', 'Understudy failed on this request.', null)
  }
  return render(ERRORS[error.code], error.code, messageOf(error), error.details.param)
}

function messageOf({ message, help }: UnderstudyError): string {
  if (help === undefined) return message
  return `${/[.!?]$/u.test(message) ? message : `${message}.`} ${help}`
}

function render(
  row: { readonly status: number; readonly type: string },
  code: string,
  message: string,
  param: unknown,
): { readonly status: number; readonly body: ErrorBody } {
  return {
    status: row.status,
    body: {
      error: {
        message,
        type: row.type,
        param: typeof param === 'string' ? param : null,
        code: code.replaceAll('-', '_'),
      },
    },
  }
}

/** The list of models in the API's shape; `created` in seconds since the Unix epoch. */
export function modelsBody(
  models: readonly { readonly id: string; readonly created: number; readonly ownedBy: string }[],
): Readonly<Record<string, unknown>> {
  return {
    object: 'list',
    data: models.map(({ id, created, ownedBy }) => ({
      id,
      object: 'model',
      created,
      owned_by: ownedBy,
    })),
  }
}

/** Names in a list of models; none where it is no such list. */
export function modelIds(body: unknown): readonly string[] {
  const rows = isObject(body) && Array.isArray(body.data) ? body.data : []
  return rows.flatMap(row => (isObject(row) && typeof row.id === 'string' ? [row.id] : []))
}
