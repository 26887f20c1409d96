/** A local model as a lead: the API's requests in, its answers out, one at a time. Knows no llama.cpp and no HTTP server. */
import { isUnderstudyError, UnderstudyError } from '../errors.ts'
import { type Clock, randomHex, systemClock } from '../util/index.ts'
import {
  CHAT_PATH,
  contextLengthBody,
  createLocalChunks,
  errorBody,
  formatSse,
  type LocalChat,
  type LocalHead,
  modelsBody,
  parseJson,
  parseLocalChat,
  renderLocalCompletion,
  SSE_DONE,
} from '../wire/index.ts'
import type { GenerationEvent, TextEngine } from './llama-engine.ts'
import { type Channel, createChannel } from './local-lead-channel.ts'
import { createQueue, type Queue } from './local-lead-queue.ts'
import type { Lead, LeadRequest, LeadResponse } from './types.ts'

export interface LocalLeadOptions {
  readonly engine: TextEngine
  /** What `/v1/models` and every answer call the model. */
  readonly modelName: string
  /** Requests that may wait beside the one at work; more are refused with 503. */
  readonly maxWaiting?: number
  readonly clock?: Clock
}

const DEFAULT_MAX_WAITING = 32

/** Assumed until the first answer is done. */
const FIRST_GUESS_MS = 2000

const encoder = new TextEncoder()

/**
 * Serves `/v1/chat/completions` and `/v1/models` from an engine, which it owns from now on. Any model name is accepted:
 * there is only one model here, and the answer says which. Refusals are responses, as from any other lead; `send`
 * throws only cancelled and, where the engine's process died before the answer began, upstream-unavailable.
 */
export function createLocalLead(options: LocalLeadOptions): Lead {
  const { engine, modelName, maxWaiting = DEFAULT_MAX_WAITING, clock = systemClock } = options
  const created = Math.floor(clock.now() / 1000)
  const queue = createQueue(maxWaiting)
  let typicalMs = FIRST_GUESS_MS

  const model = { id: modelName, created, ownedBy: 'local' }

  const timed = async (work: () => Promise<void>): Promise<void> => {
    const start = clock.monotonic()
    await work()
    typicalMs = 0.7 * typicalMs + 0.3 * (clock.monotonic() - start)
  }

  const chat = async (request: LeadRequest): Promise<LeadResponse> => {
    const asked = parseLocalChat(readBody(request.body))
    if (queue.isFull) return busy(queue, typicalMs)
    const stop = new AbortController()
    const signal = AbortSignal.any([request.signal, stop.signal])
    const events = createChannel<GenerationEvent>()
    queue
      .run(() => timed(() => engine.generate(asked.generation, events.push, signal)), signal)
      .then(events.end, events.fail)
    const begin = await events.next()
    if (begin?.kind === 'too-long') {
      return json(400, contextLengthBody(begin.promptTokens, begin.contextSize))
    }
    if (begin?.kind !== 'begin') throw silent()
    const head: LocalHead = {
      id: `chatcmpl-${randomHex(12)}`,
      created: Math.floor(clock.now() / 1000),
      model: modelName,
    }
    const answer = { head, asked, events, promptTokens: begin.promptTokens }
    return asked.isStream ? streamed(answer, () => stop.abort()) : whole(answer)
  }

  return {
    name: `local:${modelName}`,
    speaks: path => path === CHAT_PATH,
    async send(request) {
      const path = request.path.split('?')[0] as string
      const route = `${request.method} ${path}`
      try {
        if (route === 'POST /v1/chat/completions') return await chat(request)
        if (route === 'GET /v1/models') return json(200, modelsBody([model]))
        if (route === `GET /v1/models/${encodeURIComponent(modelName)}`) {
          return json(200, (modelsBody([model]).data as readonly unknown[])[0])
        }
        throw notServed(route, modelName)
      } catch (error) {
        if (isUnderstudyError(error) && mustThrow(error)) throw error
        const { status, body } = errorBody(error)
        return json(status, body)
      }
    },
    close: () => engine.close(),
  }
}

/** Failures of the lead itself rather than of the request: whoever asked decides what to do about them. */
function mustThrow({ code }: UnderstudyError): boolean {
  return code === 'cancelled' || code === 'upstream-unavailable'
}

interface RunningAnswer {
  readonly head: LocalHead
  readonly asked: LocalChat
  readonly events: Channel<GenerationEvent>
  readonly promptTokens: number
}

async function whole({ head, events, promptTokens }: RunningAnswer): Promise<LeadResponse> {
  let text = ''
  for await (const event of events) {
    if (event.kind === 'text') text += event.text
    if (event.kind === 'end') {
      const usage = { promptTokens, completionTokens: event.completionTokens }
      return json(200, renderLocalCompletion(head, text, event.finish, usage))
    }
  }
  throw silent()
}

function streamed(answer: RunningAnswer, stop: () => void): LeadResponse {
  return {
    status: 200,
    headers: { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' },
    body: streamBody(answer, stop),
  }
}

/** Ends the generation when the reader leaves early; an error after the first byte is the last event. */
async function* streamBody(
  { head, asked, events, promptTokens }: RunningAnswer,
  stop: () => void,
): AsyncGenerator<Uint8Array> {
  const chunks = createLocalChunks(head, asked.includeUsage)
  const bytes = (value: unknown): Uint8Array => encoder.encode(formatSse(JSON.stringify(value)))
  try {
    yield bytes(chunks.open())
    for await (const event of events) {
      if (event.kind === 'text') yield bytes(chunks.text(event.text))
      if (event.kind === 'end') {
        const usage = { promptTokens, completionTokens: event.completionTokens }
        for (const chunk of chunks.end(event.finish, usage)) yield bytes(chunk)
        yield encoder.encode(SSE_DONE)
      }
    }
  } catch (error) {
    yield bytes(errorBody(error).body)
  } finally {
    stop()
  }
}

function readBody(body: Uint8Array | null): unknown {
  return parseJson(new TextDecoder().decode(body ?? new Uint8Array()))
}

function json(
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): LeadResponse {
  const bytes = encoder.encode(JSON.stringify(body))
  return {
    status,
    headers: {
      'content-type': 'application/json',
      'content-length': String(bytes.length),
      ...headers,
    },
    body: (async function* () {
      yield bytes
    })(),
  }
}

function busy(queue: Queue, typicalMs: number): LeadResponse {
  const seconds = Math.max(1, Math.ceil((queue.length * typicalMs) / 1000))
  const { status, body } = errorBody(
    new UnderstudyError('model-unavailable', `${queue.length} requests wait for the local model.`, {
      help: `Ask again in ${seconds} s.`,
    }),
  )
  return json(status, body, { 'retry-after': String(seconds) })
}

function notServed(route: string, modelName: string): UnderstudyError {
  return new UnderstudyError(
    'not-found',
    `The local model does not serve ${route.slice(0, 200)}.`,
    {
      help: `It serves POST /v1/chat/completions and GET /v1/models, and its name is ${modelName}.`,
    },
  )
}

function silent(): UnderstudyError {
  return new UnderstudyError('upstream-unavailable', 'The local model ended without an answer.')
}
