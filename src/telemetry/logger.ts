/** Log lines, as JSON or for people. Whatever a caller put into a field, it stays on its line and moves no cursor. */
import { type Clock, clip, systemClock } from '../util/index.ts'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'
export type LogFormat = 'text' | 'json'
export type LogFields = Readonly<Record<string, string | number | boolean | null>>

export interface Logger {
  debug(message: string, fields?: LogFields): void
  info(message: string, fields?: LogFields): void
  warn(message: string, fields?: LogFields): void
  error(message: string, fields?: LogFields): void
  /** False where lines of this level go nowhere, so that nobody needs to make them. */
  isOn(level: LogLevel): boolean
}

export interface LoggerOptions {
  readonly write: (line: string) => void
  /** Default: `text`. */
  readonly format?: LogFormat
  /** Default: `info`. */
  readonly level?: LogLevel
  readonly clock?: Clock
}

const LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error']
const LENGTH_MAX = 2_000

export function isLogLevel(value: unknown): value is LogLevel {
  return LEVELS.includes(value as LogLevel)
}

export function createLogger({
  write,
  format = 'text',
  level = 'info',
  clock = systemClock,
}: LoggerOptions): Logger {
  const lowest = LEVELS.indexOf(level)
  const isOn = (wanted: LogLevel): boolean => LEVELS.indexOf(wanted) >= lowest
  const render = format === 'json' ? jsonLine : textLine
  const at =
    (wanted: LogLevel) =>
    (message: string, fields: LogFields = {}): void => {
      if (!isOn(wanted)) return
      const time = new Date(clock.now()).toISOString()
      write(`${inert(render(time, wanted, safe(message), fields))}\n`)
    }
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error'), isOn }
}

function jsonLine(time: string, level: LogLevel, message: string, fields: LogFields): string {
  const values = Object.entries(fields).map(([name, value]) => [name, safe(value)])
  return JSON.stringify({ time, level, message, ...Object.fromEntries(values) })
}

function textLine(time: string, level: LogLevel, message: string, fields: LogFields): string {
  const pairs = Object.entries(fields).map(([name, value]) => ` ${name}=${textValue(safe(value))}`)
  return `${time} ${level.toUpperCase().padEnd(5)} ${message}${pairs.join('')}`
}

function textValue(value: LogFields[string]): string {
  return typeof value === 'string' && !/^[\w.:/@+-]+$/u.test(value)
    ? JSON.stringify(value)
    : String(value)
}

/** Credentials do not belong into messages; where one gets there all the same, in an error of somebody else, it ends here. */
function safe<T extends LogFields[string]>(value: T): T {
  if (typeof value !== 'string') return value
  return clip(value, LENGTH_MAX)
    .replace(/\b(Bearer|Basic) +[\w.~+/=-]+/giu, '$1 [redacted]')
    .replace(/\b(?:u?sk|uk|pk)[-_][\w-]{8,}/gu, '[redacted]')
    .replace(/(\/\/[^\s/:@]+):[^\s/@]+@/gu, '$1:[redacted]@') as T
}

/** Control characters, line separators and marks that turn the direction of text, as escapes: valid in JSON, harmless in terminals. */
function inert(line: string): string {
  return line.replace(
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what this is about
    /[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069\ufeff]/gu,
    character => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
