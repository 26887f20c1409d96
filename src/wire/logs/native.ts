/** Understudy's own log format: `request`, `response`, and optional `id`, `time`, `latency_ms`, `app`, `status`. */
import { chatEntry, isoTime, type JsonObject, type ParsedLine, rejected } from './entry.ts'

export function matchesNative(line: JsonObject): boolean {
  return 'request' in line && 'response' in line
}

export function parseNative(line: JsonObject): ParsedLine {
  const time = isoTime(line.time)
  if (time === null && line.time !== undefined && line.time !== null) {
    return rejected('time must be ISO 8601 or seconds since 1970')
  }
  return chatEntry({
    id: line.id,
    time,
    app: line.app,
    status: line.status,
    latencyMs: line.latency_ms,
    request: line.request,
    response: line.response,
  })
}
