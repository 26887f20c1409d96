/** Finds the command that the words name, runs it, and renders what goes wrong. Knows no command's work. */
import { ERRORS, isUnderstudyError, type UnderstudyError } from '../errors.ts'
import { nearest } from '../util/index.ts'
import { parseCommandArgs, usageError } from './args.ts'
import type { Terminal } from './command.ts'
import { type CommandEntry, commandTable } from './commands/index.ts'
import { commandHelp, tableHelp } from './help.ts'
import { openTerminal } from './terminal.ts'
import { packageVersion } from './version.ts'

/**
 * Runs one command line, without the word `understudy`.
 * @returns the exit code; never throws
 */
export async function main(
  argv: readonly string[],
  terminal?: Terminal,
  table: readonly CommandEntry[] = commandTable,
): Promise<number> {
  if (terminal !== undefined) return runSafely(argv, terminal, table)
  const own = openTerminal()
  try {
    return await runSafely(argv, own, table)
  } finally {
    own.close()
  }
}

async function runSafely(
  argv: readonly string[],
  terminal: Terminal,
  table: readonly CommandEntry[],
): Promise<number> {
  try {
    return await run(argv, terminal, table)
  } catch (error) {
    return renderError(error, terminal)
  }
}

async function run(
  argv: readonly string[],
  terminal: Terminal,
  table: readonly CommandEntry[],
): Promise<number> {
  const [first] = argv
  if (first === undefined || first === '--help' || first === '-h') {
    terminal.out(tableHelp(table))
    return 0
  }
  if (first === '--version' || first === '-v' || first === '-V') {
    terminal.out(`${packageVersion()}\n`)
    return 0
  }
  if (first === 'help') return help(argv.slice(1), terminal, table)
  const found = findCommand(argv, table)
  const words = argv.slice(found.wordCount)
  if (found.entry === null || asksForHelp(words)) return help(argv, terminal, table)
  const command = await found.entry.load()
  return await command.run(parseCommandArgs(command, words), terminal)
}

async function help(
  words: readonly string[],
  terminal: Terminal,
  table: readonly CommandEntry[],
): Promise<number> {
  if (words.length === 0) {
    terminal.out(tableHelp(table))
    return 0
  }
  const { entry, group } = findCommand(words, table)
  terminal.out(
    entry === null ? tableHelp(table, group ?? undefined) : commandHelp(await entry.load()),
  )
  // A group alone (`understudy models`) does nothing, so a script should notice.
  return entry !== null || words.some(isHelpFlag) ? 0 : 2
}

function asksForHelp(words: readonly string[]): boolean {
  const end = words.indexOf('--')
  return (end < 0 ? words : words.slice(0, end)).some(isHelpFlag)
}

function isHelpFlag(word: string): boolean {
  return word === '--help' || word === '-h'
}

interface Found {
  /** Null where the words name only a group. */
  readonly entry: CommandEntry | null
  readonly group: string | null
  readonly wordCount: number
}

/** @throws usage-invalid with the nearest command */
function findCommand(words: readonly string[], table: readonly CommandEntry[]): Found {
  const [first = '', second = ''] = words
  for (const wordCount of [2, 1]) {
    const name = words.slice(0, wordCount).join(' ')
    const entry = table.find(item => item.name === name)
    if (entry !== undefined) return { entry, group: null, wordCount }
  }
  const isGroup = table.some(item => item.name.startsWith(`${first} `))
  if (isGroup && (second === '' || isHelpFlag(second))) {
    return { entry: null, group: first, wordCount: 1 }
  }
  throw unknownCommand(isGroup ? `${first} ${second}` : first, table)
}

function unknownCommand(name: string, table: readonly CommandEntry[]): UnderstudyError {
  const near = nearest(
    name,
    table.map(entry => entry.name),
  )
  return usageError(
    `There is no command '${name}'.`,
    near === null
      ? 'run `understudy --help` for the list.'
      : `did you mean \`understudy ${near}\`?`,
  )
}

/** Two lines for what was foreseen; a hint for what was not. The only place where the CLI formats an error. */
function renderError(error: unknown, terminal: Terminal): number {
  const isDebug = terminal.env.UNDERSTUDY_DEBUG === '1'
  if (terminal.signal.aborted && !isDebug) {
    terminal.err('Stopped.\n')
    return ERRORS.cancelled.exit
  }
  const message = error instanceof Error ? error.message : String(error)
  if (isUnderstudyError(error)) {
    terminal.err(`${message}\n${error.help === undefined ? '' : `- help: ${error.help}\n`}`)
  } else {
    terminal.err(
      `Understudy failed unexpectedly: ${message}\n` +
        '- help: run the command again with UNDERSTUDY_DEBUG=1 and report what it prints.\n',
    )
  }
  if (isDebug && error instanceof Error) terminal.err(`${stackOf(error)}\n`)
  return isUnderstudyError(error) ? ERRORS[error.code].exit : ERRORS.bug.exit
}

function stackOf(error: Error): string {
  const { cause } = error
  const stack = error.stack ?? error.message
  return cause instanceof Error ? `${stack}\ncaused by: ${stackOf(cause)}` : stack
}
