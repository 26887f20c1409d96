/** Folds the chunks of a streamed completion into the completion they add up to. Tolerates broken streams. */
import { isObject, tryJson } from './json.ts'
import type { SseEvent } from './sse.ts'

type Json = Readonly<Record<string, unknown>>

export interface FoldedStream {
  /** A completion as the plain API would have given it; an error object where the stream brought one; null: nothing. */
  readonly response: Json | null
  /** True where the end marker or a finish reason for every choice arrived. */
  readonly isComplete: boolean
}

interface Choice {
  role: string
  content: string | null
  refusal: string | null
  reasoning: string | null
  toolCalls: Map<number, { id: string | null; name: string; arguments: string }>
  finishReason: string | null
}

/** Folds events of a chat-completions stream, in order. Chunks that are no JSON are skipped. */
export function foldChunks(events: Iterable<Pick<SseEvent, 'data'>>): FoldedStream {
  const choices = new Map<number, Choice>()
  let head: Json | null = null
  let usage: unknown = null
  let error: Json | null = null
  let isDone = false
  for (const { data } of events) {
    if (data.trim() === '[DONE]') {
      isDone = true
      continue
    }
    const chunk = tryJson(data)?.value
    if (!isObject(chunk)) continue
    if (isObject(chunk.error)) error = chunk
    head ??= chunk
    if (isObject(chunk.usage)) usage = chunk.usage
    if (Array.isArray(chunk.choices)) for (const item of chunk.choices) addChoice(choices, item)
  }
  if (error !== null) return { response: error, isComplete: isDone }
  if (head === null) return { response: null, isComplete: isDone }
  const isFinished =
    choices.size > 0 && [...choices.values()].every(choice => choice.finishReason !== null)
  return { response: completionOf(head, choices, usage), isComplete: isDone || isFinished }
}

function addChoice(choices: Map<number, Choice>, item: unknown): void {
  if (!isObject(item)) return
  const index = typeof item.index === 'number' ? item.index : 0
  let choice = choices.get(index)
  if (choice === undefined) {
    choice = emptyChoice()
    choices.set(index, choice)
  }
  if (typeof item.finish_reason === 'string') choice.finishReason = item.finish_reason
  if (isObject(item.delta)) addDelta(choice, item.delta)
}

function emptyChoice(): Choice {
  return {
    role: 'assistant',
    content: null,
    refusal: null,
    reasoning: null,
    toolCalls: new Map(),
    finishReason: null,
  }
}

function addDelta(choice: Choice, delta: Json): void {
  if (typeof delta.role === 'string') choice.role = delta.role
  choice.content = joined(choice.content, delta.content)
  choice.refusal = joined(choice.refusal, delta.refusal)
  choice.reasoning = joined(choice.reasoning, delta.reasoning_content)
  if (!Array.isArray(delta.tool_calls)) return
  for (const [position, call] of delta.tool_calls.entries()) addToolCall(choice, call, position)
}

function joined(before: string | null, piece: unknown): string | null {
  return typeof piece === 'string' ? (before ?? '') + piece : before
}

function addToolCall({ toolCalls }: Choice, call: unknown, position: number): void {
  if (!isObject(call)) return
  const index = typeof call.index === 'number' ? call.index : position
  const known = toolCalls.get(index) ?? { id: null, name: '', arguments: '' }
  toolCalls.set(index, known)
  if (typeof call.id === 'string') known.id = call.id
  if (!isObject(call.function)) return
  if (typeof call.function.name === 'string') known.name += call.function.name
  if (typeof call.function.arguments === 'string') known.arguments += call.function.arguments
}

function completionOf(head: Json, choices: ReadonlyMap<number, Choice>, usage: unknown): Json {
  const { id, created, model, service_tier, system_fingerprint } = head
  return {
    ...(id === undefined ? {} : { id }),
    object: 'chat.completion',
    ...(created === undefined ? {} : { created }),
    ...(model === undefined ? {} : { model }),
    choices: [...choices]
      .sort(([a], [b]) => a - b)
      .map(([index, choice]) => choiceOf(index, choice)),
    ...(usage === null ? {} : { usage }),
    ...(service_tier === undefined ? {} : { service_tier }),
    ...(system_fingerprint === undefined ? {} : { system_fingerprint }),
  }
}

function choiceOf(index: number, choice: Choice): Json {
  const calls = [...choice.toolCalls].sort(([a], [b]) => a - b).map(([, call]) => call)
  return {
    index,
    message: {
      role: choice.role,
      content: choice.content,
      ...(choice.reasoning === null ? {} : { reasoning_content: choice.reasoning }),
      ...(calls.length === 0
        ? {}
        : {
            tool_calls: calls.map(call => ({
              id: call.id,
              type: 'function',
              function: { name: call.name, arguments: call.arguments },
            })),
          }),
      refusal: choice.refusal,
    },
    logprobs: null,
    finish_reason: choice.finishReason,
  }
}
