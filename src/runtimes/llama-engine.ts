/** What writes text token by token, wherever it runs. Knows no wire format and no queue. */
import type { LocalFinish, LocalGeneration } from '../wire/index.ts'

export type GenerationEvent =
  /** The prompt fits and work begins. */
  | { readonly kind: 'begin'; readonly promptTokens: number }
  /** The prompt does not fit; nothing follows. */
  | { readonly kind: 'too-long'; readonly promptTokens: number; readonly contextSize: number }
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'end'; readonly finish: LocalFinish; readonly completionTokens: number }

/** Runs one generation at a time; whoever calls it keeps the queue. */
export interface TextEngine {
  /** Tokens that prompt and answer may have together. */
  readonly contextSize: number
  readonly threads: number
  /**
   * Writes one answer. Events arrive in order: `begin`, any number of `text`, `end`; or `too-long` alone.
   * @throws cancelled; request-invalid where no grammar can be made of the schema; upstream-unavailable when the
   * process that writes has died; runtime-failed
   */
  generate(
    request: LocalGeneration,
    onEvent: (event: GenerationEvent) => void,
    signal: AbortSignal,
  ): Promise<void>
  close(): Promise<void>
}
