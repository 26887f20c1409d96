/** Options that several commands share, so that they are called and explained the same everywhere. */
import { resolve } from 'node:path'
import { textOption } from './args.ts'
import type { CommandInput, CommandOption, Terminal } from './command.ts'

/** Where everything is kept that Understudy records and learns. */
export const dataOption: CommandOption = {
  name: 'data',
  type: 'string',
  placeholder: 'DIR',
  help: 'Data folder (default: $UNDERSTUDY_DATA, else .understudy here).',
}

export const configOption: CommandOption = {
  name: 'config',
  type: 'string',
  placeholder: 'FILE',
  help: 'Configuration file (default: understudy.yaml in the data folder).',
}

export const jsonOption: CommandOption = {
  name: 'json',
  type: 'boolean',
  help: 'Print one JSON document instead of text.',
}

/** Absolute path of the data folder that a command works on. */
export function dataFolder(input: CommandInput, terminal: Pick<Terminal, 'env'>): string {
  return resolve(textOption(input, 'data') || terminal.env.UNDERSTUDY_DATA || '.understudy')
}
