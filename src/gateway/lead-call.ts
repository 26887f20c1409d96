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
  const [sent = ''] = target.split(/[?#]/u)
  let path = sent
  // Twice, since a server behind a proxy may decode what the proxy decoded before.
  for (let round = 0; round < 2; round++) {
    refuseDetours(path)
    path = decodedOnce(path)
  }
  refuseDetours(path)
  const { pathname, search } = new URL(target, 'http://localhost')
  return pathname + search
}

function refuseDetours(path: string): void {
  if (!/(?:^|[\\/])\.\.?(?:[\\/]|$)|[\\\0]/u.test(path)) return
  throw new UnderstudyError('request-invalid', 'The path holds dot segments or a backslash.', {
    help: 'Call the API by its plain path.',
  })
}

function decodedOnce(path: string): string {
  try {
    return decodeURIComponent(path)
  } catch {
    return path
  }
}
