/** What OpenAI hands out: stored completions, and the two files of a batch. Fields: docs/decisions/2026-11-23-log-formats.md. */
import { isObject } from '../json.ts'
import { CHAT_PATH } from '../paths.ts'
import {
  chatEntry,
  isoTime,
  isStatus,
  type JsonObject,
  type ParsedLine,
  present,
  rejected,
  requestFlaw,
} from './entry.ts'

/** Request parameters that a stored completion repeats. */
const STORED_PARAMETERS = [
  'tools',
  'tool_choice',
  'response_format',
  'temperature',
  'top_p',
  'seed',
  'presence_penalty',
  'frequency_penalty',
]
const COMPLETION_FIELDS = [
  'id',
  'object',
  'created',
  'model',
  'choices',
  'usage',
  'service_tier',
  'system_fingerprint',
]

export function matchesStored(line: JsonObject): boolean {
  return line.object === 'chat.completion' && Array.isArray(line.choices)
}

/** A stored completion as listed, with the data of its messages endpoint added as `messages`. */
export function parseStored(line: JsonObject): ParsedLine {
  if (!matchesStored(line)) return rejected('no stored completion: object is not chat.completion')
  if (!Array.isArray(line.messages)) {
    return rejected(
      'a stored completion is listed without its input; add the data of its messages endpoint as `messages`',
    )
  }
  return chatEntry({
    id: line.id,
    time: isoTime(line.created),
    request: {
      ...present(line, STORED_PARAMETERS),
      model: line.model,
      messages: line.messages.map(storedMessage),
    },
    response: present(line, COMPLETION_FIELDS),
  })
}

/** Content given as parts comes back in `content_parts`, with `content` null. */
function storedMessage(message: unknown): unknown {
  if (!isObject(message)) return message
  const { id: _id, content_parts: parts, ...rest } = message
  return Array.isArray(parts) && rest.content == null ? { ...rest, content: parts } : rest
}

export function matchesBatch(line: JsonObject): boolean {
  return typeof line.custom_id === 'string' && (isBatchInput(line) || 'response' in line)
}

function isBatchInput(line: JsonObject): boolean {
  return 'url' in line && 'body' in line
}

/** A line of a batch's input or output file. */
export function parseBatch(line: JsonObject): ParsedLine {
  const customId = line.custom_id
  if (typeof customId !== 'string' || customId === '') return rejected('custom_id is missing')
  return isBatchInput(line) ? parseBatchInput(customId, line) : parseBatchOutput(customId, line)
}

function parseBatchInput(customId: string, { url, body }: JsonObject): ParsedLine {
  if (url !== CHAT_PATH) return rejected(`the request goes to ${String(url)}, not to ${CHAT_PATH}`)
  if (!isObject(body)) return rejected('body is missing or no object')
  const flaw = requestFlaw(body)
  return flaw === null ? { kind: 'batch-request', customId, request: body } : rejected(flaw)
}

function parseBatchOutput(customId: string, line: JsonObject): ParsedLine {
  const { response, error } = line
  if (!isObject(response)) {
    const message = isObject(error) && typeof error.message === 'string' ? `: ${error.message}` : ''
    return rejected(`the batch has no response for this request${message}`)
  }
  const { status_code: status, body } = response
  if (!isStatus(status)) return rejected('response.status_code is missing')
  if (!isObject(body)) return rejected('response.body is missing or no object')
  return {
    kind: 'batch-response',
    customId,
    entry: {
      id: typeof line.id === 'string' && line.id !== '' ? line.id : null,
      time: isoTime(body.created),
      app: null,
      status,
      latencyMs: null,
      response: body,
    },
  }
}
