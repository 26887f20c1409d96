/** Anthropic messages. */

import { addDelta } from '../accumulate.ts'
import { errorBody } from '../errors.ts'
import { isObject, tryJson } from '../json.ts'
import { formatSse } from '../sse.ts'
import type { AnswerOrReason, NoAnswerReason, Usage } from '../types.ts'
import { eventTypeOf } from './event-type.ts'
import { parseMessagesRequest } from './messages-request.ts'
import { MESSAGES_SPEECH, messagesErrorBody } from './messages-speech.ts'
import { renderBy } from './speech.ts'
import type { Json } from './translate.ts'
import type { RenderedError, StreamFold, Wire } from './wire.ts'

export const MESSAGES: Wire = {
  name: 'messages',
  path: '/v1/messages',
  parse: parseMessagesRequest,
  createFold: createMessageFold,
  closes: event => eventTypeOf(event) === 'message_stop',
  answerOf,
  usageOf,
  writtenField: 'content',
  render: renderBy(MESSAGES_SPEECH),
  speech: MESSAGES_SPEECH,
  error: messagesError,
  errorEvent: error => formatSse(JSON.stringify(messagesError(error).body), { event: 'error' }),
}

const none = (reason: NoAnswerReason): AnswerOrReason => ({ answer: null, reason })

const UNFINISHED: Readonly<Record<string, NoAnswerReason>> = {
  max_tokens: 'truncated',
  model_context_window_exceeded: 'truncated',
  pause_turn: 'truncated',
  refusal: 'refused',
}

function answerOf(response: unknown, status: number): AnswerOrReason {
  if (status < 200 || status > 299) return none('error-status')
  if (!isObject(response)) return none('unreadable')
  if (response.type === 'error' || isObject(response.error)) return none('error-status')
  const { content, stop_reason: stop } = response
  if (!Array.isArray(content)) return none('unreadable')
  const unfinished = typeof stop === 'string' ? UNFINISHED[stop] : undefined
  if (unfinished !== undefined) return none(unfinished)
  const blocks = content.filter(isObject)
  const calls = blocks.filter(block => block.type === 'tool_use')
  const [call] = calls
  if (calls.length > 1) return none('several-tool-calls')
  if (call !== undefined) {
    if (typeof call.name !== 'string') return none('unreadable')
    const argumentsText = JSON.stringify(call.input ?? {})
    return { answer: { kind: 'tool', name: call.name, argumentsText } }
  }
  const text = blocks
    .filter(block => block.type === 'text')
    .map(block => (typeof block.text === 'string' ? block.text : ''))
    .join('')
  return text.trim() === '' ? none('empty') : { answer: { kind: 'text', text } }
}

/**
 * What was read from the cache or written to it is input as well. No request is without input: two zeros stand where the
 * shape wants numbers and nobody knows them.
 */
function usageOf(response: unknown): Usage | null {
  const usage = isObject(response) ? response.usage : null
  if (!isObject(usage)) return null
  const { input_tokens: input, output_tokens: output } = usage
  if (!isCount(input) || !isCount(output)) return null
  const cached = [usage.cache_creation_input_tokens, usage.cache_read_input_tokens]
  const promptTokens = cached.filter(isCount).reduce((sum, count) => sum + count, input)
  if (promptTokens === 0 && output === 0) return null
  return { promptTokens, completionTokens: output }
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function messagesError(error: unknown): RenderedError {
  const { status, body } = errorBody(error)
  return { status, body: messagesErrorBody(status, body.error.message) }
}

/** Block fields that come as JSON in pieces, under this name until the block is whole. */
const PARTIAL = 'partial_json'
/** More blocks than any answer has. */
const MAX_BLOCKS = 4096

function createMessageFold(): StreamFold {
  let message: Record<string, unknown> | null = null
  let error: Json | null = null
  let isDone = false
  const blocks = new Map<number, Record<string, unknown>>()

  const blockAt = (index: unknown): Record<string, unknown> | null =>
    typeof index === 'number' ? (blocks.get(index) ?? null) : null

  const rules: Readonly<Record<string, (event: Json) => void>> = {
    message_start({ message: opened }) {
      if (isObject(opened)) message = { ...opened }
    },
    content_block_start({ index, content_block: block }) {
      if (typeof index !== 'number' || !isObject(block) || blocks.size >= MAX_BLOCKS) return
      blocks.set(index, { ...block })
    },
    content_block_delta({ index, delta }) {
      const block = blockAt(index)
      if (block !== null && isObject(delta)) addBlockDelta(block, delta)
    },
    message_delta({ delta, usage, type: _, ...more }) {
      // Spread defines fields; assigning would obey a `__proto__` of theirs.
      message = { ...message, ...(isObject(delta) ? delta : {}), ...more }
      if (!isObject(usage)) return
      const said = Object.entries(usage).filter(([, value]) => value !== null)
      message.usage = {
        ...(isObject(message.usage) ? message.usage : {}),
        ...Object.fromEntries(said),
      }
    },
    message_stop() {
      isDone = true
    },
    error(event) {
      error = event
    },
  }
  return {
    add({ data }) {
      const event = tryJson(data)?.value
      if (!isObject(event) || typeof event.type !== 'string') return
      if (Object.hasOwn(rules, event.type)) rules[event.type]?.(event)
    },
    result() {
      if (error !== null) return { response: error, isComplete: false }
      if (message === null) return { response: null, isComplete: false }
      const content = [...blocks].sort(([a], [b]) => a - b).map(([, block]) => wholeBlock(block))
      return { response: { ...message, content }, isComplete: isDone }
    },
  }
}

/** A delta's own type says which field of the block continues. */
function addBlockDelta(block: Record<string, unknown>, { type, citation, ...fields }: Json): void {
  addDelta(block, fields)
  if (type === 'citations_delta' && citation !== undefined) {
    block.citations = [...(Array.isArray(block.citations) ? block.citations : []), citation]
  }
}

function wholeBlock({ [PARTIAL]: partial, ...block }: Record<string, unknown>): Json {
  if (typeof partial !== 'string' || partial === '') return block
  const parsed = tryJson(partial)
  return parsed === null ? { ...block, [PARTIAL]: partial } : { ...block, input: parsed.value }
}
