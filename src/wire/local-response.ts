/** Answers of a local model in the API's shape, also while they are still being written. Knows no runtime. */
import { renderCompletion } from './chat-response.ts'
import type { ErrorBody } from './errors.ts'
import type { Usage } from './types.ts'

type Json = Readonly<Record<string, unknown>>

/** `length`: the limit of tokens or of the context was reached. */
export type LocalFinish = 'stop' | 'length'

export interface LocalHead {
  /** Completion id. */
  readonly id: string
  /** Seconds since the Unix epoch. */
  readonly created: number
  readonly model: string
}

/** A whole answer as a completion. */
export function renderLocalCompletion(
  head: LocalHead,
  text: string,
  finish: LocalFinish,
  usage: Usage,
): Json {
  const completion = renderCompletion({ ...head, answer: { kind: 'text', text }, usage })
  const choices = completion.choices as readonly Json[]
  return { ...completion, choices: choices.map(choice => ({ ...choice, finish_reason: finish })) }
}

/** Renders the chunks of one stream, piece by piece. */
export interface LocalChunks {
  open(): Json
  text(piece: string): Json
  /** The last chunks, without the closing `[DONE]`. */
  end(finish: LocalFinish, usage: Usage): readonly Json[]
}

/** Starts the chunks of one streamed answer; `usage` comes last where it was asked for. */
export function createLocalChunks(head: LocalHead, includeUsage: boolean): LocalChunks {
  const chunk = (choices: readonly Json[], usage: Json | null = null): Json => ({
    id: head.id,
    object: 'chat.completion.chunk',
    created: head.created,
    model: head.model,
    service_tier: 'default',
    system_fingerprint: null,
    choices,
    ...(includeUsage ? { usage } : {}),
  })
  const piece = (delta: Json, finish: LocalFinish | null = null): Json =>
    chunk([{ index: 0, delta, logprobs: null, finish_reason: finish }])
  return {
    open: () => piece({ role: 'assistant', content: '', refusal: null }),
    text: content => piece({ content }),
    end: (finish, { promptTokens, completionTokens }) => [
      piece({}, finish),
      ...(includeUsage
        ? [
            chunk([], {
              prompt_tokens: promptTokens,
              completion_tokens: completionTokens,
              total_tokens: promptTokens + completionTokens,
            }),
          ]
        : []),
    ],
  }
}

/** The API's own answer to a prompt that does not fit; clients shorten their history when they read this code. */
export function contextLengthBody(promptTokens: number, contextSize: number): ErrorBody {
  return {
    error: {
      message: `The messages are ${promptTokens} tokens long, and the local model's context holds ${contextSize}, answer included. Shorten the messages, or start with a larger context.`,
      type: 'invalid_request_error',
      param: 'messages',
      code: 'context_length_exceeded',
    },
  }
}
