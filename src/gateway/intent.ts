/** What the caller says by `x-understudy-*` headers, and what the gateway says back. Knows no bodies. */
import type { Mode } from '../cascade/index.ts'
import { UnderstudyError } from '../errors.ts'
import type { Decision, RouteTrail, ServedBy } from '../ledger/index.ts'

/** Request headers by lower-case name. */
export type HeaderMap = Readonly<Record<string, string>>

export interface Intent {
  readonly mode: Mode
  /** The key's app, else the header's. */
  readonly app: string | null
  readonly declaredTask: string | null
}

const MODES: readonly string[] = ['auto', 'lead', 'specialist'] satisfies Mode[]
const MAX_NAME_LENGTH = 200

/**
 * Reads the `x-understudy-*` request headers.
 * @throws request-invalid
 */
export function readIntent(
  headers: HeaderMap,
  key: { readonly app: string | null } | null,
): Intent {
  const mode = headers['x-understudy-mode'] ?? 'auto'
  if (!MODES.includes(mode)) {
    throw new UnderstudyError('request-invalid', `x-understudy-mode is '${mode.slice(0, 40)}'.`, {
      help: `Use ${MODES.join(', ')}.`,
      details: { param: 'x-understudy-mode' },
    })
  }
  return {
    mode: mode as Mode,
    app: key?.app ?? nameIn(headers, 'x-understudy-app'),
    declaredTask: nameIn(headers, 'x-understudy-task'),
  }
}

/** A name in a header: plain, as UTF-8 bytes, or percent-encoded. */
function nameIn(headers: HeaderMap, header: string): string | null {
  const raw = headers[header]?.trim() ?? ''
  if (raw === '') return null
  const name = decoded(raw)
  if (name.length > MAX_NAME_LENGTH) {
    throw new UnderstudyError(
      'request-invalid',
      `${header} is longer than ${MAX_NAME_LENGTH} characters.`,
      { help: 'Use a shorter name.', details: { param: header } },
    )
  }
  return name
}

function decoded(raw: string): string {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(raw, 'latin1'))
    return decodeURIComponent(text)
  } catch {
    return raw
  }
}

/** Headers that hold a caller's key. */
const CREDENTIALS: ReadonlySet<string> = new Set([
  'authorization',
  'x-api-key',
  'api-key',
  'x-goog-api-key',
])

/**
 * Headers that tell of this network and not of the request: addresses behind the gateway, and cookies, which browsers send
 * to every port of a host.
 */
const OF_THIS_NETWORK = /^(?:cookie|forwarded|via|x-real-ip|x-client-ip|x-forwarded-.*)$/u

/** Headers to send to the lead: none of ours, and the caller's key only where it is meant for the lead. */
export function headersForLead(
  headers: HeaderMap,
  { keepsAuthorization }: { readonly keepsAuthorization: boolean },
): HeaderMap {
  const kept: Record<string, string> = {}
  for (const name of Object.keys(headers)) {
    const isOurs = name.startsWith('x-understudy-') || OF_THIS_NETWORK.test(name)
    if (isOurs || (!keepsAuthorization && CREDENTIALS.has(name))) continue
    kept[name] = headers[name] as string
  }
  return kept
}

/** Request headers that choose among versions of an API, so that answers to different ones are not mixed up. */
export function isolatedHeaders(headers: HeaderMap): HeaderMap {
  const names = ['anthropic-version', 'anthropic-beta', 'openai-beta', 'x-understudy-task']
  return Object.fromEntries(names.flatMap(name => (headers[name] ? [[name, headers[name]]] : [])))
}

export interface ServedHeaders {
  readonly servedBy: ServedBy
  /** Name of the task; its id where nothing is live for it. */
  readonly task: string | null
  readonly decision: Decision
  readonly certificate: string | null
  /** Null where the answer could not be recorded. */
  readonly decisionId: string | null
}

/** Response headers that say who served. */
export function servedHeaders({
  servedBy,
  task,
  decision,
  certificate,
  decisionId,
}: ServedHeaders): Record<string, string> {
  const confidence = decision.tiers.at(-1)?.confidence
  return {
    'x-understudy-served-by': servedBy,
    ...(task === null ? {} : { 'x-understudy-task': headerSafe(task) }),
    ...(confidence === undefined ? {} : { 'x-understudy-confidence': confidence.toFixed(4) }),
    ...(decisionId === null ? {} : { 'x-understudy-decision': decisionId }),
    ...(certificate === null ? {} : { 'x-understudy-certificate': certificate }),
  }
}

/** Response headers that say which upstream answered, and what was tried before where more than one was. */
export function trailHeaders(trail: RouteTrail | undefined): Record<string, string> {
  if (trail === undefined) return {}
  const { upstream, tries } = trail
  const told = tries.map(({ upstream: name, status, error }) => `${name}:${status ?? error}`)
  return {
    ...(upstream === null ? {} : { 'x-understudy-upstream': upstream }),
    ...(told.length < 2 ? {} : { 'x-understudy-tries': told.join(' ') }),
  }
}

/** Header values are ASCII: anything else is percent-encoded. */
function headerSafe(value: string): string {
  return /^[\x21-\x7e]+(?: [\x21-\x7e]+)*$/u.test(value) ? value : encodeURIComponent(value)
}
