import { describe, expect, it } from 'vitest'
import { UnderstudyError } from '../errors.ts'
import { fixedClock } from '../util/index.ts'
import type { LocalGeneration } from '../wire/index.ts'
import { createSseParser, foldChunks } from '../wire/index.ts'
import type { GenerationEvent, TextEngine } from './llama-engine.ts'
import { createLocalLead } from './local-lead.ts'
import type { Lead, LeadResponse } from './types.ts'

/** One scripted answer: its events, the error after them, and the gate that it waits for after its first event. */
interface Script {
  readonly events: readonly GenerationEvent[]
  readonly error?: unknown
  readonly gate?: Promise<void>
}

const hello: Script = {
  events: [
    { kind: 'begin', promptTokens: 5 },
    { kind: 'text', text: 'Hel' },
    { kind: 'text', text: 'lo' },
    { kind: 'end', finish: 'stop', completionTokens: 2 },
  ],
}

/** An engine that plays scripts in order, the last one for ever; it fails the test when asked for two at once. */
function scriptedEngine(...scripts: readonly Script[]) {
  const requests: LocalGeneration[] = []
  let isBusy = false
  let isClosed = false
  let abortCount = 0
  const engine: TextEngine = {
    contextSize: 100,
    threads: 1,
    async generate(request, onEvent, signal) {
      if (isBusy) throw new Error('two at once')
      isBusy = true
      const script = scripts[Math.min(requests.length, scripts.length - 1)] ?? hello
      requests.push(request)
      try {
        for (const [at, event] of script.events.entries()) {
          if (at === 1) await Promise.race([script.gate, aborted(signal)])
          if (signal.aborted) {
            abortCount++
            throw new UnderstudyError('cancelled', 'The caller left.')
          }
          onEvent(event)
          await Promise.resolve()
        }
        if (script.error !== undefined) throw script.error
      } finally {
        isBusy = false
      }
    },
    async close() {
      isClosed = true
    },
  }
  return {
    engine,
    requests,
    get isClosed() {
      return isClosed
    },
    get abortCount() {
      return abortCount
    },
  }
}

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise(resolve => {
    if (signal.aborted) resolve()
    signal.addEventListener('abort', () => resolve(), { once: true })
  })

function gate() {
  let open = (): void => {}
  const promise = new Promise<void>(resolve => {
    open = resolve
  })
  return { promise, open }
}

interface Ask {
  readonly body?: unknown
  readonly method?: string
  readonly path?: string
  readonly signal?: AbortSignal
}

function ask(lead: Lead, { body, method = 'POST', path, signal }: Ask = {}): Promise<LeadResponse> {
  const sent = body ?? { model: 'gpt-x', messages: [{ role: 'user', content: 'Hi' }] }
  const text = typeof sent === 'string' ? sent : JSON.stringify(sent)
  return lead.send({
    method,
    path: path ?? '/v1/chat/completions',
    headers: {},
    body: method === 'GET' ? null : new TextEncoder().encode(text),
    signal: signal ?? new AbortController().signal,
  })
}

async function textOf(response: LeadResponse): Promise<string> {
  const decoder = new TextDecoder()
  let text = ''
  for await (const bytes of response.body) text += decoder.decode(bytes, { stream: true })
  return text
}

const jsonOf = async (response: LeadResponse) => JSON.parse(await textOf(response))
const streaming = {
  model: 'm',
  messages: [{ role: 'user', content: 'Hi' }],
  stream: true,
  stream_options: { include_usage: true },
}

describe('a local lead', () => {
  it('answers a plain request with the real token counts and its own name', async () => {
    const lead = createLocalLead({
      ...scriptedEngine(),
      modelName: 'tiny',
      clock: fixedClock(7000),
    })
    const response = await ask(lead)
    expect(response.status).toBe(200)
    expect(response.headers['content-type']).toBe('application/json')
    expect(await jsonOf(response)).toMatchObject({
      object: 'chat.completion',
      created: 7,
      model: 'tiny',
      choices: [{ message: { content: 'Hello' }, finish_reason: 'stop' }],
      usage: { prompt_tokens: 5, completion_tokens: 2 },
    })
    expect(lead.name).toBe('local:tiny')
  })

  it('streams the same answer as events that end with [DONE]', async () => {
    const lead = createLocalLead({ ...scriptedEngine(), modelName: 'tiny' })
    const response = await ask(lead, { body: streaming })
    expect(response.headers['content-type']).toMatch(/^text\/event-stream/)
    const text = await textOf(response)
    expect(text.endsWith('data: [DONE]\n\n')).toBe(true)
    const events = createSseParser().push(new TextEncoder().encode(text))
    expect(events.length).toBe(6)
    expect(foldChunks(events).response).toMatchObject({
      choices: [{ message: { content: 'Hello' }, finish_reason: 'stop' }],
      usage: { prompt_tokens: 5, completion_tokens: 2 },
    })
  })

  it('lists its one model, and says 404 for others and for what it does not serve', async () => {
    const lead = createLocalLead({ ...scriptedEngine(), modelName: 'tiny' })
    const get = (path: string) => ask(lead, { method: 'GET', path })
    expect(await jsonOf(await get('/v1/models?limit=1'))).toMatchObject({
      object: 'list',
      data: [{ id: 'tiny', owned_by: 'local' }],
    })
    expect(await jsonOf(await get('/v1/models/tiny'))).toMatchObject({ id: 'tiny' })
    for (const path of ['/v1/models/other', '/v1/chat/completions', '/v1/files']) {
      expect((await get(path)).status).toBe(404)
    }
    const embeddings = await ask(lead, { path: '/v1/embeddings' })
    expect(embeddings.status).toBe(404)
    expect((await jsonOf(embeddings)).error).toMatchObject({
      code: 'not_found',
      message: expect.stringContaining('/v1/embeddings'),
    })
  })

  it.each([
    ['no JSON', '{"model"', /not valid JSON/],
    ['nothing', '', /not valid JSON/],
    ['no messages', { model: 'm' }, /messages/],
    ['tools', { ...streaming, tools: [{ type: 'function', function: { name: 'f' } }] }, /tools/],
    ['a deep body', '['.repeat(10_000), /nests deeper/],
  ])('refuses %s with 400 before the engine hears of it', async (_name, body, message) => {
    const scripted = scriptedEngine()
    const lead = createLocalLead({ ...scripted, modelName: 'tiny' })
    const response = await ask(lead, { body })
    expect(response.status).toBe(400)
    expect((await jsonOf(response)).error).toMatchObject({
      type: 'invalid_request_error',
      message: expect.stringMatching(message),
    })
    expect(scripted.requests).toEqual([])
  })

  it('says context_length_exceeded, also where a stream was asked for', async () => {
    const scripted = scriptedEngine({
      events: [{ kind: 'too-long', promptTokens: 120, contextSize: 100 }],
    })
    const lead = createLocalLead({ ...scripted, modelName: 'tiny' })
    const response = await ask(lead, { body: streaming })
    expect(response.status).toBe(400)
    expect((await jsonOf(response)).error.code).toBe('context_length_exceeded')
  })

  it('passes on a refusal of the engine as the caller’s mistake', async () => {
    const scripted = scriptedEngine({
      events: [],
      error: new UnderstudyError('request-invalid', 'No grammar can be made of the schema.'),
    })
    const response = await ask(createLocalLead({ ...scripted, modelName: 'tiny' }))
    expect(response.status).toBe(400)
  })

  it('runs one request at a time and keeps their order', async () => {
    const { promise, open } = gate()
    const scripted = scriptedEngine({ ...hello, gate: promise }, hello)
    const lead = createLocalLead({ ...scripted, modelName: 'tiny' })
    const first = ask(lead)
    const second = ask(lead)
    await new Promise(resolve => setImmediate(resolve))
    expect(scripted.requests.length).toBe(1)
    open()
    expect((await Promise.all([first, second])).map(({ status }) => status)).toEqual([200, 200])
  })

  it('refuses beyond its bound with 503 and Retry-After, and recovers', async () => {
    const { promise, open } = gate()
    const scripted = scriptedEngine({ ...hello, gate: promise }, hello)
    const lead = createLocalLead({ ...scripted, modelName: 'tiny', maxWaiting: 1 })
    const accepted = [ask(lead), ask(lead)]
    const refused = await ask(lead)
    expect(refused.status).toBe(503)
    expect(Number(refused.headers['retry-after'])).toBeGreaterThanOrEqual(1)
    expect((await jsonOf(refused)).error).toMatchObject({ type: 'server_error' })
    open()
    await Promise.all(accepted)
    expect((await ask(lead)).status).toBe(200)
  })

  it('drops a caller who leaves the queue, and gives its place away', async () => {
    const { promise, open } = gate()
    const scripted = scriptedEngine({ ...hello, gate: promise }, hello)
    const lead = createLocalLead({ ...scripted, modelName: 'tiny', maxWaiting: 1 })
    const first = ask(lead)
    const controller = new AbortController()
    const leaving = ask(lead, { signal: controller.signal })
    controller.abort()
    await expect(leaving).rejects.toMatchObject({ code: 'cancelled' })
    const third = ask(lead)
    open()
    expect((await first).status).toBe(200)
    expect((await third).status).toBe(200)
    expect(scripted.requests.length).toBe(2)
  })

  it('stops the engine when the caller leaves, before or during the answer', async () => {
    const never = new Promise<void>(() => {})
    const scripted = scriptedEngine({ ...hello, gate: never })
    const lead = createLocalLead({ ...scripted, modelName: 'tiny' })
    const controller = new AbortController()
    const plain = ask(lead, { signal: controller.signal })
    await new Promise(resolve => setImmediate(resolve))
    controller.abort()
    await expect(plain).rejects.toMatchObject({ code: 'cancelled' })

    const { body } = await ask(lead, { body: streaming })
    for await (const _bytes of body) break
    await new Promise(resolve => setImmediate(resolve))
    expect(scripted.abortCount).toBe(2)
  })

  it('throws upstream-unavailable where the engine died before its answer began', async () => {
    const error = new UnderstudyError('upstream-unavailable', 'The process ended.')
    const scripted = scriptedEngine({ events: [], error }, hello)
    const lead = createLocalLead({ ...scripted, modelName: 'tiny' })
    await expect(ask(lead)).rejects.toMatchObject({ code: 'upstream-unavailable' })
    expect((await ask(lead)).status).toBe(200)
  })

  it('ends a stream with an error event where the engine died in the middle', async () => {
    const error = new UnderstudyError('upstream-unavailable', 'The process ended.')
    const scripted = scriptedEngine({ events: hello.events.slice(0, 2), error })
    const lead = createLocalLead({ ...scripted, modelName: 'tiny' })
    const text = await textOf(await ask(lead, { body: streaming }))
    expect(text).toContain('"content":"Hel"')
    expect(text).not.toContain('[DONE]')
    const last = text.trim().split('\n\n').at(-1)?.slice('data: '.length)
    expect(JSON.parse(last ?? '')).toMatchObject({ error: { code: 'upstream_unavailable' } })
  })

  it('never answers with half a text as if it were whole', async () => {
    const scripted = scriptedEngine({ events: hello.events.slice(0, 2) })
    const lead = createLocalLead({ ...scripted, modelName: 'tiny' })
    await expect(ask(lead)).rejects.toMatchObject({ code: 'upstream-unavailable' })
  })

  it('hides an unexpected failure’s words from the caller', async () => {
    const scripted = scriptedEngine({ events: [], error: new Error('/secret/path') })
    const response = await ask(createLocalLead({ ...scripted, modelName: 'tiny' }))
    expect(response.status).toBe(500)
    expect(await textOf(response)).not.toContain('secret')
  })

  it('closes the engine it owns', async () => {
    const scripted = scriptedEngine()
    await createLocalLead({ ...scripted, modelName: 'tiny' }).close()
    expect(scripted.isClosed).toBe(true)
  })
})
