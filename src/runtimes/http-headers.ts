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

/** What almost every request says, and what names no header. */
const PLAIN_CONNECTION = /^(?:keep-alive|close)?$/iu

/** Headers to send on, names in lower case: without those of this hop, and without those that `connection` names. */
export function endToEndHeaders(headers: Readonly<Record<string, string>>): Record<string, string> {
  const { connection = '' } = headers
  const named = PLAIN_CONNECTION.test(connection) ? [] : connection.toLowerCase().split(',')
  const dropped = named.map(name => name.trim())
  const kept: Record<string, string> = {}
  for (const given of Object.keys(headers)) {
    const name = given.toLowerCase()
    if (!HOP_BY_HOP.has(name) && !dropped.includes(name)) kept[name] = headers[given] as string
  }
  return kept
}
