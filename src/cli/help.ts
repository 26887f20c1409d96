/** Writes help from the command table and from commands as data. */
import type { Command, CommandOption } from './command.ts'
import type { CommandEntry } from './commands/index.ts'

/** The page of `understudy --help`, or of one group such as `models`. */
export function tableHelp(entries: readonly CommandEntry[], group?: string): string {
  const shown =
    group === undefined ? entries : entries.filter(entry => entry.name.startsWith(`${group} `))
  return [
    group === undefined
      ? 'understudy: certified specialists for recurring LLM work'
      : `understudy ${group}: commands`,
    '',
    `Usage: understudy ${group === undefined ? '' : `${group} `}COMMAND [options]`,
    '',
    ...columns(shown.map(entry => [entry.name, entry.summary])),
    '',
    'Run `understudy COMMAND --help` for options and examples.',
    '',
  ].join('\n')
}

/** The page of `understudy COMMAND --help`. */
export function commandHelp(command: Command): string {
  const { positionals } = command
  const usage = ['Usage: understudy', command.name]
  if (positionals !== undefined) {
    usage.push(positionals.min === 0 ? `[${positionals.placeholder}]` : positionals.placeholder)
  }
  usage.push('[options]')
  return [
    command.summary,
    '',
    usage.join(' '),
    ...(positionals === undefined
      ? []
      : ['', ...columns([[positionals.placeholder, positionals.help]])]),
    '',
    'Options:',
    ...columns([...command.options.map(optionRow), ['--help, -h', 'Show this page.']]),
    '',
    command.examples.length === 1 ? 'Example:' : 'Examples:',
    ...command.examples.map(example => `  ${example}`),
    '',
  ].join('\n')
}

function optionRow(option: CommandOption): [string, string] {
  const value = option.type === 'boolean' ? '' : ` ${option.placeholder ?? 'VALUE'}`
  const notes = [
    ...(option.type === 'string[]' ? ['may be repeated'] : []),
    ...(option.default === undefined ? [] : [`default ${option.default}`]),
  ]
  return [
    `--${option.name}${value}`,
    notes.length === 0 ? option.help : `${option.help} (${notes.join('; ')})`,
  ]
}

function columns(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...rows.map(([left]) => left.length))
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`)
}
