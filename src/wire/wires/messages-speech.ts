/** Chat completions, said as Anthropic messages. Reasoning that a chat lead reports has no signature, so it is left out. */
import { usageOf } from '../chat-response.ts'
import { isObject, tryJson } from '../json.ts'
import { formatSse } from '../sse.ts'
import type { Usage } from '../types.ts'
import { callOf, callsOf, choiceOf, type Speech, type SpeechHead, said } from './speech.ts'
import type { Json } from './translate.ts'

const STOP_REASONS: Readonly<Record<string, string>> = {
  stop: 'end_turn',
  length: 'max_tokens',
  tool_calls: 'tool_use',
  function_call: 'tool_use',
  content_filter: 'refusal',
}

export const MESSAGES_SPEECH: Speech = {
  body(completion, head) {
    const choice = choiceOf(completion)
    const message = isObject(choice?.message) ? choice.message : {}
    const text = said(message.content, message.refusal)
    const calls = callsOf(message).map(callOf)
    return {
      ...envelope(head, completion.model),
      content: [
        ...(text === null ? [] : [{ type: 'text', text, citations: null }]),
        ...calls.map(
          (call, index) =>
            call && {
              type: 'tool_use',
              id: toolId(call.id, head, index),
              name: call.name,
              input: inputOf(call.argumentsText),
            },
        ),
      ],
      stop_reason: stopReason(choice?.finish_reason, calls.length > 0, said(message.refusal)),
      usage: usageBody(usageOf(completion) ?? head.usage ?? null),
    }
  },
  error(status, { error }) {
    const text = isObject(error) && typeof error.message === 'string' ? error.message : null
    return messagesErrorBody(status, text ?? `The lead answered status ${status}.`)
  },
  stream(head) {
    let isOpened = false
    /** Block that is open, by what it holds: text, or the tool call of this index. */
    let open: 'text' | number | null = null
    let blockCount = 0
    let callCount = 0
    let finish: unknown = null
    let refusal: string | null = null
    let usage: Usage | null = head.usage ?? null

    const close = (): string => {
      if (open === null) return ''
      open = null
      return event({ type: 'content_block_stop', index: blockCount - 1 })
    }
    const start = (what: 'text' | number, block: Json): string => {
      const before = close()
      open = what
      blockCount++
      return (
        before + event({ type: 'content_block_start', index: blockCount - 1, content_block: block })
      )
    }
    const delta = (fields: Json): string =>
      event({ type: 'content_block_delta', index: blockCount - 1, delta: fields })
    const opening = (model: unknown): string => {
      if (isOpened) return ''
      isOpened = true
      const message = { ...envelope(head, model), content: [], stop_reason: null }
      return event({ type: 'message_start', message: { ...message, usage: usageBody(usage, 1) } })
    }
    const callDelta = (call: Json, position: number): string => {
      const at = typeof call.index === 'number' ? call.index : position
      const { id, name, argumentsText } = callOf(call) ?? { id: '', name: '', argumentsText: '' }
      const begun =
        open === at
          ? ''
          : start(at, { type: 'tool_use', id: toolId(id, head, callCount++), name, input: {} })
      return (
        begun +
        (argumentsText === ''
          ? ''
          : delta({ type: 'input_json_delta', partial_json: argumentsText }))
      )
    }
    return {
      chunk(chunk) {
        let out = opening(chunk.model)
        usage = usageOf(chunk) ?? usage
        const choice = choiceOf(chunk)
        if (choice === null) return out
        const fields = isObject(choice.delta) ? choice.delta : {}
        const text = said(fields.content, fields.refusal)
        refusal ??= said(fields.refusal)
        if (text !== null) {
          if (open !== 'text') out += start('text', { type: 'text', text: '', citations: null })
          out += delta({ type: 'text_delta', text })
        }
        for (const [position, call] of callsOf(fields).entries()) out += callDelta(call, position)
        finish = choice.finish_reason ?? finish
        return out
      },
      end() {
        const reason = stopReason(finish, callCount > 0, refusal)
        return (
          opening(null) +
          close() +
          event({
            type: 'message_delta',
            delta: {
              container: null,
              stop_details: null,
              stop_reason: reason,
              stop_sequence: null,
            },
            usage: deltaUsage(usage),
          }) +
          event({ type: 'message_stop' })
        )
      },
    }
  },
}

function event(value: Json): string {
  return formatSse(JSON.stringify(value), { event: String(value.type) })
}

function envelope({ id, model }: SpeechHead, reported: unknown): Json {
  return {
    id: `msg_${id}`,
    container: null,
    diagnostics: null,
    type: 'message',
    role: 'assistant',
    model: typeof reported === 'string' ? reported : model,
    stop_details: null,
    stop_sequence: null,
  }
}

function toolId(id: string, head: SpeechHead, index: number): string {
  return id === '' ? `toolu_${head.id}_${index}` : id
}

/** What stands in for arguments that are no JSON, as they are where a lead was cut short, is empty. */
function inputOf(argumentsText: string): unknown {
  return tryJson(argumentsText)?.value ?? {}
}

function stopReason(finish: unknown, hasCalls: boolean, refusal: string | null): string {
  if (refusal !== null) return 'refusal'
  const reason = typeof finish === 'string' ? (STOP_REASONS[finish] ?? 'end_turn') : 'end_turn'
  // A function that was forced ends with `stop` on the chat wire.
  return hasCalls && reason === 'end_turn' ? 'tool_use' : reason
}

function usageBody(usage: Usage | null, output = usage?.completionTokens ?? 0): Json {
  return {
    cache_creation: null,
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: 0,
    inference_geo: null,
    input_tokens: usage?.promptTokens ?? 0,
    output_tokens: output,
    output_tokens_details: null,
    server_tool_use: null,
    service_tier: 'standard',
    speed: null,
  }
}

function deltaUsage(usage: Usage | null): Json {
  return {
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: 0,
    input_tokens: usage?.promptTokens ?? 0,
    output_tokens: usage?.completionTokens ?? 0,
    output_tokens_details: null,
    server_tool_use: null,
  }
}

/** Error types by HTTP status, as the API documents them. */
const ERROR_TYPES: Readonly<Record<number, string>> = {
  400: 'invalid_request_error',
  401: 'authentication_error',
  402: 'billing_error',
  403: 'permission_error',
  404: 'not_found_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  504: 'timeout_error',
  529: 'overloaded_error',
}

/** The error of a status in the API's shape. */
export function messagesErrorBody(status: number, message: string): Json {
  const fallback = status < 500 ? 'invalid_request_error' : 'api_error'
  const type = ERROR_TYPES[status] ?? fallback
  return { type: 'error', error: { type, message }, request_id: null }
}
