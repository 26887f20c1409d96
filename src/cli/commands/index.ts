/**
 * All commands by name, each loaded only when it runs or shows its help, so that `understudy --version` stays quick.
 * Summaries are repeated here for the same reason; a test compares them with the commands' own.
 */
import type { Command } from '../command.ts'

export interface CommandEntry {
  readonly name: string
  readonly summary: string
  load(): Promise<Command>
}

/** In the order of `understudy --help`. */
export const commandTable: readonly CommandEntry[] = [
  {
    name: 'version',
    summary: 'Show the version.',
    load: async () => (await import('./version.ts')).versionCommand,
  },
]
