/** `understudy version`. */
import type { Command } from '../command.ts'
import { packageVersion } from '../version.ts'

/** Prints the version, and with `--json` also that of Node and the platform. */
export const versionCommand: Command = {
  name: 'version',
  summary: 'Show the version.',
  options: [{ name: 'json', type: 'boolean', help: 'Print JSON, with the platform.' }],
  examples: ['understudy version', 'understudy version --json'],
  async run(input, terminal) {
    const version = packageVersion()
    const platform = `${process.platform}-${process.arch}`
    terminal.out(
      input.options.json === true
        ? `${JSON.stringify({ version, node: process.versions.node, platform })}\n`
        : `${version}\n`,
    )
    return 0
  },
}
