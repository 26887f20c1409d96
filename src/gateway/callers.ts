/** Who may call: keys, and where a browser's request came from. Knows nothing of what is asked. */
import type { Key, Keys } from '../access/index.ts'
import { UnderstudyError } from '../errors.ts'
import type { Door } from './incoming.ts'

/** True for an address that only this machine can reach. */
export function isLoopback(host: string): boolean {
  const bare = host.replace(/^\[|\]$/gu, '').toLowerCase()
  return bare === 'localhost' || bare === '::1' || /^127(?:\.\d{1,3}){3}$/u.test(bare)
}

/** Headers that may hold a caller's key: the OpenAI clients send the one, Anthropic's the other. */
export interface Credentials {
  readonly authorization?: string
  readonly 'x-api-key'?: string
}

function presentedKey(headers: Credentials): string {
  const bearer = /^Bearer +(\S+) *$/iu.exec(headers.authorization ?? '')?.[1]
  return bearer ?? headers['x-api-key']?.trim() ?? ''
}

/**
 * The key that a caller presents, null where none is required.
 * @throws key-invalid
 */
export function authenticate(
  keys: Keys,
  headers: Credentials,
  { isExposed = false }: Pick<Door, 'isExposed'>,
): Key | null {
  if (keys.areRequired) return keys.find(presentedKey(headers))
  if (!isExposed) return null
  // It began with keys, or it would not listen there; the last one was taken away since.
  throw new UnderstudyError(
    'key-invalid',
    'This gateway has no key left, and other machines reach it.',
    {
      help: 'Add a key to its configuration, or run `understudy key create` on its machine once it is stopped.',
    },
  )
}

/**
 * Who may call what: callers the models, auditors what only tells, operators everything. Jobs read files, and decisions
 * show every app's prompts, so neither is for callers.
 * @throws role-insufficient
 */
export function checkRole(key: Key | null, method: string, path: string): void {
  if (key === null || key.role === 'operator') return
  const isModel = path.startsWith('/v1/')
  const isReading = method === 'GET' || method === 'HEAD'
  if (key.role === 'caller' ? isModel : !isModel && isReading) return
  throw new UnderstudyError(
    'role-insufficient',
    `The key '${key.name}' is a${key.role === 'auditor' ? 'n auditor' : ' caller'}'s, which does not open ${method} ${path.slice(0, 100)}.`,
    { help: 'Use a key of an operator.' },
  )
}

/** Headers that tell what made a browser send a request. */
export interface BrowserHeaders {
  readonly host?: string
  readonly origin?: string
  readonly 'sec-fetch-site'?: string
  readonly 'sec-fetch-mode'?: string
}

/** Images and scripts of a foreign page come without an origin; a link that somebody follows is let through. */
function checkFetchMetadata({
  'sec-fetch-site': site,
  'sec-fetch-mode': mode,
}: BrowserHeaders): void {
  if ((site !== 'cross-site' && site !== 'same-site') || mode === 'navigate') return
  throw new UnderstudyError('origin-forbidden', 'Foreign pages may not call this gateway.', {
    help: 'Call it from a server, or name that host in its allowed hosts.',
  })
}

/**
 * Refuses what a hostile web page could make a browser send to a gateway on loopback: requests addressed by a foreign
 * name (DNS rebinding), and requests that come from a foreign page.
 * @throws origin-forbidden, request-invalid
 */
export function checkBrowserOrigin(headers: BrowserHeaders, allowedHosts: readonly string[]): void {
  const { host, origin } = headers
  const isOurs = (name: string): boolean => isLoopback(name) || allowedHosts.includes(name)
  const addressed = host === undefined ? null : namedIn(host)
  if (host !== undefined && addressed === null) {
    throw new UnderstudyError('request-invalid', 'The host header is malformed.', {
      help: 'Send a plain HTTP request.',
    })
  }
  if (addressed !== null && !isOurs(addressed)) {
    throw new UnderstudyError(
      'origin-forbidden',
      `The host '${addressed.slice(0, 100)}' is not ours.`,
      {
        help: 'Call the gateway as localhost, or name this host in its allowed hosts.',
      },
    )
  }
  if (origin === undefined) {
    checkFetchMetadata(headers)
    return
  }
  const from = hostnameOf(origin)
  if (from === null || !isOurs(from)) {
    throw new UnderstudyError(
      'origin-forbidden',
      `Pages of '${origin.slice(0, 100)}' may not call this gateway.`,
      { help: 'Call it from a server, or name that host in its allowed hosts.' },
    )
  }
}

/** The name in a host header, without the port; null where it is none. */
function namedIn(host: string): string | null {
  return /^([\w.-]+|\[[\da-f:.]+\])(?::\d{1,5})?$/iu.exec(host)?.[1] ?? null
}

function hostnameOf(url: string): string | null {
  return URL.canParse(url) ? new URL(url).hostname : null
}
