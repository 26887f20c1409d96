/** What a wire is: one request of one API, as the house reads, captures and answers it. Types only. */
import type { FoldedStream } from '../fold.ts'
import type { SseEvent } from '../sse.ts'
import type { Answer, AnswerOrReason, ChatRequest, Usage } from '../types.ts'
import type { Speech } from './speech.ts'

type Json = Readonly<Record<string, unknown>>

/** The requests that are captured. Every other path of the API is only passed on. */
export type WireName =
  | 'chat'
  | 'completions'
  | 'embeddings'
  | 'responses'
  | 'messages'
  | 'decisions'

/** Adds up a streamed answer, event by event. Never throws, whatever the events say. */
export interface StreamFold {
  add(event: Pick<SseEvent, 'event' | 'data'>): void
  /** What the events so far add up to. */
  result(): FoldedStream
}

/** A specialist's answer with what its envelope needs. */
export interface AnswerParts {
  /** Unique, without prefix: each wire makes its own ids from it. */
  readonly id: string
  /** Seconds since the Unix epoch. */
  readonly created: number
  readonly model: string
  readonly answer: Answer
  readonly usage: Usage
  /** Stands for the specialist's weights where the wire has a place for it. */
  readonly fingerprint: string
}

/** An answer as this wire writes it: whole, and as the bytes of a stream. */
export interface Rendered {
  readonly body: Json
  /** Server-sent events, the closing one included. */
  readonly stream: () => string
}

/** An error as this wire writes it. */
export interface RenderedError {
  readonly status: number
  readonly body: Json
}

export interface Wire {
  readonly name: WireName
  /** Path of its requests, always POST. */
  readonly path: string
  /**
   * Reads a request into the house's one form.
   * @throws request-invalid, the offending field in `details.param`
   */
  parse(body: unknown): ChatRequest
  createFold(): StreamFold
  /** True for the event after which a stream says no more. */
  closes(event: Pick<SseEvent, 'event' | 'data'>): boolean
  /** The answer in a whole response, or why there is none. Never throws. */
  answerOf(response: unknown, status: number): AnswerOrReason
  /** Tokens as the response reports them; null where it does not. */
  usageOf(response: unknown): Usage | null
  /** The field of a response that holds what was written, reasoning and half a tool call included; null: no part of it does. */
  readonly writtenField: 'choices' | 'content' | 'output' | 'answers' | null
  /** Null on a wire whose answers no specialist can give. */
  readonly render: ((request: ChatRequest, parts: AnswerParts) => Rendered) | null
  /** How the answers of a lead that speaks chat only are said on this wire; null where they cannot be. */
  readonly speech: Speech | null
  error(error: unknown): RenderedError
  /** The event by which a stream says that it broke off. */
  errorEvent(error: unknown): string
}
