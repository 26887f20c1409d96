/** A command is data: help, docs and tests are made from it. */

export interface CommandOption {
  readonly name: string
  /** `boolean`: a flag; `string[]`: may be repeated. */
  readonly type: 'string' | 'boolean' | 'string[]'
  /** Shown in help, e.g. `DIR`. */
  readonly placeholder?: string
  readonly help: string
  readonly default?: string
}

export interface CommandInput {
  readonly positionals: readonly string[]
  readonly options: Readonly<Record<string, string | boolean | readonly string[] | undefined>>
}

/** The terminal, passed in so that tests can read what a command writes. */
export interface Terminal {
  readonly isTty: boolean
  readonly columns: number
  /** Results: what a pipe should get. */
  out(text: string): void
  /** Progress and notices. */
  err(text: string): void
  /** Fires on the first Ctrl-C or SIGTERM. */
  readonly signal: AbortSignal
  readonly env: Readonly<Record<string, string | undefined>>
}

export interface Command {
  /** Words after `understudy`, e.g. `models pull`. */
  readonly name: string
  readonly summary: string
  readonly positionals?: {
    readonly placeholder: string
    readonly help: string
    readonly min: number
    readonly max: number
  }
  readonly options: readonly CommandOption[]
  /** Full command lines that a test runs; the data folder is made ready by the test. */
  readonly examples: readonly string[]
  /** @returns the exit code */
  run(input: CommandInput, terminal: Terminal): Promise<number>
}
