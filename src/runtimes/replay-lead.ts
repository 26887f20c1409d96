/** A lead that answers from recorded traffic, so that demo, tests and benchmarks need no key. Knows no socket. */
import { setTimeout as sleep } from 'node:timers/promises'
import { UnderstudyError } from '../errors.ts'
import {
  CHAT_PATH,
  deliveryOf,
  errorBody,
  formatSse,
  isObject,
  modelsBody,
  SSE_DONE,
  tryJson,
  unfoldCompletion,
} from '../wire/index.ts'
import { openReplayIndex, type Recording } from './replay-index.ts'
import type { Lead, LeadRequest, LeadResponse } from './types.ts'

export interface ReplayLeadOptions {
  /** JSON Lines in the native log format. */
  readonly file: string
  /** How many times faster than recorded; `Infinity`: at once. */
  readonly speed?: number
}

/** Of the recorded latency of a streamed answer, the share before its first chunk: recordings know only the total. */
const FIRST_CHUNK_SHARE = 0.3

/**
 * Opens a recording as a lead. A request is recognised by its canonical body, apart from `stream` and
 * `stream_options`; several recordings of one request are given in turn; unknown requests get a 404 that says so.
 * @throws file-unreadable
 */
export async function openReplayLead({ file, speed = 1 }: ReplayLeadOptions): Promise<Lead> {
  const index = await openReplayIndex(file)
  return {
    name: `replay:${file}`,
    speaks: path => path === CHAT_PATH,
    async send(request: LeadRequest): Promise<LeadResponse> {
      const path = request.path.split('?', 1)[0]
      if (request.method === 'GET' && path === '/v1/models') return modelList(index.models)
      if (request.method !== 'POST' || path !== CHAT_PATH) {
        return refuse(`The recording has no answer to ${request.method} ${path}.`)
      }
      const body = tryJson(new TextDecoder().decode(request.body ?? new Uint8Array()))?.value
      const recording = isObject(body) ? await index.next(body) : null
      if (recording === null || !isObject(body)) {
        return refuse('The recording holds no such request.')
      }
      return replay(recording, body, recording.latencyMs / speed, request.signal)
    },
    close: () => index.close(),
  }
}

async function replay(
  { response, status }: Recording,
  body: Readonly<Record<string, unknown>>,
  latencyMs: number,
  signal: AbortSignal,
): Promise<LeadResponse> {
  const { isStream, includeUsage } = deliveryOf(body)
  if (!isStream || status !== 200) {
    await pause(latencyMs, signal)
    return jsonResponse(response, status)
  }
  await pause(latencyMs * FIRST_CHUNK_SHARE, signal)
  const chunks = [...unfoldCompletion(response, { includeUsage, split: words })]
  return {
    status: 200,
    headers: { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' },
    body: streamed(chunks, latencyMs * (1 - FIRST_CHUNK_SHARE), signal),
  }
}

async function* streamed(
  chunks: readonly unknown[],
  spreadMs: number,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  for (const [index, chunk] of chunks.entries()) {
    if (index > 0) await pause(spreadMs / (chunks.length - 1), signal)
    yield bytesOf(formatSse(JSON.stringify(chunk)))
  }
  yield bytesOf(SSE_DONE)
}

/** Words with the white space before them: about the size of a lead's chunks. */
function words(text: string): readonly string[] {
  return text.match(/\s*\S+|\s+$/gu) ?? [text]
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  try {
    // Timers fire no sooner than after 1 ms, and below that a pause would only add.
    if (ms >= 1) await sleep(ms, undefined, { signal })
    else signal.throwIfAborted()
  } catch (cause) {
    throw new UnderstudyError('cancelled', 'The replayed request was cancelled.', { cause })
  }
}

function modelList(models: ReadonlySet<string>): LeadResponse {
  const rows = [...models].sort().map(id => ({ id, created: 0, ownedBy: 'replay' }))
  return jsonResponse(modelsBody(rows), 200)
}

function refuse(message: string): LeadResponse {
  const error = new UnderstudyError('not-found', message, {
    help: 'A replay lead answers only what its file holds; record it first, or use a real lead.',
  })
  const { body, status } = errorBody(error)
  return jsonResponse(body, status)
}

function jsonResponse(body: unknown, status: number): LeadResponse {
  const bytes = bytesOf(JSON.stringify(body))
  return { status, headers: { 'content-type': 'application/json' }, body: once(bytes) }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}
