/** Chat-completions requests as a local model must obey them: every parameter honoured or refused. Knows no runtime. */
import { UnderstudyError } from '../errors.ts'
import { parseChatRequest } from './chat-request.ts'
import { isObject } from './json.ts'
import { grammarSchema } from './local-schema.ts'

type Body = Readonly<Record<string, unknown>>

export interface LocalMessage {
  readonly role: 'system' | 'user' | 'assistant'
  readonly text: string
}

/** What a text engine is asked to write. Null: the engine's own default. */
export interface LocalGeneration {
  readonly messages: readonly LocalMessage[]
  /** 0: always the likeliest token. */
  readonly temperature: number | null
  readonly topP: number | null
  /** Unsigned 32 bits. */
  readonly seed: number | null
  /** Tokens; null: until the context is full. */
  readonly maxTokens: number | null
  readonly stops: readonly string[]
  readonly presencePenalty: number
  readonly frequencyPenalty: number
  /** `schema` null: any JSON object. */
  readonly form: { readonly kind: 'text' } | { readonly kind: 'json'; readonly schema: Body | null }
}

export interface LocalChat {
  readonly generation: LocalGeneration
  readonly isStream: boolean
  readonly includeUsage: boolean
}

const MAX_STOPS = 16

/**
 * Reads a chat-completions body for a local model.
 * @throws request-invalid, the field in `details.param`, where it is malformed or asks for what a local model lacks
 */
export function parseLocalChat(body: unknown): LocalChat {
  const { body: fields, isStream, includeUsage, escalations } = parseChatRequest(body)
  for (const [name, refusal] of Object.entries(REFUSALS)) {
    const value = fields[name]
    if (value !== undefined && value !== null && !refusal.isNothing(value, fields)) {
      throw invalid(name, `The local model does not support ${refusal.what}.`, refusal.help)
    }
  }
  const other = escalations.find(({ reason }) => reason === 'non-text-content')
  if (other !== undefined) {
    const part = other.parameter ?? 'other'
    throw invalid('messages', `The local model reads no '${part}' parts.`, 'Send text only.')
  }
  return { generation: readGeneration(fields), isStream, includeUsage }
}

function readGeneration(fields: Body): LocalGeneration {
  const seed = numberIn(fields, 'seed', { isInteger: true })
  return {
    messages: readMessages(fields.messages as readonly Body[]),
    temperature: numberIn(fields, 'temperature', { min: 0, max: 2 }),
    topP: numberIn(fields, 'top_p', { min: 0, max: 1 }),
    seed: seed === null ? null : seed >>> 0,
    maxTokens:
      numberIn(fields, 'max_completion_tokens', { min: 1, isInteger: true }) ??
      numberIn(fields, 'max_tokens', { min: 1, isInteger: true }),
    stops: readStops(fields.stop),
    presencePenalty: numberIn(fields, 'presence_penalty', { min: -2, max: 2 }) ?? 0,
    frequencyPenalty: numberIn(fields, 'frequency_penalty', { min: -2, max: 2 }) ?? 0,
    form: readForm(fields.response_format),
  }
}

interface Refusal {
  readonly what: string
  readonly help: string
  isNothing(value: unknown, fields: Body): boolean
}

const isEmpty = (value: unknown): boolean =>
  Array.isArray(value) ? value.length === 0 : isObject(value) && Object.keys(value).length === 0

/** What is refused rather than ignored, because ignoring it would change what the answer means. */
const REFUSALS: Readonly<Record<string, Refusal>> = {
  n: {
    what: 'several choices',
    help: 'Leave out `n`, or ask several times.',
    isNothing: value => value === 1,
  },
  tools: {
    what: 'tools',
    help: 'Leave out `tools`, or demand JSON by `response_format`.',
    isNothing: (value, fields) => isEmpty(value) || fields.tool_choice === 'none',
  },
  functions: { what: 'functions', help: 'Leave out `functions`.', isNothing: isEmpty },
  logprobs: {
    what: 'log probabilities',
    help: 'Leave out `logprobs`.',
    isNothing: value => value === false,
  },
  top_logprobs: {
    what: 'log probabilities',
    help: 'Leave out `top_logprobs`.',
    isNothing: value => value === 0,
  },
  logit_bias: {
    what: 'biases, since its token ids are its own',
    help: 'Leave out `logit_bias`.',
    isNothing: isEmpty,
  },
  audio: { what: 'audio', help: 'Leave out `audio`.', isNothing: () => false },
  modalities: {
    what: 'modalities other than text',
    help: 'Leave out `modalities`.',
    isNothing: value => Array.isArray(value) && value.every(item => item === 'text'),
  },
}

function readMessages(messages: readonly Body[]): readonly LocalMessage[] {
  return messages.map(({ role, content, tool_calls: calls }, at) => {
    if (role === 'tool' || role === 'function' || (Array.isArray(calls) && calls.length > 0)) {
      throw invalid(
        `messages[${at}]`,
        'The local model does not support tools, and this message is part of a tool call.',
        'Send system, user and assistant texts.',
      )
    }
    return { role: roleOf(role), text: textOf(content) }
  })
}

function roleOf(role: unknown): LocalMessage['role'] {
  if (role === 'user' || role === 'assistant') return role
  return 'system'
}

function textOf(content: unknown): string {
  if (!Array.isArray(content)) return typeof content === 'string' ? content : ''
  return content.map(part => (isObject(part) ? String(part.text) : '')).join('\n')
}

function readStops(stop: unknown): readonly string[] {
  if (stop === undefined || stop === null) return []
  const stops: readonly unknown[] = Array.isArray(stop) ? stop : [stop]
  const isFine = stops.every(item => typeof item === 'string' && item !== '')
  if (!isFine || stops.length > MAX_STOPS) {
    throw invalid(
      'stop',
      '`stop` is not a text or a short list of texts.',
      `Send at most ${MAX_STOPS} texts, none of them empty.`,
    )
  }
  return stops as readonly string[]
}

function readForm(format: unknown): LocalGeneration['form'] {
  if (format === undefined || format === null) return { kind: 'text' }
  if (isObject(format)) {
    if (format.type === 'text') return { kind: 'text' }
    if (format.type === 'json_object') return { kind: 'json', schema: null }
    if (format.type === 'json_schema' && isObject(format.json_schema)) {
      const { schema, strict } = format.json_schema
      if (schema === undefined || schema === null) return { kind: 'json', schema: null }
      return { kind: 'json', schema: grammarSchema(schema, strict === true) }
    }
  }
  throw invalid(
    'response_format',
    '`response_format` is none that the local model knows.',
    'Use type text, json_object or json_schema.',
  )
}

function numberIn(
  fields: Body,
  name: string,
  {
    min = -Infinity,
    max = Infinity,
    isInteger = false,
  }: { min?: number; max?: number; isInteger?: boolean },
): number | null {
  const value = fields[name]
  if (value === undefined || value === null) return null
  const isFine =
    typeof value === 'number' &&
    (isInteger ? Number.isSafeInteger(value) : Number.isFinite(value)) &&
    value >= min &&
    value <= max
  if (isFine) return value
  const range =
    min === -Infinity ? '' : max === Infinity ? ` of at least ${min}` : ` from ${min} to ${max}`
  throw invalid(
    name,
    `\`${name}\` is ${JSON.stringify(value)?.slice(0, 40)}.`,
    `Send ${isInteger ? 'a whole number' : 'a number'}${range}.`,
  )
}

function invalid(param: string, message: string, help: string): UnderstudyError {
  return new UnderstudyError('request-invalid', message, { help, details: { param } })
}
