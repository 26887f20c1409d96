/** Who may call: keys, and where a browser's request came from. Knows nothing of what is asked. */
import { timingSafeEqual } from 'node:crypto'
import { UnderstudyError } from '../errors.ts'
import { sha256 } from '../platform/index.ts'
import type { GatewayKey } from './context.ts'

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
export function authenticate(keys: readonly GatewayKey[], headers: Credentials): GatewayKey | null {
  if (keys.length === 0) return null
  const presented = digest(presentedKey(headers))
  let found: GatewayKey | null = null
  // Every key is compared, so that the time taken does not tell which one came close.
  for (const candidate of keys) {
    if (timingSafeEqual(presented, digest(candidate.key))) found = candidate
  }
  if (found !== null) return found
  throw new UnderstudyError('key-invalid', 'The key is missing or wrong.', {
    help: 'Send `Authorization: Bearer KEY`, or `x-api-key: KEY`, with a key of this gateway.',
  })
}

/**
 * A key that belongs to one app calls models, and nothing else: jobs read files, decisions show every app's prompts.
 * @throws key-invalid
 */
export function checkOperator(key: GatewayKey | null, path: string): void {
  if (key === null || key.app === null) return
  throw new UnderstudyError('key-invalid', `The key of app '${key.app}' does not open ${path}.`, {
    help: 'Use the operator’s key: UNDERSTUDY_KEY, or one without an app in the configuration.',
  })
}

function digest(text: string): Buffer {
  return Buffer.from(sha256(text), 'hex')
}

/**
 * Refuses what a hostile web page could make a browser send to a gateway on loopback: requests addressed by a foreign
 * name (DNS rebinding), and requests that come from a foreign page.
 * @throws origin-forbidden, request-invalid
 */
export function checkBrowserOrigin(
  { host, origin }: { readonly host?: string; readonly origin?: string },
  allowedHosts: readonly string[],
): void {
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
  if (origin === undefined) return
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
