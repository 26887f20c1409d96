/** A lead behind any OpenAI-compatible API. Moves bytes; knows nothing of what they say. */
import { type Dispatcher, Pool } from 'undici'
import { UnderstudyError } from '../errors.ts'
import { call } from './http-call.ts'
import { endToEndHeaders } from './http-headers.ts'
import type { Lead, LeadRequest, LeadResponse } from './types.ts'

export interface RemoteLeadOptions {
  /** Base address, with or without the closing `/v1`. */
  readonly url: string
  /** The lead's key; without one, the caller's own Authorization goes to the lead. */
  readonly key?: string | null
  /** How the key is presented. Default: `Authorization: Bearer`, as OpenAI's API reads it. */
  readonly keyHeaders?: readonly ('authorization' | 'x-api-key')[]
  readonly connectTimeoutMs?: number
  /** Longest wait for the head of a response: a plain completion is all thought before it. 0: no limit. */
  readonly headersTimeoutMs?: number
  /** Longest silence within a response's body. 0: no limit. */
  readonly bodyTimeoutMs?: number
  /** A socket in the file system, in place of the address's host. */
  readonly socketPath?: string
  /** Connections kept to the lead at once. */
  readonly connectionCount?: number
}

/**
 * Opens a lead by its address. Connections are pooled; nothing is retried, since a completion asked twice is paid twice.
 * Bodies pass through as they come, compressed or not; `set-cookie` stays here (a gateway's callers share one session).
 * @throws usage-invalid when the address is no http(s) URL, or holds credentials
 */
export function openRemoteLead({
  url,
  key = null,
  keyHeaders = ['authorization'],
  connectTimeoutMs = 5_000,
  headersTimeoutMs = 600_000,
  bodyTimeoutMs = 300_000,
  // Each open stream holds one; what bounds them is how many requests are answered at once.
  connectionCount = 16_384,
  socketPath,
}: RemoteLeadOptions): Lead {
  const base = baseOf(url)
  const { origin, pathname } = new URL(base)
  const prefix = pathname === '/' ? '' : pathname
  const pool = new Pool(origin, {
    connections: connectionCount,
    pipelining: 1,
    headersTimeout: headersTimeoutMs,
    bodyTimeout: bodyTimeoutMs,
    connect: { timeout: connectTimeoutMs, ...(socketPath && { socketPath }) },
  })
  const credentials = key === null ? {} : credentialsOf(key, keyHeaders)
  return {
    name: `${base}/v1`,
    async send({ method, path, headers, body, signal }: LeadRequest): Promise<LeadResponse> {
      try {
        const answer = await call(
          pool,
          {
            path: `${prefix}${path}`,
            method: method as Dispatcher.HttpMethod,
            headers: Object.assign(endToEndHeaders(headers), credentials),
            body,
          },
          signal,
        )
        return {
          status: answer.status,
          headers: flatHeaders(answer.headers),
          body: translated(answer.body, base),
        }
      } catch (error) {
        throw upstreamError(error, base)
      }
    },
    close: () => pool.destroy(),
    drain: () => pool.close(),
  }
}

function credentialsOf(
  key: string,
  names: readonly ('authorization' | 'x-api-key')[],
): Readonly<Record<string, string>> {
  return Object.fromEntries(
    names.map(name => [name, name === 'authorization' ? `Bearer ${key}` : key]),
  )
}

function baseOf(url: string): string {
  const parsed = URL.canParse(url) ? new URL(url) : null
  if (parsed === null || (parsed.protocol !== 'http:' && parsed.protocol !== 'https:')) {
    throw new UnderstudyError('usage-invalid', `The lead's address '${url}' is no http(s) URL.`, {
      help: 'Give one such as https://api.openai.com/v1.',
    })
  }
  if (parsed.username !== '' || parsed.password !== '') {
    throw new UnderstudyError('usage-invalid', "The lead's address holds credentials.", {
      help: 'Put the key into UNDERSTUDY_LEAD_KEY instead.',
    })
  }
  return parsed.origin + parsed.pathname.replace(/\/+$/u, '').replace(/\/v1$/u, '')
}

function flatHeaders(headers: Readonly<Record<string, string | string[] | undefined>>) {
  const flat: Record<string, string> = {}
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || name === 'set-cookie') continue
    flat[name] = Array.isArray(value) ? value.join(', ') : value
  }
  const length = flat['content-length']
  const kept = endToEndHeaders(flat)
  if (length !== undefined) kept['content-length'] = length
  return kept
}

/** The body with errors of ours. */
function translated(
  body: AsyncIterableIterator<Uint8Array>,
  base: string,
): AsyncIterable<Uint8Array> {
  const translate = (error: unknown): never => {
    throw upstreamError(error, base)
  }
  const iterator: AsyncIterableIterator<Uint8Array> = {
    next: () => body.next().catch(translate),
    return: () => body.return?.() as Promise<IteratorResult<Uint8Array>>,
    [Symbol.asyncIterator]: () => iterator,
  }
  return iterator
}

const TIMEOUTS: ReadonlySet<string> = new Set([
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
])

function upstreamError(cause: unknown, base: string): UnderstudyError {
  const {
    name = '',
    code = '',
    isUnsent = false,
  } = cause as {
    name?: string
    code?: string
    isUnsent?: boolean
  }
  const sent = isUnsent ? { isUnsent } : {}
  if (name === 'AbortError' || code === 'UND_ERR_ABORTED') {
    return new UnderstudyError('cancelled', 'The request to the lead was cancelled.', {
      details: sent,
      cause,
    })
  }
  if (TIMEOUTS.has(code)) {
    return new UnderstudyError('upstream-timeout', `The lead at ${base} did not answer in time.`, {
      help: 'Try again later, or raise the timeout of the lead.',
      details: { code, ...sent },
      cause,
    })
  }
  return new UnderstudyError('upstream-unavailable', `The lead at ${base} cannot be reached.`, {
    help: `Check that it runs and that the address is right${code === '' ? '' : ` (${code})`}.`,
    details: { code },
    cause,
  })
}
