/** Folds the chunks of a streamed chat completion into the completion they add up to. Tolerates broken streams. */
import { addDelta, withoutIndexes } from './accumulate.ts'
import { isObject, tryJson } from './json.ts'
import type { SseEvent } from './sse.ts'
import type { StreamFold } from './wires/wire.ts'

type Json = Readonly<Record<string, unknown>>

export interface FoldedStream {
  /** The response as the plain API would have given it; an error object where the stream brought one; null: nothing. */
  readonly response: Json | null
  /** True where the end marker or a finish reason for every choice arrived, and no error. */
  readonly isComplete: boolean
}

interface Choice {
  readonly message: Record<string, unknown>
  readonly rest: Record<string, unknown>
}

/** Most choices that are kept apart: more than any API gives. */
const MAX_CHOICES = 256

/** What a wire whose chunks carry choices makes of them. */
export interface ChoiceRules<Choice> {
  readonly open: () => Choice
  readonly add: (choice: Choice, item: Json) => void
  readonly isFinished: (choice: Choice) => boolean
  readonly response: (
    head: Json,
    choices: readonly (readonly [index: number, choice: Choice])[],
    usage: unknown,
  ) => Json
}

/** Adds up chunks of a chat completion as they come. */
export function createChatFold(): StreamFold {
  return createChoicesFold<Choice>({
    open: () => ({ message: { role: 'assistant', content: null }, rest: {} }),
    add({ message, rest: known }, { index: _, delta, ...rest }) {
      addDelta(known, rest)
      if (isObject(delta)) addDelta(message, delta)
    },
    isFinished: ({ rest }) => typeof rest.finish_reason === 'string',
    response: completionOf,
  })
}

/** Adds up chunks as they come. Chunks that are no JSON are skipped. */
export function createChoicesFold<Choice>(rules: ChoiceRules<Choice>): StreamFold {
  const choices = new Map<number, Choice>()
  let head: Record<string, unknown> | null = null
  let usage: unknown = null
  let error: Json | null = null
  let isDone = false
  return {
    add({ data }) {
      if (data.trim() === '[DONE]') {
        isDone = true
        return
      }
      const chunk = tryJson(data)?.value
      if (!isObject(chunk)) return
      // Some servers give a text in place of the object.
      if (chunk.error) error = chunk
      head = addHead(head ?? {}, chunk)
      if (isObject(chunk.usage)) usage = chunk.usage
      if (Array.isArray(chunk.choices))
        for (const item of chunk.choices) addChoice(choices, item, rules)
    },
    result() {
      if (error !== null) return { response: error, isComplete: false }
      if (head === null) return { response: null, isComplete: isDone }
      const sorted = [...choices].sort(([a], [b]) => a - b)
      const isFinished = sorted.length > 0 && sorted.every(([, choice]) => rules.isFinished(choice))
      return {
        response: rules.response(head, sorted, usage),
        isComplete: isDone || isFinished,
      }
    },
  }
}

/** Folds all events of a stream, in order. */
export function foldChunks(events: Iterable<Pick<SseEvent, 'data'>>): FoldedStream {
  const fold = createChatFold()
  for (const { data } of events) fold.add({ event: 'message', data })
  return fold.result()
}

/** Fields of a chunk that are no part of its head. `obfuscation` is padding against eavesdroppers. */
const NOT_HEAD: ReadonlySet<string> = new Set(['choices', 'usage', 'obfuscation', '__proto__'])

/** The first chunk that says something in a field decides it. */
function addHead(head: Record<string, unknown>, chunk: Json): Record<string, unknown> {
  for (const [name, value] of Object.entries(chunk)) {
    if (value !== null && !NOT_HEAD.has(name) && !Object.hasOwn(head, name)) head[name] = value
  }
  return head
}

function addChoice<Choice>(
  choices: Map<number, Choice>,
  item: unknown,
  { open, add }: ChoiceRules<Choice>,
): void {
  if (!isObject(item)) return
  const index = typeof item.index === 'number' ? item.index : 0
  let choice = choices.get(index)
  if (choice === undefined) {
    if (choices.size >= MAX_CHOICES) return
    choice = open()
    choices.set(index, choice)
  }
  add(choice, { ...item, index })
}

function completionOf(
  head: Json,
  choices: readonly (readonly [number, Choice])[],
  usage: unknown,
): Json {
  const { id, object: _, created, model, ...more } = head
  return {
    ...(id === undefined ? {} : { id }),
    object: 'chat.completion',
    ...(created === undefined ? {} : { created }),
    ...(model === undefined ? {} : { model }),
    choices: choices.map(([index, choice]) => choiceOf(index, choice)),
    ...(usage === null ? {} : { usage }),
    ...more,
  }
}

function choiceOf(index: number, { message, rest }: Choice): Json {
  const { refusal = null, tool_calls: calls, ...fields } = message
  const { logprobs = null, finish_reason = null, ...more } = rest
  return {
    index,
    message: {
      ...fields,
      ...(Array.isArray(calls) ? { tool_calls: callsOf(calls) } : {}),
      refusal,
    },
    logprobs,
    finish_reason,
    ...more,
  }
}

/** Tool calls as a plain response lists them: each with id, type and function. */
function callsOf(calls: readonly unknown[]): unknown {
  const listed = withoutIndexes(calls)
  return (listed as readonly unknown[]).map(call =>
    isObject(call) ? { id: null, type: 'function', ...call } : call,
  )
}
