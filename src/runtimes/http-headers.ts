/** Which headers travel beyond one connection. Knows no policy about keys. */

/** RFC 9110 §7.6.1, and what the HTTP library sets itself. */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
  'expect',
  'host',
  'content-length',
])

/** Headers to send on, names in lower case: without those of this hop, and without those that `connection` names. */
export function endToEndHeaders(
  headers: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  const named = (headers.connection ?? '').toLowerCase().split(',')
  const dropped = new Set(named.map(name => name.trim()))
  return Object.fromEntries(
    Object.entries(headers)
      .map(([name, value]) => [name.toLowerCase(), value] as const)
      .filter(([name]) => !HOP_BY_HOP.has(name) && !dropped.has(name)),
  )
}
