/** The two ends of asking a lead that speaks chat only: the body it is sent, and its events said on the caller's wire. */
import { UnderstudyError } from '../../errors.ts'
import { isObject, tryJson } from '../json.ts'
import type { ChatRequest } from '../types.ts'
import type { Speech, SpeechHead } from './speech.ts'
import type { Json } from './translate.ts'

/** A request as a chat-completions body; usage is asked for, since other wires always tell it. */
export function chatBodyOf({ chat, isStream }: Pick<ChatRequest, 'chat' | 'isStream'>): Json {
  return isStream ? { ...chat, stream_options: { include_usage: true } } : chat
}

/** A whole answer, if it is a chat completion. @throws upstream-invalid */
export function completionIn(body: Json | null): Json {
  if (body !== null && Array.isArray(body.choices)) return body
  throw new UnderstudyError('upstream-invalid', "The lead's answer is no chat completion.", {
    help: 'Check that its address leads to an OpenAI-compatible API.',
  })
}

export interface Saying {
  /** What the data of an event is on the caller's wire. @throws upstream-unavailable where it is an error */
  event(data: string): string
  /** The closing events, where they are not out. @throws upstream-unavailable where the answer had not ended */
  end(): string
}

/** Says a stream of chat chunks, event by event. */
export function createSaying(speech: Speech, head: SpeechHead, request: ChatRequest): Saying {
  const stream = speech.stream(head, request)
  let isFinished = false
  let isEnded = false
  const close = (): string => {
    isEnded = true
    return stream.end()
  }
  return {
    event(data) {
      if (isEnded) return ''
      if (data.startsWith('[DONE]')) return close()
      const chunk = tryJson(data)?.value
      if (!isObject(chunk)) return ''
      if (isObject(chunk.error)) throw broken(chunk.error.message)
      isFinished ||= finishes(chunk)
      return stream.chunk(chunk)
    },
    end() {
      if (isEnded) return ''
      if (!isFinished) throw broken('it ended before its answer did')
      return close()
    },
  }
}

function finishes({ choices }: Json): boolean {
  return (
    Array.isArray(choices) &&
    choices.some(choice => isObject(choice) && typeof choice.finish_reason === 'string')
  )
}

function broken(why: unknown): UnderstudyError {
  const text = typeof why === 'string' ? why.slice(0, 500) : 'no reason was given'
  return new UnderstudyError('upstream-unavailable', `The lead's stream broke off: ${text}.`, {
    help: 'Try again.',
  })
}
