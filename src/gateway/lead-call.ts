/** One call to the lead on a caller's behalf: what is sent, and what stops it. Knows no answers. */
import { UnderstudyError } from '../errors.ts'
import type { Lead, LeadResponse } from '../runtimes/index.ts'
import type { RawRequest } from './incoming.ts'
import { type HeaderMap, headersForLead } from './intent.ts'

export interface LeadCallOptions {
  readonly method: string
  /** Path and query. */
  readonly target: string
  readonly headers: HeaderMap
  readonly body: Uint8Array | null
  /** The caller's own Authorization goes to the lead. */
  readonly keepsAuthorization: boolean
  /** The caller's request: who leaves takes the lead's request along. */
  readonly caller: Pick<RawRequest, 'signal' | 'abort'>
}

/**
 * Sends a request to the lead; a caller who leaves takes the lead's request along.
 * @throws no-lead, upstream-unavailable, upstream-timeout, upstream-invalid, cancelled
 */
export async function callLead(
  lead: Lead | null,
  { method, target, headers, body, keepsAuthorization, caller }: LeadCallOptions,
): Promise<LeadResponse> {
  if (lead === null) throw noLead()
  checkMethod(method)
  const response = await lead.send({
    method,
    path: target,
    headers: headersForLead(headers, { keepsAuthorization }),
    body,
    signal: caller.signal,
  })
  if (response.status < 200 || response.status > 599) {
    caller.abort()
    throw new UnderstudyError('upstream-invalid', `The lead answered status ${response.status}.`, {
      help: 'Check that its address leads to an OpenAI-compatible API.',
    })
  }
  return response
}

/** What the API uses. TRACE stays out: a server that answers it echoes the request, and with it the lead's key. */
const METHODS: ReadonlySet<string> = new Set([
  'GET',
  'HEAD',
  'POST',
  'PUT',
  'PATCH',
  'DELETE',
  'OPTIONS',
])

function checkMethod(method: string): void {
  if (METHODS.has(method)) return
  throw new UnderstudyError('request-invalid', `The method ${method} is not passed on.`, {
    help: `Use ${[...METHODS].join(', ')}.`,
  })
}

/** The error of a gateway without a lead, for what no specialist answers. */
export function noLead(): UnderstudyError {
  return new UnderstudyError('no-lead', 'No lead is configured, and no specialist answers this.', {
    help: 'Start with `--lead URL` (an OpenAI-compatible API), `--lead replay:FILE` (recorded traffic) or `--lead local:MODEL` (a small model on this machine).',
  })
}

/** Paths as every client sends them, which need no second look. */
const PLAIN_TARGET = /^(?:\/[\w-]+(?:\.[\w-]+)*)+$/u

/**
 * The path and query of a request, as they go to the lead.
 * @throws request-invalid for a path that an upstream server might read as leading elsewhere
 */
export function checkedTarget(target: string): string {
  if (PLAIN_TARGET.test(target)) return target
  // Clients keep fragments to themselves; what comes with one would go on as another target than the one looked at.
  if (target.includes('#')) throw detour('The path or the query holds a #.')
  const [sent = ''] = target.split('?')
  if (!isUtf8Encoded(sent)) throw detour('The path is not percent-encoded UTF-8.')
  decodedWholly(sent)
  const { pathname, search } = new URL(target, 'http://localhost')
  return pathname + search
}

/**
 * The path of a checked target as the most lenient of servers reads it: decoded, in lower case, without parameters, empty
 * segments and a slash at its end.
 */
export function lenientPath(target: string): string {
  const [sent = ''] = target.split('?')
  return decodedWholly(sent)
    .replace(/[?#].*$/su, '')
    .replace(/;[^/]*/gu, '')
    .replace(/\/+/gu, '/')
    .replace(/\/$/u, '')
    .toLowerCase()
}

/**
 * More than once, since each server behind a proxy may decode what the one before has decoded.
 * @throws request-invalid
 */
function decodedWholly(sent: string): string {
  let path = sent
  for (let round = 0; round < MAX_DECODINGS; round++) {
    refuseDetours(path)
    const next = decodedOnce(path)
    if (next === path) return path
    path = next
  }
  throw detour(`The path is percent-encoded more than ${MAX_DECODINGS} times.`)
}

const MAX_DECODINGS = 5

/** Dot segments, also with parameters as some servers read them (`..;`); backslashes; control characters. */
function refuseDetours(path: string): void {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what this is about
  if (!/(?:^|[\\/])\.\.?(?:[\\/;]|$)|[\\\u0000-\u001f\u007f]/u.test(path)) return
  throw detour('The path holds dot segments, a backslash or a control character.')
}

function detour(message: string): UnderstudyError {
  return new UnderstudyError('request-invalid', message, {
    help: 'Call the API by its plain path.',
  })
}

/** Overlong and broken sequences are read as dots and slashes by some servers. */
function isUtf8Encoded(path: string): boolean {
  try {
    decodeURIComponent(path)
    return true
  } catch {
    return false
  }
}

/** Byte by byte: one sequence that is no UTF-8 must not hide the others. */
function decodedOnce(path: string): string {
  return path.replace(/%([\da-f]{2})/giu, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  )
}
