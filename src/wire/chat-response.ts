/** Chat-completions answers: read from a lead's body, or written as the lead would have. Knows nothing of HTTP. */
import { isObject } from './json.ts'
import type { Answer, AnswerOrReason, ChatRequest, NoAnswerReason, Usage } from './types.ts'
import { unfoldCompletion } from './unfold.ts'

type Json = Readonly<Record<string, unknown>>

const none = (reason: NoAnswerReason): AnswerOrReason => ({ answer: null, reason })

/** The answer in a completion, or why there is none. Never throws. */
export function answerOf(response: unknown, status: number): AnswerOrReason {
  if (status < 200 || status > 299) return none('error-status')
  if (!isObject(response)) return none('unreadable')
  if (isObject(response.error)) return none('error-status')
  const { choices } = response
  if (!Array.isArray(choices)) return none('unreadable')
  if (choices.length > 1) return none('several-choices')
  if (choices.length === 0) return none('empty')
  const choice: unknown = choices[0]
  if (!isObject(choice) || !isObject(choice.message)) return none('unreadable')
  if (choice.finish_reason === 'length') return none('truncated')
  if (choice.finish_reason === 'content_filter') return none('filtered')
  return answerOfMessage(choice.message)
}

function answerOfMessage(message: Json): AnswerOrReason {
  if (typeof message.refusal === 'string' && message.refusal !== '') return none('refused')
  const calls = message.tool_calls
  if (Array.isArray(calls) && calls.length > 1) return none('several-tool-calls')
  if (Array.isArray(calls) && calls.length === 1) {
    return toolAnswer(isObject(calls[0]) ? calls[0].function : null)
  }
  if (message.function_call) return toolAnswer(message.function_call)
  const text = textOf(message.content)
  if (text === null) return none('unreadable')
  return text.trim() === '' ? none('empty') : { answer: { kind: 'text', text } }
}

function toolAnswer(call: unknown): AnswerOrReason {
  if (!isObject(call) || typeof call.name !== 'string' || typeof call.arguments !== 'string') {
    return none('unreadable')
  }
  return { answer: { kind: 'tool', name: call.name, argumentsText: call.arguments } }
}

/** Some servers answer with a list of text parts. Null where it is something else. */
function textOf(content: unknown): string | null {
  if (content === null || content === undefined) return ''
  if (typeof content === 'string') return content
  if (!Array.isArray(content)) return null
  const texts = content.map(part => (isObject(part) && part.type === 'text' ? part.text : null))
  return texts.every(text => typeof text === 'string') ? texts.join('') : null
}

/** Tokens as the response reports them; null where it does not, or not plausibly. */
export function usageOf(response: unknown): Usage | null {
  if (!isObject(response) || !isObject(response.usage)) return null
  const { prompt_tokens: prompt, completion_tokens: completion } = response.usage
  return isCount(prompt) && isCount(completion)
    ? { promptTokens: prompt, completionTokens: completion }
    : null
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

/**
 * False for a response of any wire that tells of an error, or is not finished (yet), for all its status of 200: what is
 * not to be given a second time.
 */
export function holdsAnswer(response: unknown): boolean {
  if (!isObject(response) || response.error || response.type === 'error') return false
  return (response.status ?? 'completed') === 'completed'
}

/** The model that says it answered, null where the response does not name one. */
export function reportedModel(response: unknown): string | null {
  return isObject(response) && typeof response.model === 'string' ? response.model : null
}

export type FinishReason = 'stop' | 'tool_calls'

/** What to write, common to the plain and the streamed form. */
export interface CompletionParts {
  /** Completion id; the tool call's id is made from it. */
  readonly id: string
  /** Seconds since the Unix epoch. */
  readonly created: number
  readonly model: string
  readonly answer: Answer
  readonly usage: Usage
  readonly finishReason?: FinishReason
  readonly systemFingerprint?: string | null
}

/**
 * What the API reports at the end of this request's answer: `stop`, also where `tool_choice` names the function;
 * `tool_calls` only where `required` left the naming to the model.
 */
export function finishReasonFor({ chat }: Pick<ChatRequest, 'chat'>, answer: Answer): FinishReason {
  return answer.kind === 'tool' && chat.tool_choice === 'required' ? 'tool_calls' : 'stop'
}

function toolCall(id: string, answer: Extract<Answer, { kind: 'tool' }>): Json {
  return {
    id: `call_${id.replace(/^.*_/u, '')}`,
    type: 'function',
    function: { name: answer.name, arguments: answer.argumentsText },
  }
}

function usageBody({ promptTokens, completionTokens }: Usage): Json {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: 0, audio_tokens: 0 },
    completion_tokens_details: {
      reasoning_tokens: 0,
      audio_tokens: 0,
      accepted_prediction_tokens: 0,
      rejected_prediction_tokens: 0,
    },
  }
}

/** A whole completion, field by field as the API gives it. */
export function renderCompletion(parts: CompletionParts): Json {
  const { id, created, model, answer, usage, finishReason = 'stop', systemFingerprint } = parts
  const message =
    answer.kind === 'text'
      ? { role: 'assistant', content: answer.text, refusal: null, annotations: [] }
      : {
          role: 'assistant',
          content: null,
          tool_calls: [toolCall(id, answer)],
          refusal: null,
          annotations: [],
        }
  return {
    id,
    object: 'chat.completion',
    created,
    model,
    choices: [{ index: 0, message, logprobs: null, finish_reason: finishReason }],
    usage: usageBody(usage),
    service_tier: 'default',
    system_fingerprint: systemFingerprint ?? null,
  }
}

/** The same answer as the chunks of a stream, without the closing `[DONE]`. */
export function renderChunks(parts: CompletionParts, includeUsage: boolean): Iterable<Json> {
  return unfoldCompletion(renderCompletion(parts), { includeUsage })
}
