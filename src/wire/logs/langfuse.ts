/** Langfuse observations: the API's camelCase, and the blob-storage export's snake_case. Fields: docs/decisions/2026-11-23-log-formats.md. */
import { isObject } from '../json.ts'
import {
  chatEntry,
  isoTime,
  type JsonObject,
  type ParsedLine,
  rejected,
  unpacked,
} from './entry.ts'

const TYPES = new Set([
  'SPAN',
  'GENERATION',
  'EVENT',
  'AGENT',
  'TOOL',
  'CHAIN',
  'RETRIEVER',
  'EVALUATOR',
  'EMBEDDING',
  'GUARDRAIL',
])

export function matchesLangfuse(line: JsonObject): boolean {
  return TYPES.has(String(line.type)) && ('startTime' in line || 'start_time' in line)
}

export function parseLangfuse(line: JsonObject): ParsedLine {
  if (line.type !== 'GENERATION') return rejected(`a ${String(line.type)} is no model call`)
  const input = inputOf(line.input)
  if (input === null) return rejected('input holds no chat messages')
  const response = outputOf(line.output)
  const hasFailed = line.level === 'ERROR'
  if (response === null && !hasFailed) return rejected('output is empty')
  const time = utcTime(line.startTime ?? line.start_time)
  const end = utcTime(line.endTime ?? line.end_time)
  const parameters = unpacked(line.modelParameters ?? line.model_parameters)
  return chatEntry({
    id: line.id,
    time,
    status: hasFailed ? 500 : 200,
    latencyMs: time === null || end === null ? null : Date.parse(end) - Date.parse(time),
    request: {
      ...(isObject(parameters) ? parameters : {}),
      model: line.model ?? line.provided_model_name,
      ...input,
    },
    response: response ?? { error: { message: line.statusMessage ?? line.status_message ?? null } },
  })
}

/** The list of messages, or a body that holds one. */
function inputOf(value: unknown): JsonObject | null {
  const input = unpacked(value)
  if (Array.isArray(input)) return { messages: input }
  return isObject(input) && Array.isArray(input.messages) ? input : null
}

/** A completion as it is; a message or plain text becomes one. */
function outputOf(value: unknown): JsonObject | null {
  const output = unpacked(value)
  if (isObject(output) && Array.isArray(output.choices)) return output
  if (isObject(output) && output.role === 'assistant') return completion(output)
  // JSON without a role is the answer itself: kept as the text it was, or would have been.
  const text = typeof value === 'string' ? value : isObject(value) ? JSON.stringify(value) : ''
  return text === '' ? null : completion({ role: 'assistant', content: text })
}

function completion(message: JsonObject): JsonObject {
  const finish = Array.isArray(message.tool_calls) && message.tool_calls.length > 0
  return {
    object: 'chat.completion',
    choices: [{ index: 0, message, finish_reason: finish ? 'tool_calls' : 'stop' }],
  }
}

/** `2024-05-29 13:46:19.963000` is UTC, which Date.parse would take for local time. */
function utcTime(value: unknown): string | null {
  if (typeof value !== 'string') return null
  const isBare = /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?$/.test(value)
  return isoTime(isBare ? `${value.replace(' ', 'T')}Z` : value)
}
