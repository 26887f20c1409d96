/** A lead for tests: a real HTTP server that speaks the API, and misbehaves where the request's model says so. */
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { openAiError, STUB_WIRES, type StubWire, streamText } from './stub-wires.ts'

export interface SeenRequest {
  readonly method: string
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

export interface StubLead {
  readonly url: string
  readonly seen: SeenRequest[]
  /** Connections whose caller left before the answer was whole. */
  readonly brokenOffCount: number
  close(): Promise<void>
}

export const CREATED = 1_700_000_000

const USAGE = {
  prompt_tokens: 9,
  completion_tokens: 3,
  total_tokens: 12,
  prompt_tokens_details: { cached_tokens: 0, audio_tokens: 0 },
  completion_tokens_details: {
    reasoning_tokens: 0,
    audio_tokens: 0,
    accepted_prediction_tokens: 0,
    rejected_prediction_tokens: 0,
  },
}

const CALL = {
  id: 'call_abc',
  type: 'function',
  function: { name: 'classify', arguments: '{"label":"card_lost"}' },
}

type Json = Record<string, unknown>

const LOGPROBS = {
  content: [
    {
      token: 'Grüße',
      logprob: -0.125,
      bytes: [71, 114, 195, 188, 195, 159, 101],
      top_logprobs: [
        { token: 'Grüße', logprob: -0.125, bytes: null },
        { token: 'Hallo', logprob: -2.5, bytes: null },
      ],
    },
  ],
  refusal: null,
}

/** A second call where the model is `parallel`. */
function callsFor(body: Json): (typeof CALL)[] {
  return body.model === 'parallel' ? [CALL, { ...CALL, id: 'call_def' }] : [CALL]
}

/** Fields beyond the documented ones, as reasoning models of other makers give them. */
const REASONING = { reasoning_content: 'Let me see.', reasoning_details: [{ text: 'Hm.' }] }

function messageFor(body: Json): Json {
  if (body.model === 'reasoning') return { role: 'assistant', content: 'Yes.', ...REASONING }
  return Array.isArray(body.tools)
    ? {
        role: 'assistant',
        content: null,
        tool_calls: callsFor(body),
        refusal: null,
        annotations: [],
      }
    : { role: 'assistant', content: 'Grüße, 世界 🌍.', refusal: null, annotations: [] }
}

function completionFor(body: Json): Json {
  return {
    id: 'chatcmpl-stub',
    object: 'chat.completion',
    created: CREATED,
    model: `${body.model}-2024`,
    choices: [
      {
        index: 0,
        message: messageFor(body),
        logprobs: body.logprobs === true ? LOGPROBS : null,
        finish_reason: 'stop',
      },
    ],
    usage: USAGE,
    service_tier: 'default',
    system_fingerprint: 'fp_stub',
  }
}

function chunksFor(body: Json): Json[] {
  const base = {
    id: 'chatcmpl-stub',
    object: 'chat.completion.chunk',
    created: CREATED,
    model: `${body.model}-2024`,
    service_tier: 'default',
    system_fingerprint: 'fp_stub',
  }
  const withUsage = (body.stream_options as Json | undefined)?.include_usage === true
  const piece = (delta: Json, finish: string | null = null): Json => ({
    ...base,
    choices: [{ index: 0, delta, logprobs: null, finish_reason: finish }],
    ...(withUsage ? { usage: null } : {}),
  })
  const deltas: Json[] = Array.isArray(body.tools)
    ? callsFor(body).flatMap((call, index) => [
        {
          ...(index === 0 ? { role: 'assistant', content: null, refusal: null } : {}),
          tool_calls: [{ index, ...call, function: { name: 'classify', arguments: '' } }],
        },
        ...['{"label":', '"card_lost"}'].map(text => ({
          tool_calls: [{ index, function: { arguments: text } }],
        })),
      ])
    : [
        { role: 'assistant', content: '', refusal: null },
        ...['Grüße', ', 世', '界 🌍', '.'].map(content => ({ content })),
      ]
  if (body.model === 'reasoning') {
    const [first, ...rest] = ['Let me ', 'see.'].map(text => ({ reasoning_content: text }))
    deltas.splice(1, 4, { ...first, reasoning_details: [{ text: 'Hm.' }] }, ...rest, {
      content: 'Yes.',
    })
  }
  if (body.logprobs === true) {
    const [opening, said, ...more] = deltas.map(delta => piece(delta))
    const [choice] = said?.choices as Json[]
    const told = { ...said, choices: [{ ...choice, logprobs: LOGPROBS }] }
    return [opening as Json, told, ...more, piece({}, 'stop')]
  }
  return [
    ...deltas.map(delta => piece(delta)),
    piece({}, 'stop'),
    ...(withUsage ? [{ ...base, choices: [], usage: USAGE }] : []),
  ]
}

const json = (response: ServerResponse, status: number, body: unknown): void => {
  response.writeHead(status, { 'content-type': 'application/json', 'x-request-id': 'req_stub' })
  response.end(JSON.stringify(body))
}

const sse = (
  response: ServerResponse,
  type = 'text/event-stream; charset=utf-8',
  headers: Record<string, string> = {},
): void => {
  response.writeHead(200, { 'content-type': type, 'x-request-id': 'req_stub', ...headers })
}

/** As some servers write that nothing was done to the bytes. */
const PLAINLY = { 'content-encoding': 'Identity' }

const line = (value: unknown): string => `data: ${JSON.stringify(value)}\n\n`

async function stream(response: ServerResponse, text: string): Promise<void> {
  const bytes = Buffer.from(text)
  // Cut at odd places, so that characters and events are split.
  for (let at = 0; at < bytes.length; at += 97) {
    response.write(bytes.subarray(at, at + 97))
    await sleep(0)
  }
  response.end()
}

/** Made beforehand: compressing takes longer than a test's lead may stay silent. */
const BOMB = gzipSync(Buffer.alloc(64 * 1024 * 1024, 0x20))

/** Misbehaviour by model name. */
const SCENES: Readonly<Record<string, (response: ServerResponse, body: Json) => void>> = {
  'error-html': response => {
    response.writeHead(500, { 'content-type': 'text/html' })
    response.end('<h1>Bad day</h1>')
  },
  hangs: () => {},
  'hangs-in-body': (response, body) => {
    sse(response)
    response.write(line(chunksFor(body)[0]))
  },
  unfinished: (response, body) => {
    sse(response)
    for (const chunk of chunksFor(body).slice(0, 3)) response.write(line(chunk))
    setTimeout(() => response.destroy(), 20)
  },
  'unfinished-identity': (response, body) => {
    sse(response, 'text/event-stream', PLAINLY)
    response.write(line(chunksFor(body)[0]))
    setTimeout(() => response.destroy(), 20)
  },
  'error-then-done': (response, body) => {
    sse(response)
    const [first] = chunksFor(body)
    response.end(`${line(first)}${line(openAiError(500))}data: [DONE]\n\n`)
  },
  'error-text-then-done': (response, body) => {
    sse(response)
    const [first] = chunksFor(body)
    response.end(`${line(first)}${line({ error: 'Bad day' })}data: [DONE]\n\n`)
  },
  'error-of-status-200': response => json(response, 200, openAiError(500)),
  'error-of-anthropic': response => json(response, 200, STUB_WIRES['/v1/messages']?.error(500)),
  'without-done': (response, body) => {
    sse(response)
    response.end(chunksFor(body).map(line).join(''))
  },
  'done-but-open': (response, body) => {
    sse(response)
    response.write(`${chunksFor(body).map(line).join('')}data: [DONE]\n\n`)
  },
  'json-breaks-off': response => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': '1000' })
    response.write('{"id":')
    setTimeout(() => response.destroy(), 20)
  },
  'json-said-to-be-stream': (response, body) => {
    sse(response)
    response.end(JSON.stringify(completionFor(body)))
  },
  'stream-said-to-be-json': (response, body) => {
    sse(response, 'application/json')
    response.end(`${chunksFor(body).map(line).join('')}data: [DONE]\n\n`)
  },
  'not-json': response => {
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end('{"choices": [')
  },
  'invalid-utf8': response => {
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end(Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d]))
  },
  deep: response => {
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end('['.repeat(100_000) + ']'.repeat(100_000))
  },
  huge: response => {
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ padding: 'x'.repeat(9 * 1024 * 1024) }))
  },
  identity: (response, body) => {
    response.writeHead(200, { 'content-type': 'application/json', ...PLAINLY })
    response.end(JSON.stringify(completionFor(body)))
  },
  gzipped: (response, body) => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' })
    response.end(gzipSync(JSON.stringify(completionFor(body))))
  },
  bomb: response => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' })
    response.end(BOMB)
  },
  impostor: (response, body) => {
    response.setHeader('x-understudy-served-by', 'encoder')
    response.setHeader('set-cookie', 'session=1')
    json(response, 200, completionFor(body))
  },
  'no-content': response => {
    response.writeHead(204)
    response.end()
  },
  'no-events': response => {
    response.writeHead(204, { 'content-type': 'text/event-stream' })
    response.end()
  },
}

/** Answers of a wire other than chat; a few scenes that all wires share. */
function answerWire(wire: StubWire, response: ServerResponse, body: Json): void {
  const failed = /^error-(\d{3})$/.exec(String(body.model))?.[1]
  if (failed !== undefined) {
    json(response, Number(failed), wire.error(Number(failed)))
  } else if (body.stream !== true || wire.events === null) {
    json(response, 200, wire.whole(body))
  } else {
    const events = wire.events(body)
    sse(response)
    if (body.model === 'unfinished') {
      response.write(streamText(events.slice(0, -2)).replace('data: [DONE]\n\n', ''))
      setTimeout(() => response.destroy(), 20)
    } else void stream(response, streamText(events))
  }
}

/** A byte order mark is no JSON, and is sent all the same. */
function withoutMark(text: string): string {
  return text.replace(/^\ufeff/u, '')
}

/** Opens a stub lead on a free port. */
export async function openStubLead(): Promise<StubLead> {
  const seen: SeenRequest[] = []
  let brokenOffCount = 0
  const server = createServer(async (request, response) => {
    const parts: Buffer[] = []
    for await (const part of request) parts.push(part as Buffer)
    const { method = '', url: path = '', headers } = request
    const text = Buffer.concat(parts).toString('utf8')
    seen.push({ method, path, headers, body: text })
    response.on('close', () => {
      if (!response.writableFinished) brokenOffCount++
    })
    if (method === 'POST' && path.startsWith('/v1/chat/completions')) {
      const body = JSON.parse(withoutMark(text)) as Json
      const scene = SCENES[String(body.model)]
      if (scene !== undefined) return scene(response, body)
      const failed = /^error-(\d{3})$/.exec(String(body.model))?.[1]
      if (failed !== undefined) return json(response, Number(failed), openAiError(Number(failed)))
      if (body.stream !== true) return json(response, 200, completionFor(body))
      sse(response)
      return void stream(response, `${chunksFor(body).map(line).join('')}data: [DONE]\n\n`)
    }
    const wire = STUB_WIRES[path.replace(/\?.*$/, '')]
    if (method === 'POST' && wire !== undefined) {
      return answerWire(wire, response, JSON.parse(withoutMark(text)) as Json)
    }
    if (path === '/v1/messages/count_tokens') return json(response, 200, { input_tokens: 42 })
    if (path === '/v1/models') return json(response, 200, { object: 'list', data: [] })
    json(response, 200, { method, path, received: text.length })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    seen,
    get brokenOffCount() {
      return brokenOffCount
    },
    close: () => closeServer(server),
  }
}

function closeServer(server: Server): Promise<void> {
  return new Promise(resolve => {
    server.close(() => resolve())
    server.closeAllConnections()
  })
}
