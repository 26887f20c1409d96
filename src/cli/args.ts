/** Turns words of a command line into a command's input. Knows option tables, no command. */
import { parseArgs } from 'node:util'
import { UnderstudyError } from '../errors.ts'
import { nearest, parseDuration } from '../util/index.ts'
import type { Command, CommandInput, CommandOption } from './command.ts'

type OptionValue = string | boolean | readonly string[]

/**
 * Parses the words after a command's name.
 * @throws usage-invalid with the nearest option, where one is near
 */
export function parseCommandArgs(command: Command, words: readonly string[]): CommandInput {
  const { tokens } = parseArgs({
    args: [...words],
    strict: false,
    allowPositionals: true,
    tokens: true,
    options: parserOptions(command.options),
  })
  const options: Record<string, OptionValue | undefined> = defaults(command.options)
  const positionals: string[] = []
  for (const token of tokens) {
    if (token.kind === 'positional') positionals.push(token.value)
    if (token.kind !== 'option') continue
    const option = findOption(command, token.name, token.rawName)
    options[option.name] = optionValue(command, option, token, options[option.name])
  }
  checkPositionals(command, positionals)
  return { positionals, options }
}

function parserOptions(
  options: readonly CommandOption[],
): Record<string, { type: 'string' | 'boolean'; multiple: boolean }> {
  return Object.fromEntries(
    options.map(({ name, type }) => [
      name,
      { type: type === 'boolean' ? 'boolean' : 'string', multiple: type === 'string[]' } as const,
    ]),
  )
}

function defaults(options: readonly CommandOption[]): Record<string, OptionValue | undefined> {
  const values: Record<string, OptionValue | undefined> = Object.create(null)
  for (const option of options) {
    values[option.name] =
      option.default ??
      (option.type === 'boolean' ? false : option.type === 'string[]' ? [] : undefined)
  }
  return values
}

function findOption(command: Command, name: string, rawName: string): CommandOption {
  const option = command.options.find(item => item.name === name)
  if (option !== undefined) return option
  const names = command.options.map(item => item.name)
  const near = nearest(name, names) ?? sameBeginning(name, names)
  throw usageError(
    `${commandLine(command)} has no option ${rawName}.`,
    near === null
      ? `run \`${commandLine(command)} --help\` to see its options.`
      : `did you mean --${near}?`,
  )
}

/** `--output` for `--out`, or the other way round; null where several begin so, or none. */
function sameBeginning(name: string, names: readonly string[]): string | null {
  const alike = names.filter(item => item.startsWith(name) || name.startsWith(item))
  return alike.length === 1 && name.length > 2 ? (alike[0] as string) : null
}

function optionValue(
  command: Command,
  option: CommandOption,
  token: { readonly rawName: string; readonly value?: string | undefined; inlineValue?: unknown },
  previous: OptionValue | undefined,
): OptionValue {
  if (option.type === 'boolean') {
    if (token.value === undefined) return true
    throw usageError(
      `${token.rawName} takes no value, and got '${token.value}'.`,
      `write just ${token.rawName}.`,
    )
  }
  // A following option is no value (`--data --json`); a number may be negative.
  const isMissing =
    token.value === undefined ||
    (!token.inlineValue && /^-\D/.test(token.value)) ||
    token.value === ''
  if (isMissing) {
    throw usageError(
      `${token.rawName} needs a value${token.value ? `, and got '${token.value}'` : ''}.`,
      `write ${token.rawName} ${option.placeholder ?? 'VALUE'}; see \`${commandLine(command)} --help\`.`,
    )
  }
  const value = token.value as string
  return option.type === 'string[]' ? [...((previous as readonly string[]) ?? []), value] : value
}

function checkPositionals(command: Command, positionals: readonly string[]): void {
  const wanted = command.positionals ?? { placeholder: '', help: '', min: 0, max: 0 }
  if (positionals.length < wanted.min) {
    throw usageError(
      `${commandLine(command)} needs ${wanted.placeholder}: ${wanted.help}`,
      `run \`${commandLine(command)} --help\` for an example.`,
    )
  }
  if (positionals.length > wanted.max) {
    throw usageError(
      `${commandLine(command)} does not know what to do with '${positionals[wanted.max]}'.`,
      `run \`${commandLine(command)} --help\` to see what it takes.`,
    )
  }
}

function commandLine(command: Command): string {
  return `understudy ${command.name}`
}

/** A mistake on the command line: exit code 2. */
export function usageError(message: string, help: string): UnderstudyError {
  return new UnderstudyError('usage-invalid', message, { help })
}

/** An option's text, undefined where it was not given. */
export function textOption(input: CommandInput, name: string): string | undefined {
  const value = input.options[name]
  return typeof value === 'string' ? value : undefined
}

/** True where a flag was given. */
export function flagOption(input: CommandInput, name: string): boolean {
  return input.options[name] === true
}

/**
 * An option's number within bounds (inclusive), undefined where it was not given. A refusal suggests the example.
 * @throws usage-invalid
 */
export function numberOption(
  input: CommandInput,
  name: string,
  {
    min = -Infinity,
    max = Infinity,
    example = Number.isFinite(min) ? min : 1,
  }: { min?: number; max?: number; example?: number } = {},
): number | undefined {
  const text = textOption(input, name)
  if (text === undefined) return undefined
  const value = Number(text)
  if (text.trim() !== '' && Number.isFinite(value) && value >= min && value <= max) return value
  throw usageError(
    `--${name} must be a number${bounds(min, max)}, and got '${text}'.`,
    `write for instance --${name} ${example}.`,
  )
}

/**
 * What `--budget` allows, in milliseconds; `usual` where it was not given.
 * @throws usage-invalid
 */
export function budgetOption(
  input: CommandInput,
  usual: string,
  { mayBeNothing = false } = {},
): number {
  const text = textOption(input, 'budget') ?? usual
  const value = parseDuration(text)
  if (value !== null && (value > 0 || mayBeNothing)) return value
  throw usageError(`--budget is "${text}".`, 'use a time such as 90s, 3m or 1h.')
}

function bounds(min: number, max: number): string {
  if (min === -Infinity) return max === Infinity ? '' : ` of at most ${max}`
  return max === Infinity ? ` of at least ${min}` : ` from ${min} to ${max}`
}

/** `500mb`, `2gb`, `64kb` or plain bytes, as bytes of powers of 1024; null where it is none of these. */
export function parseBytes(text: string): number | null {
  const match = /^(\d+(?:\.\d+)?)\s*(kb|mb|gb|b)?$/i.exec(text.trim())
  if (match === null) return null
  const factors = { b: 1, kb: 2 ** 10, mb: 2 ** 20, gb: 2 ** 30 } as const
  return Math.round(
    Number(match[1]) * factors[(match[2] ?? 'b').toLowerCase() as keyof typeof factors],
  )
}
