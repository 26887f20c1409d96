/** What every log format comes down to, and the checks that all of them share. Pure; knows no file. */
import { isObject, tryJson } from '../json.ts'
import type { LogEntry } from '../types.ts'

export type JsonObject = Readonly<Record<string, unknown>>

/** What one line turned out to be. */
export type ParsedLine =
  | { readonly kind: 'entry'; readonly entry: LogEntry }
  /** Half of a batch: the answer lies in another file, under the same custom id. */
  | { readonly kind: 'batch-request'; readonly customId: string; readonly request: JsonObject }
  | { readonly kind: 'batch-response'; readonly customId: string; readonly entry: HalfEntry }
  | { readonly kind: 'rejected'; readonly reason: string }

/** An entry that still lacks its request. */
export type HalfEntry = Omit<LogEntry, 'request'>

/** Longer ids are no ids, and would bloat the index. */
const MAX_ID_LENGTH = 512

export function rejected(reason: string): ParsedLine {
  return { kind: 'rejected', reason }
}

/** Checks what everything downstream relies on: a chat request with a model, an answer, an id that can be stored. */
export function chatEntry(raw: {
  readonly id: unknown
  readonly time: string | null
  readonly app?: unknown
  readonly status?: unknown
  readonly latencyMs?: unknown
  readonly request: unknown
  readonly response: unknown
}): ParsedLine {
  const { request, response } = raw
  const id = idText(raw.id)
  const app = idText(raw.app)
  if (id === undefined) return rejected(`id must be a text of at most ${MAX_ID_LENGTH} characters`)
  if (app === undefined)
    return rejected(`app must be a text of at most ${MAX_ID_LENGTH} characters`)
  if (!isObject(request)) return rejected('request is missing or no object')
  const flaw = requestFlaw(request)
  if (flaw !== null) return rejected(flaw)
  if (!isObject(response)) return rejected('response is missing or no object')
  const status = raw.status === undefined || raw.status === null ? 200 : raw.status
  if (!isStatus(status)) return rejected('status must be a whole number from 100 to 599')
  if (status < 400 && !Array.isArray(response.choices))
    return rejected('response.choices is missing')
  const latencyMs = typeof raw.latencyMs === 'number' && raw.latencyMs >= 0 ? raw.latencyMs : null
  return {
    kind: 'entry',
    entry: { id, time: raw.time, app, status, latencyMs, request, response },
  }
}

/** Why a body is no chat-completions request, null when it is one. */
export function requestFlaw(request: JsonObject): string | null {
  const { messages, model } = request
  if (!Array.isArray(messages)) return 'request.messages is missing: this is no chat completion'
  if (messages.length === 0 || !messages.every(isMessage)) {
    return 'request.messages must hold objects with a role'
  }
  if (typeof model !== 'string' || model === '' || model.includes('\0')) {
    return 'request.model is missing'
  }
  return null
}

export function isStatus(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 100 && (value as number) <= 599
}

function isMessage(value: unknown): boolean {
  return isObject(value) && typeof value.role === 'string'
}

/** A non-empty id, null where there is none, undefined where there is one that cannot be stored. */
function idText(value: unknown): string | null | undefined {
  if (value === undefined || value === null || value === '') return null
  const text = typeof value === 'number' ? String(value) : value
  if (typeof text !== 'string' || text.length > MAX_ID_LENGTH || text.includes('\0'))
    return undefined
  return text
}

/** ISO 8601 from ISO text, seconds or milliseconds since 1970; null where it is none of these. */
export function isoTime(value: unknown): string | null {
  if (typeof value === 'number') return isoFromMs(Math.abs(value) < 1e11 ? value * 1000 : value)
  return typeof value === 'string' ? isoFromMs(Date.parse(value)) : null
}

function isoFromMs(ms: number): string | null {
  const date = new Date(ms)
  return Number.isNaN(date.getTime()) ? null : date.toISOString()
}

/** The value itself, or what a JSON text in its place says; anything else unchanged. */
export function unpacked(value: unknown): unknown {
  if (typeof value !== 'string' || !/^\s*[{[]/.test(value)) return value
  const parsed = tryJson(value)
  return parsed === null ? value : parsed.value
}

/** The fields of an object that are neither missing nor null. */
export function present(source: JsonObject, names: readonly string[]): Record<string, unknown> {
  const kept: Record<string, unknown> = {}
  for (const name of names) {
    if (source[name] !== undefined && source[name] !== null) kept[name] = source[name]
  }
  return kept
}
