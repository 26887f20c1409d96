/** LiteLLM: the standard logging payload and rows of its spend logs. Fields: docs/decisions/2026-11-23-log-formats.md. */
import { isObject } from '../json.ts'
import {
  chatEntry,
  isoTime,
  type JsonObject,
  type ParsedLine,
  rejected,
  unpacked,
} from './entry.ts'

const CHAT_CALLS = new Set(['completion', 'acompletion'])

export function matchesLitellm(line: JsonObject): boolean {
  return typeof line.call_type === 'string' && 'startTime' in line
}

export function parseLitellm(line: JsonObject): ParsedLine {
  if (!CHAT_CALLS.has(String(line.call_type))) {
    return rejected(`call type '${String(line.call_type)}' is no chat completion`)
  }
  const request = requestOf(line)
  if (request === null) {
    return rejected('no messages: LiteLLM keeps them only with store_prompts_in_spend_logs')
  }
  const hasFailed = line.status === 'failure'
  const time = isoTime(line.startTime)
  return chatEntry({
    id: line.id ?? line.request_id,
    time,
    status: hasFailed ? 500 : 200,
    latencyMs: latencyBetween(time, isoTime(line.endTime)),
    request,
    response: hasFailed ? failure(line) : unpacked(line.response),
  })
}

/** Messages stand in `messages`, or in spend logs in the body that the proxy received. */
function requestOf(line: JsonObject): JsonObject | null {
  // Clients name the model group; `model` is the deployment that served it.
  const model = line.model_group || line.model
  const messages = unpacked(line.messages)
  if (Array.isArray(messages)) {
    const parameters = isObject(line.model_parameters) ? line.model_parameters : {}
    return { ...parameters, model, messages }
  }
  const body = unpacked(line.proxy_server_request)
  return isObject(body) && Array.isArray(body.messages) ? { model, ...body } : null
}

function failure(line: JsonObject): JsonObject {
  const response = unpacked(line.response)
  if (isObject(response)) return response
  return { error: { message: typeof line.error_str === 'string' ? line.error_str : 'failed' } }
}

function latencyBetween(start: string | null, end: string | null): number | null {
  return start === null || end === null ? null : Date.parse(end) - Date.parse(start)
}
