/**
 * What a wire other than chat makes of a chat completion: the whole body, and the events of a stream as its chunks come.
 * A specialist's answer goes this way, and that of a lead which speaks chat only.
 */
import { finishReasonFor, renderChunks, renderCompletion } from '../chat-response.ts'
import { isObject } from '../json.ts'
import type { ChatRequest, Usage } from '../types.ts'
import type { Json } from './translate.ts'
import type { Wire } from './wire.ts'

export interface SpeechHead {
  /** Unique, without prefix. */
  readonly id: string
  /** Seconds since the Unix epoch. */
  readonly created: number
  readonly model: string
  /** Where it is known before the answer begins. */
  readonly usage?: Usage
}

/** Writes a stream; what it returns are server-sent events as text. */
export interface SpeechStream {
  chunk(chunk: Json): string
  /** The closing events. */
  end(): string
}

export interface Speech {
  body(completion: Json, head: SpeechHead, request: ChatRequest): Json
  stream(head: SpeechHead, request: ChatRequest): SpeechStream
  /** An error of the chat wire, said in this one. */
  error(status: number, body: Json): Json
}

/** The first choice of a completion or a chunk. */
export function choiceOf({ choices }: Json): Json | null {
  const first: unknown = Array.isArray(choices) ? choices[0] : null
  return isObject(first) ? first : null
}

/** A tool call, as far as it is one. */
export function callOf(value: unknown): { id: string; name: string; argumentsText: string } | null {
  if (!isObject(value) || !isObject(value.function)) return null
  const { name, arguments: text } = value.function
  return {
    id: typeof value.id === 'string' ? value.id : '',
    name: typeof name === 'string' ? name : '',
    argumentsText: typeof text === 'string' ? text : '',
  }
}

/** The tool calls of a message or a delta. */
export function callsOf({ tool_calls: calls }: Json): readonly Json[] {
  return Array.isArray(calls) ? calls.filter(isObject) : []
}

/** One of several texts that are there and say something. */
export function said(...texts: readonly unknown[]): string | null {
  for (const text of texts) if (typeof text === 'string' && text !== '') return text
  return null
}

/** Renders a specialist's answer by way of a chat completion. */
export function renderBy(speech: Speech): NonNullable<Wire['render']> {
  return (request, { id, fingerprint, ...rest }) => {
    const parts = {
      ...rest,
      id: `chatcmpl-${id}`,
      finishReason: finishReasonFor(request, rest.answer),
    }
    const { created, model, usage } = rest
    const head: SpeechHead = { id, created, model, usage }
    return {
      body: speech.body(renderCompletion(parts), head, request),
      stream() {
        const stream = speech.stream(head, request)
        const said = [...renderChunks(parts, true)].map(chunk => stream.chunk(chunk))
        return said.join('') + stream.end()
      },
    }
  }
}
