/** Takes a completion apart into the chunks of a stream, the inverse of folding. Knows nothing of timing. */
import { isObject } from './json.ts'

type Json = Readonly<Record<string, unknown>>

export interface UnfoldOptions {
  /** The caller's `stream_options.include_usage`. */
  readonly includeUsage: boolean
  /** Cuts text and arguments into pieces, one a chunk; by default they stay whole. */
  readonly split?: (text: string) => readonly string[]
}

/** The chunks of a completion, without the closing `[DONE]`; lenient with what the completion lacks. */
export function* unfoldCompletion(
  completion: Json,
  { includeUsage, split = text => [text] }: UnfoldOptions,
): Iterable<Json> {
  const { choices, usage, object: _object, ...head } = completion
  const chunk = (items: readonly unknown[], used: unknown): Json => ({
    ...head,
    object: 'chat.completion.chunk',
    choices: items,
    ...(includeUsage ? { usage: used } : {}),
  })
  for (const [position, choice] of (Array.isArray(choices) ? choices : []).entries()) {
    if (!isObject(choice)) continue
    const index = typeof choice.index === 'number' ? choice.index : position
    const piece = (delta: Json, finish: unknown): Json =>
      chunk([{ index, delta, logprobs: null, finish_reason: finish }], null)
    const message = isObject(choice.message) ? choice.message : {}
    for (const delta of deltasOf(message, split)) yield piece(delta, null)
    yield piece({}, choice.finish_reason ?? 'stop')
  }
  if (includeUsage) yield chunk([], usage ?? null)
}

function* deltasOf(message: Json, split: (text: string) => readonly string[]): Iterable<Json> {
  const calls = Array.isArray(message.tool_calls) ? message.tool_calls.filter(isObject) : []
  const content = typeof message.content === 'string' ? message.content : null
  const first = calls[0]
  yield {
    role: 'assistant',
    content: content === null ? null : '',
    ...(first === undefined ? {} : { tool_calls: [opened(first, 0)] }),
    refusal: null,
  }
  if (content !== null && content !== '') for (const text of split(content)) yield { content: text }
  if (typeof message.refusal === 'string') yield { refusal: message.refusal }
  for (const [index, call] of calls.entries()) {
    if (index > 0) yield { tool_calls: [opened(call, index)] }
    const text = isObject(call.function) ? call.function.arguments : null
    if (typeof text !== 'string') continue
    for (const piece of split(text)) {
      yield { tool_calls: [{ index, function: { arguments: piece } }] }
    }
  }
}

/** The first mention of a tool call: its id and name, with the arguments still to come. */
function opened(call: Json, index: number): Json {
  const name = isObject(call.function) ? call.function.name : ''
  return { index, id: call.id, type: 'function', function: { name, arguments: '' } }
}
