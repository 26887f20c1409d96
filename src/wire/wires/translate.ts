/** Saying one wire's request in another's words: a table of fields, and a list of what had no place. Knows no API. */
import { UnderstudyError } from '../../errors.ts'
import { parseChatRequest } from '../chat-request.ts'
import { isObject } from '../json.ts'
import type { ChatRequest } from '../types.ts'

export type Json = Readonly<Record<string, unknown>>

/** A chat-completions body under construction. */
export interface Translation {
  readonly chat: Record<string, unknown>
  /** Paths of what could not be said. */
  readonly lost: string[]
}

/** Says one field; whatever it cannot say goes to `lost`. */
export type FieldRule = (value: unknown, to: Translation, name: string) => void

/** The field says nothing that bears on the answer, or is read elsewhere. */
export const skip: FieldRule = () => {}

export const lose: FieldRule = (_value, { lost }, name) => {
  lost.push(name)
}

/** Under another name, or its own. */
export const as =
  (target?: string): FieldRule =>
  (value, { chat }, name) => {
    chat[target ?? name] = value
  }

/** Nothing to say while it has this value. */
export const unless =
  (usual: unknown, rule: FieldRule): FieldRule =>
  (value, to, name) => {
    if (value !== usual) rule(value, to, name)
  }

/** Applies the rules to each field that is not null; unknown fields are lost. */
export function translateFields(
  fields: Json,
  rules: Readonly<Record<string, FieldRule>>,
  to: Translation,
  prefix = '',
): void {
  for (const [name, value] of Object.entries(fields)) {
    if (value === null || value === undefined) continue
    const rule = Object.hasOwn(rules, name) ? (rules[name] as FieldRule) : lose
    rule(value, to, prefix + name)
  }
}

/** The error of a request that cannot be understood. */
export function invalid(param: string | null, message: string, help: string): UnderstudyError {
  return new UnderstudyError('request-invalid', message, { help, details: { param } })
}

/**
 * What every request of a model has.
 * @throws request-invalid
 */
export function readEnvelope(body: unknown, what: string): Json & { readonly model: string } {
  if (!isObject(body)) {
    throw invalid(null, 'The body is not a JSON object.', `Send ${what}.`)
  }
  if (typeof body.model !== 'string' || body.model === '') {
    throw invalid('model', 'The model is missing or not a string.', 'Name a model in `model`.')
  }
  const { stream } = body
  if (stream !== undefined && stream !== null && typeof stream !== 'boolean') {
    throw invalid('stream', '`stream` is not a boolean.', 'Send true or false.')
  }
  return body as Json & { readonly model: string }
}

/** The house's form of a request that was translated; `body` is the caller's. */
export function translatedRequest(body: Json, { chat, lost }: Translation): ChatRequest {
  const inner = parseChatRequest(chat)
  return {
    ...inner,
    body,
    lost,
    includeUsage: true,
    escalations: [
      ...lost.map(parameter => ({ reason: 'unknown-parameter', parameter }) as const),
      ...inner.escalations,
    ],
  }
}

/** The house's form of a request that no specialist answers and no task is made of. */
export function passedRequest(body: Json & { readonly model: string }): ChatRequest {
  return {
    body,
    chat: body,
    lost: [],
    model: body.model,
    roles: [],
    systemText: '',
    userText: null,
    shape: { kind: 'text' },
    isStream: body.stream === true,
    includeUsage: true,
    formKey: '',
    escalations: [{ reason: 'pass-through' }],
  }
}

/** Texts as a message's content: one as a string, several as parts. */
export function contentOf(parts: readonly Json[]): unknown {
  const [only] = parts
  if (parts.length === 0) return ''
  return parts.length === 1 && only?.type === 'text' ? only.text : parts
}
