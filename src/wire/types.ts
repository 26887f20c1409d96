/** What the rest of the house sees of a chat request and its answer. Other people's field names stay in this folder. */

/** The answer of a model, stripped of its envelope: the same for a lead, a log line and a specialist. */
export type Answer =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'tool'; readonly name: string; readonly argumentsText: string }

/** Why a recorded response holds no answer that could be learned or compared. */
export type NoAnswerReason =
  | 'error-status'
  | 'truncated'
  | 'refused'
  | 'filtered'
  | 'several-choices'
  | 'several-tool-calls'
  | 'empty'
  | 'unreadable'

export type AnswerOrReason =
  | { readonly answer: Answer }
  | { readonly answer: null; readonly reason: NoAnswerReason }

export interface Usage {
  readonly promptTokens: number
  readonly completionTokens: number
}

/** What shape the caller demands of the answer. */
export type ResponseShape =
  | { readonly kind: 'text' }
  | { readonly kind: 'json'; readonly schema: unknown | null }
  /** `tool_choice` forces this one function. */
  | { readonly kind: 'tool'; readonly name: string; readonly parameters: unknown | null }

/** A request on any wire, in the house's one form. */
export interface ChatRequest {
  /** The caller's JSON, untouched. */
  readonly body: Readonly<Record<string, unknown>>
  /** The same as a chat-completions body, as far as it can be said in one; on that wire, `body` itself. */
  readonly chat: Readonly<Record<string, unknown>>
  /** Fields of `body` that `chat` has no place for. */
  readonly lost: readonly string[]
  readonly model: string
  readonly roles: readonly string[]
  /** System and developer texts, in order, joined by a blank line; '' without any. */
  readonly systemText: string
  /** Text of the only user message, null unless there is exactly one and it is plain text. */
  readonly userText: string | null
  readonly shape: ResponseShape
  readonly isStream: boolean
  /** True where the answer only says that another one will come, which is fetched elsewhere; default: false. */
  readonly isDeferred?: boolean
  /** `stream_options.include_usage`. */
  readonly includeUsage: boolean
  /** Canonical JSON of what fixes the answer's form: response format, tools, tool choice. */
  readonly formKey: string
  /** Why a specialist cannot answer this request in the lead's place; empty when it can. */
  readonly escalations: readonly RequestEscalation[]
}

/** Reasons to escalate that stand in the request itself. `parameter` names the offending field where one does. */
export interface RequestEscalation {
  readonly reason:
    | 'pass-through'
    | 'several-choices-asked'
    | 'logprobs-asked'
    | 'non-text-content'
    | 'unforced-tools'
    | 'unknown-parameter'
    | 'several-turns'
    | 'empty-input'
  readonly parameter?: string
}

/** One recorded request with its answer, whatever file or wire it came from. */
export interface LogEntry {
  /** The source's own id, null where it has none. */
  readonly id: string | null
  /** ISO 8601, null where unknown. */
  readonly time: string | null
  readonly app: string | null
  /** HTTP status; 200 where the source does not say. */
  readonly status: number
  readonly latencyMs: number | null
  /** Chat-completions request body. */
  readonly request: Readonly<Record<string, unknown>>
  /** Chat-completions response body. */
  readonly response: Readonly<Record<string, unknown>>
}
