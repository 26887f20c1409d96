/** One call to the lead on a caller's behalf: what is sent, and what stops it. Knows no answers. */
import { UnderstudyError } from '../errors.ts'
import type { Lead, LeadResponse } from '../runtimes/index.ts'
import { type HeaderMap, headersForLead } from './intent.ts'

export interface LeadCall {
  readonly response: LeadResponse
  /** Stops the lead; harmless once it is done. */
  readonly abort: () => void
}

export interface LeadCallOptions {
  readonly method: string
  /** Path and query. */
  readonly target: string
  readonly headers: HeaderMap
  readonly body: Uint8Array | null
  /** The caller's own Authorization goes to the lead. */
  readonly keepsAuthorization: boolean
  readonly callerSignal: AbortSignal
}

/**
 * Sends a request to the lead; a caller who leaves takes the lead's request along.
 * @throws no-lead, upstream-unavailable, upstream-timeout, upstream-invalid, cancelled
 */
export async function callLead(
  lead: Lead | null,
  { method, target, headers, body, keepsAuthorization, callerSignal }: LeadCallOptions,
): Promise<LeadCall> {
  if (lead === null) throw noLead()
  const controller = new AbortController()
  const abort = (): void => controller.abort()
  if (callerSignal.aborted) abort()
  callerSignal.addEventListener('abort', abort, { once: true })
  const response = await lead.send({
    method,
    path: target,
    headers: headersForLead(headers, { keepsAuthorization }),
    body,
    signal: controller.signal,
  })
  if (response.status < 200 || response.status > 599) {
    abort()
    throw new UnderstudyError('upstream-invalid', `The lead answered status ${response.status}.`, {
      help: 'Check that its address leads to an OpenAI-compatible API.',
    })
  }
  return { response, abort }
}

/** The error of a gateway without a lead, for what no specialist answers. */
export function noLead(): UnderstudyError {
  return new UnderstudyError('no-lead', 'No lead is configured, and no specialist answers this.', {
    help: 'Start with `--lead URL` (an OpenAI-compatible API), `--lead replay:FILE` (recorded traffic) or `--lead local:MODEL` (a small model on this machine).',
  })
}

/**
 * The path and query of a request, as they go to the lead.
 * @throws request-invalid for a path that an upstream server might read as leading elsewhere
 */
export function targetOf(url: string): string {
  const { pathname, search } = new URL(url)
  let path = pathname
  // Twice, since a server behind a proxy may decode what the proxy decoded before.
  for (let round = 0; round < 2; round++) path = decodedOnce(path)
  if (/(?:^|[\\/])\.\.?(?:[\\/]|$)|[\\\0]/u.test(path)) {
    throw new UnderstudyError('request-invalid', 'The path holds dot segments or a backslash.', {
      help: 'Call the API by its plain path.',
    })
  }
  return pathname + search
}

function decodedOnce(path: string): string {
  try {
    return decodeURIComponent(path)
  } catch {
    return path
  }
}
