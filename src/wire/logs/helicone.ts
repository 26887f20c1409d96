/** Helicone's request export. Fields: docs/decisions/2026-11-23-log-formats.md. */
import { isObject } from '../json.ts'
import {
  chatEntry,
  isoTime,
  isStatus,
  type JsonObject,
  type ParsedLine,
  rejected,
} from './entry.ts'

export function matchesHelicone(line: JsonObject): boolean {
  return 'request_created_at' in line && 'response_status' in line
}

export function parseHelicone(line: JsonObject): ParsedLine {
  const body = line.request_body
  if (!isObject(body) || Object.keys(body).length === 0) {
    return rejected('no request_body: export again with --include-body')
  }
  return chatEntry({
    id: line.request_id ?? line.response_id,
    time: isoTime(line.request_created_at),
    // Helicone marks cancelled and unfinished requests with numbers that are no HTTP status.
    status: isStatus(line.response_status) ? line.response_status : 500,
    latencyMs: line.delay_ms,
    request: 'model' in body ? body : { ...body, model: line.request_model ?? line.model },
    response: line.response_body,
  })
}
