/** Options that several commands share, so that they are called and explained the same everywhere. */
import { statSync } from 'node:fs'
import { resolve } from 'node:path'
import { textOption, usageError } from './args.ts'
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

/** What the shares of a promise may be; the examples are the defaults of the settings. */
export const SHARES = {
  'target-risk': { min: 0.001, max: 0.999, example: 0.05 },
  'confidence-level': { min: 0.001, max: 0.999, example: 0.9 },
} as const

/** Absolute path of the data folder that a command works on. @throws usage-invalid where it is a file */
export function dataFolder(input: CommandInput, terminal: Pick<Terminal, 'env'>): string {
  const path = resolve(textOption(input, 'data') || terminal.env.UNDERSTUDY_DATA || '.understudy')
  if (!isFile(path)) return path
  throw usageError(
    `${path} is a file, and the data folder is a folder.`,
    'name the folder to keep everything in, with --data DIR.',
  )
}

/** False as well for what this user may not look at: opening it says more. */
function isFile(path: string): boolean {
  try {
    return statSync(path).isFile()
  } catch {
    return false
  }
}
