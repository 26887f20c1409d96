/** The table of log formats: how each is recognised and read. */
import { isObject } from '../json.ts'
import { type JsonObject, type ParsedLine, rejected } from './entry.ts'
import { matchesHelicone, parseHelicone } from './helicone.ts'
import { matchesLabelled, parseLabelled } from './labelled.ts'
import { matchesLangfuse, parseLangfuse } from './langfuse.ts'
import { matchesLitellm, parseLitellm } from './litellm.ts'
import { matchesNative, parseNative } from './native.ts'
import { matchesBatch, matchesStored, parseBatch, parseStored } from './openai.ts'

interface FormatEntry {
  readonly summary: string
  matches(line: JsonObject): boolean
  parse(line: JsonObject): ParsedLine
}

/** In the order in which a file is tried; the most telling fields first. */
export const LOG_FORMATS = {
  native: {
    summary: 'Understudy: request, response, and optional id, time, latency_ms, app, status',
    matches: matchesNative,
    parse: parseNative,
  },
  'openai-batch': {
    summary: 'OpenAI batch: the input file and the output file together',
    matches: matchesBatch,
    parse: parseBatch,
  },
  'openai-stored': {
    summary: 'OpenAI stored completions, each with its messages',
    matches: matchesStored,
    parse: parseStored,
  },
  litellm: {
    summary: 'LiteLLM standard logging payloads or spend logs',
    matches: matchesLitellm,
    parse: parseLitellm,
  },
  langfuse: {
    summary: 'Langfuse observations, from the API or from blob storage',
    matches: matchesLangfuse,
    parse: parseLangfuse,
  },
  helicone: {
    summary: 'Helicone request export with bodies',
    matches: matchesHelicone,
    parse: parseHelicone,
  },
  labelled: {
    summary: 'text and label, as CSV or JSON Lines; needs --task',
    matches: matchesLabelled,
    parse: parseLabelled,
  },
} as const satisfies Record<string, FormatEntry>

export type LogFormat = keyof typeof LOG_FORMATS

export function isLogFormat(name: string): name is LogFormat {
  return Object.hasOwn(LOG_FORMATS, name)
}

/** The format that a line looks like, null where none. */
export function detectLogFormat(line: unknown): LogFormat | null {
  if (!isObject(line)) return null
  for (const [name, format] of Object.entries(LOG_FORMATS)) {
    if (format.matches(line)) return name as LogFormat
  }
  return null
}

/** Reads one line's JSON value; what cannot be imported comes back with the reason. */
export function parseLogLine(format: LogFormat, line: unknown): ParsedLine {
  return isObject(line) ? LOG_FORMATS[format].parse(line) : rejected('the line is no JSON object')
}
