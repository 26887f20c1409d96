/** OpenAI responses. */
import { errorBody } from '../errors.ts'
import { isObject, tryJson } from '../json.ts'
import { formatSse } from '../sse.ts'
import type { AnswerOrReason, NoAnswerReason, Usage } from '../types.ts'
import { CHAT } from './chat.ts'
import { eventTypeOf } from './event-type.ts'
import { parseResponsesRequest } from './responses-request.ts'
import { RESPONSES_SPEECH } from './responses-speech.ts'
import { renderBy } from './speech.ts'
import type { Json } from './translate.ts'
import type { StreamFold, Wire } from './wire.ts'

/** Events after which a stream says no more; each holds the whole response. */
const CLOSING: ReadonlySet<string> = new Set([
  'response.completed',
  'response.incomplete',
  'response.failed',
  'response.cancelled',
])

export const RESPONSES: Wire = {
  name: 'responses',
  path: '/v1/responses',
  parse: parseResponsesRequest,
  createFold: createResponseFold,
  closes: event => CLOSING.has(eventTypeOf(event) ?? ''),
  answerOf,
  usageOf,
  writtenField: 'output',
  render: renderBy(RESPONSES_SPEECH),
  speech: RESPONSES_SPEECH,
  error: CHAT.error,
  errorEvent(error) {
    const { message, param, code, type: kind } = errorBody(error).body.error
    // The clients take an `error` object for an error, the documentation's form has the fields beside `type`.
    const both = { message, param, code, error: { message, type: kind, param, code } }
    return formatSse(JSON.stringify({ type: 'error', ...both }), { event: 'error' })
  },
}

const none = (reason: NoAnswerReason): AnswerOrReason => ({ answer: null, reason })

function answerOf(response: unknown, status: number): AnswerOrReason {
  if (status < 200 || status > 299) return none('error-status')
  if (!isObject(response)) return none('unreadable')
  if (isObject(response.error) || response.status === 'failed') return none('error-status')
  const { output, incomplete_details: details } = response
  if (!Array.isArray(output)) return none('unreadable')
  if (response.status !== 'completed' && response.status !== undefined) {
    const isFiltered = isObject(details) && details.reason === 'content_filter'
    return none(isFiltered ? 'filtered' : 'truncated')
  }
  const items = output.filter(isObject)
  const calls = items.filter(item => item.type === 'function_call')
  const [call] = calls
  if (calls.length > 1) return none('several-tool-calls')
  if (call !== undefined) {
    const { name, arguments: argumentsText } = call
    if (typeof name !== 'string' || typeof argumentsText !== 'string') return none('unreadable')
    return { answer: { kind: 'tool', name, argumentsText } }
  }
  const parts = items
    .filter(item => item.type === 'message' && Array.isArray(item.content))
    .flatMap(item => (item.content as unknown[]).filter(isObject))
  if (parts.some(part => part.type === 'refusal')) return none('refused')
  const text = parts.map(part => (typeof part.text === 'string' ? part.text : '')).join('')
  return text.trim() === '' ? none('empty') : { answer: { kind: 'text', text } }
}

function usageOf(response: unknown): Usage | null {
  const usage = isObject(response) ? response.usage : null
  if (!isObject(usage)) return null
  const { input_tokens: input, output_tokens: output } = usage
  return isCount(input) && isCount(output)
    ? { promptTokens: input, completionTokens: output }
    : null
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

/** More items than any answer has. */
const MAX_ITEMS = 4096

/** The closing event holds all; what came before it counts where it never comes, or comes empty. */
function createResponseFold(): StreamFold {
  let response: Json | null = null
  let error: Json | null = null
  let isDone = false
  const items = new Map<number, Record<string, unknown>>()

  const itemAt = (index: unknown): Record<string, unknown> | null =>
    typeof index === 'number' ? (items.get(index) ?? null) : null

  const rules: Readonly<Record<string, (event: Json) => void>> = {
    'response.output_item.added': setItem,
    'response.output_item.done': setItem,
    'response.content_part.added': setPart,
    'response.content_part.done': setPart,
    'response.output_text.delta': addToPart('text'),
    'response.refusal.delta': addToPart('refusal'),
    'response.function_call_arguments.delta': addToItem('arguments'),
    'response.custom_tool_call_input.delta': addToItem('input'),
    error(event) {
      error = event
    },
  }

  function setItem({ output_index: index, item }: Json): void {
    if (typeof index === 'number' && isObject(item) && items.size < MAX_ITEMS) {
      items.set(index, { ...item })
    }
  }
  function setPart({ output_index: index, content_index: at, part }: Json): void {
    const content = contentOf(itemAt(index))
    if (content !== null && isPlace(at) && isObject(part)) content[at] = { ...part }
  }
  function addToPart(field: string) {
    return ({ output_index: index, content_index: at, delta }: Json): void => {
      const content = contentOf(itemAt(index))
      if (content === null || !isPlace(at) || typeof delta !== 'string') return
      const part = isObject(content[at]) ? content[at] : { type: `output_${field}` }
      content[at] = { ...part, [field]: `${part[field] ?? ''}${delta}` }
    }
  }
  function addToItem(field: string) {
    return ({ output_index: index, delta }: Json): void => {
      const item = itemAt(index)
      if (item !== null && typeof delta === 'string') item[field] = `${item[field] ?? ''}${delta}`
    }
  }
  return {
    add({ data }) {
      const event = tryJson(data)?.value
      if (!isObject(event)) return
      if (isObject(event.error) && event.type === undefined) error = event
      if (typeof event.type !== 'string') return
      if (isObject(event.response)) response = event.response
      if (CLOSING.has(event.type)) isDone = true
      if (Object.hasOwn(rules, event.type)) rules[event.type]?.(event)
    },
    result() {
      if (error !== null) return { response: error, isComplete: false }
      if (response === null) return { response: null, isComplete: false }
      const isEmpty = !Array.isArray(response.output) || response.output.length === 0
      const output = [...items].sort(([a], [b]) => a - b).map(([, item]) => item)
      return {
        response: isEmpty ? { ...response, output } : response,
        isComplete: isDone,
      }
    },
  }
}

function isPlace(at: unknown): at is number {
  return Number.isInteger(at) && (at as number) >= 0 && (at as number) < MAX_ITEMS
}

function contentOf(item: Record<string, unknown> | null): unknown[] | null {
  if (item === null) return null
  item.content = Array.isArray(item.content) ? item.content : []
  return item.content as unknown[]
}
