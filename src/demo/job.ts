/** What one recurring use of the lead consists of, seen from the application that calls it. */
import type { Rng } from '../util/index.ts'
import { type Answer, isObject, tryJson } from '../wire/index.ts'

/** What kind of attention a job should get from Understudy; the demo checks that it did. */
export type Expectation = 'learnable' | 'leave-alone'

/** One request before it is wrapped as a log line. */
export interface Draft {
  /** Fields of the chat-completions body beside `model`. */
  readonly body: Readonly<Record<string, unknown>>
  /** What a careful person would have answered; null where there is no single right answer. */
  readonly truth: string | null
  /** How the lead would write an answer; for closed sets the argument is a label. */
  readonly render: (label: string) => Answer
  /** The text the label rests on, for repeats and near-duplicates. */
  readonly text: string
  /** Labels that a lead would confuse with the truth here, most plausible first; empty: any. */
  readonly rivals: readonly string[]
}

export interface Job {
  readonly name: string
  readonly app: string
  /** The application's model name. */
  readonly model: string
  /** The model as the lead reports it. */
  readonly reportedModel: string
  /** Share of the day's requests; all jobs together 1. */
  readonly share: number
  readonly expectation: Expectation
  /** The closed set; empty for free answers. */
  readonly labels: readonly string[]
  /** Median of the lead's log-normal latency in milliseconds. */
  readonly medianLatencyMs: number
  /** A new message with its truth. */
  compose(rng: Rng): Message
  /** Wraps a message the way this application always does. */
  draft(message: Message, rng: Rng): Draft
}

/** What somebody wrote, and what it meant. */
export interface Message {
  readonly text: string
  readonly truth: string | null
  readonly rivals: readonly string[]
}

/** System prompt and one user message. */
export function singleTurn(system: string, user: string): readonly object[] {
  return [
    { role: 'system', content: system },
    { role: 'user', content: user },
  ]
}

/** The label in an answer, whatever its coat: text, the only field of a JSON object, or a tool's only argument. */
export function readLabel(answer: Answer): string {
  const text = answer.kind === 'tool' ? answer.argumentsText : answer.text
  const value = tryJson(text)?.value
  return isObject(value) ? String(Object.values(value)[0]) : text.trim()
}
