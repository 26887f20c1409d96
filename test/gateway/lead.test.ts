/** Requests that the lead answers: its bytes, its errors, its silence; and what is recorded of them. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Lead, openRemoteLead } from '../../src/runtimes/index.ts'
import { chatInit, type TestGateway, testGateway } from './scripted.ts'
import { openStubLead, type StubLead } from './stub-lead.ts'

const CHAT = '/v1/chat/completions'
let stub: StubLead
let lead: Lead

beforeAll(async () => {
  stub = await openStubLead()
  lead = openRemoteLead({ url: stub.url, headersTimeoutMs: 300, bodyTimeoutMs: 300 })
})
afterAll(async () => {
  await lead.close()
  await stub.close()
})

async function ask(
  body: Record<string, unknown> = {},
  headers: Record<string, string> = {},
): Promise<{ parts: TestGateway; response: Response; text: string }> {
  const parts = testGateway({ lead })
  const response = await parts.gateway.request(CHAT, chatInit(body, headers))
  return { parts, response, text: await response.text() }
}

async function direct(body: Record<string, unknown>): Promise<string> {
  return (await fetch(`${stub.url}/chat/completions`, chatInit(body))).text()
}

test('a plain answer arrives byte for byte, with headers that say who served', async () => {
  const { parts, response, text } = await ask()
  expect(text).toBe(await direct({}))
  expect(response.headers.get('x-request-id')).toBe('req_stub')
  expect(response.headers.get('x-understudy-served-by')).toBe('lead')
  const id = response.headers.get('x-understudy-decision')
  expect(parts.workspace.traces).toMatchObject([
    { id, identity: id, status: 200, isStream: false, isComplete: true, source: 'gateway' },
  ])
  expect(parts.workspace.traces[0]?.response).toEqual(JSON.parse(text))
  expect(parts.workspace.traces[0]?.decision?.reason).toBe('no-specialist')
})

test('a stream arrives byte for byte and is recorded as the completion it adds up to', async () => {
  const options = { stream: true, stream_options: { include_usage: true } }
  const { parts, response, text } = await ask(options)
  expect(response.headers.get('content-type')).toMatch(/^text\/event-stream/)
  expect(text).toBe(await direct(options))
  const [trace] = parts.workspace.traces
  expect(trace).toMatchObject({ isStream: true, isComplete: true })
  expect(trace?.response).toMatchObject({
    object: 'chat.completion',
    choices: [
      { message: { role: 'assistant', content: 'Grüße, 世界 🌍.' }, finish_reason: 'stop' },
    ],
  })
  expect(trace?.response).toHaveProperty('usage.total_tokens', 12)
})

test('the record is written before the event that closes the stream goes out', async () => {
  const parts = testGateway({ lead })
  const response = await parts.gateway.request(
    CHAT,
    chatInit({ model: 'done-but-open', stream: true }),
  )
  const reader = (response.body as ReadableStream<Uint8Array>).getReader()
  let text = ''
  while (!text.includes('[DONE]')) {
    text += Buffer.from((await reader.read()).value ?? []).toString('utf8')
    if (text.includes('[DONE]')) expect(parts.workspace.traces).toHaveLength(1)
  }
  await reader.cancel()
  await parts.gateway.close()
  expect(parts.workspace.traces).toHaveLength(1)
  expect(parts.workspace.traces[0]?.isComplete).toBe(true)
})

test("the lead's own errors pass through untouched", async () => {
  const { response, text, parts } = await ask({ model: 'error-429' })
  expect(response.status).toBe(429)
  expect(JSON.parse(text)).toHaveProperty('error.code', 'code_429')
  expect(parts.workspace.traces).toMatchObject([{ status: 429, isComplete: true }])
  const html = await ask({ model: 'error-html' })
  expect([html.response.status, html.text]).toEqual([500, '<h1>Bad day</h1>'])
  expect(html.response.headers.get('content-type')).toBe('text/html')
})

test('a lead that is down is a 502 in the shape of the API, and is recorded', async () => {
  const gone = openRemoteLead({ url: 'http://127.0.0.1:1/v1' })
  const { gateway, workspace } = testGateway({ lead: gone })
  const response = await gateway.request(CHAT, chatInit())
  expect(response.status).toBe(502)
  expect(await response.json()).toMatchObject({
    error: { type: 'upstream_error', code: 'upstream_unavailable', param: null },
  })
  expect(workspace.traces).toMatchObject([{ status: 502, isComplete: false }])
  await gone.close()
})

test('a lead that stays silent is a 504, whether before its answer or within it', async () => {
  const { response, text } = await ask({ model: 'hangs' })
  expect([response.status, JSON.parse(text).error.code]).toEqual([504, 'upstream_timeout'])
  const within = await ask({ model: 'hangs-in-body', stream: true })
  expect(within.response.status).toBe(200)
  expect(within.text).toMatch(/\n\ndata: \{"error":\{[^\n]*"code":"upstream_timeout"\}\}\n\n$/)
  expect(within.parts.workspace.traces).toMatchObject([{ isComplete: false, isStream: true }])
})

test('a stream that breaks off ends with one error event, and its record says so', async () => {
  const { text, parts } = await ask({ model: 'unfinished', stream: true })
  expect(text).toMatch(/\n\ndata: \{"error":\{[^\n]*"code":"upstream_unavailable"\}\}\n\n$/)
  expect(parts.workspace.traces).toMatchObject([{ isComplete: false }])
  expect(parts.workspace.traces[0]?.response).toHaveProperty(
    'choices.0.message.content',
    'Grüße, 世',
  )
})

test('an encoding that changes nothing, however it is written, is none', async () => {
  const { text, parts } = await ask({ model: 'unfinished-identity', stream: true })
  expect(text).toMatch(/\n\ndata: \{"error":\{[^\n]*"code":"upstream_unavailable"\}\}\n\n$/)
  expect(parts.workspace.traces).toMatchObject([{ isComplete: false }])
})

test.each([
  ['m', false, { lead: 1, failed: 0 }],
  ['m', true, { lead: 1, failed: 0 }],
  ['error-429', false, { lead: 1, failed: 0 }],
  ['hangs', false, { lead: 0, failed: 1 }],
  ['json-breaks-off', false, { lead: 0, failed: 1 }],
  ['unfinished', true, { lead: 0, failed: 1 }],
])('a request is counted once: %s, streamed: %s', async (model, stream, requests) => {
  const { parts } = await ask({ model, stream })
  const status = await parts.gateway.request('/understudy/v1/status')
  expect(await status.json()).toMatchObject({ requests })
})

test('an answer without a body, said to be events, has the record that its header names', async () => {
  for (const stream of [false, true]) {
    const { response, text, parts } = await ask({ model: 'no-events', stream })
    expect([response.status, text]).toEqual([204, ''])
    expect(parts.workspace.traces).toMatchObject([
      { id: response.headers.get('x-understudy-decision'), status: 204 },
    ])
  }
})

test('a plain answer that breaks off is a 502, not half an answer', async () => {
  const { response, parts } = await ask({ model: 'json-breaks-off' })
  expect(response.status).toBe(502)
  expect(parts.workspace.traces).toMatchObject([{ status: 502, isComplete: false }])
})

test('a stream without its end marker is whole when every choice gave a finish reason', async () => {
  const { text, parts } = await ask({ model: 'without-done', stream: true })
  expect(text).toBe(await direct({ model: 'without-done', stream: true }))
  expect(parts.workspace.traces).toMatchObject([{ isComplete: true }])
})

test.each([
  'json-said-to-be-stream',
  'stream-said-to-be-json',
  'gzipped',
])('a lead that lies about its answer (%s) is passed through and recorded for what it is', async model => {
  const { text, parts, response } = await ask({ model, stream: model !== 'gzipped' })
  if (model !== 'gzipped') expect(text).toBe(await direct({ model, stream: true }))
  else expect(response.headers.get('content-encoding')).toBe('gzip')
  const [trace] = parts.workspace.traces
  expect(trace?.isComplete).toBe(true)
  expect(trace?.response).toHaveProperty('choices.0.message.content', 'Grüße, 世界 🌍.')
})

test.each([
  'not-json',
  'invalid-utf8',
  'deep',
  'huge',
  'bomb',
  'no-content',
])('a hostile answer (%s) passes through and harms nothing', async model => {
  const { parts, response } = await ask({ model })
  expect(response.status).toBe(model === 'no-content' ? 204 : 200)
  expect(response.headers.get('x-understudy-served-by')).toBe('lead')
  expect(parts.workspace.traces).toHaveLength(1)
  expect(parts.logged).toEqual([])
})

test('an answer too long to be held back says no length: its end comes after its record', async () => {
  const part = new TextEncoder().encode('x'.repeat(700_000))
  const long: Lead = {
    name: 'long',
    send: async () => ({
      status: 200,
      headers: { 'content-type': 'text/plain', 'content-length': String(2 * part.length) },
      body: (async function* () {
        yield* [part, part]
      })(),
    }),
    close: async () => {},
  }
  const { gateway, workspace } = testGateway({ lead: long })
  const response = await gateway.request(CHAT, chatInit())
  expect(response.headers.get('content-length')).toBeNull()
  expect(await response.text()).toHaveLength(2 * part.length)
  expect(workspace.traces).toMatchObject([{ id: response.headers.get('x-understudy-decision') }])
})

test('what only the gateway may say is taken from no lead, nor its cookies', async () => {
  const { response } = await ask({ model: 'impostor' })
  expect(response.headers.get('x-understudy-served-by')).toBe('lead')
  expect(response.headers.get('set-cookie')).toBeNull()
})

test('a caller who hangs up takes the lead along, and is recorded as incomplete', async () => {
  const parts = testGateway({ lead })
  const before = stub.brokenOffCount
  const response = await parts.gateway.request(
    CHAT,
    chatInit({ model: 'hangs-in-body', stream: true }),
  )
  const reader = (response.body as ReadableStream<Uint8Array>).getReader()
  await reader.read()
  await reader.cancel()
  await parts.gateway.close()
  await expect.poll(() => parts.workspace.traces.length).toBe(1)
  expect(parts.workspace.traces).toMatchObject([{ isComplete: false }])
  await expect.poll(() => stub.brokenOffCount).toBe(before + 1)
})

test('a full disk costs the record and its id, never the answer', async () => {
  const parts = testGateway({ lead })
  parts.workspace.isFull = true
  const plain = await parts.gateway.request(CHAT, chatInit())
  expect(plain.status).toBe(200)
  expect(plain.headers.has('x-understudy-decision')).toBe(false)
  expect(await plain.text()).toBe(await direct({}))
  const streamed = await parts.gateway.request(CHAT, chatInit({ stream: true }))
  const text = await streamed.text()
  expect(text.startsWith(await direct({ stream: true }))).toBe(true)
  expect(text).toMatch(/: understudy could not record this answer\n\n$/)
  const status = await (await parts.gateway.request('/understudy/v1/status')).json()
  expect(status).toMatchObject({ unrecordedCount: 2, requests: { lead: 2 } })
  expect(parts.logged).toHaveLength(1)
})

test('no key is ever recorded, and none of our headers reaches the lead', async () => {
  const { parts } = await ask(
    {},
    { authorization: 'Bearer sk-secret', 'x-understudy-app': 'desk', 'x-custom': 'kept' },
  )
  const seen = stub.seen.at(-1)?.headers ?? {}
  expect(seen.authorization).toBe('Bearer sk-secret')
  expect(seen['x-custom']).toBe('kept')
  expect(Object.keys(seen).filter(name => name.startsWith('x-understudy'))).toEqual([])
  expect(parts.workspace.traces[0]?.app).toBe('desk')
  expect(JSON.stringify(parts.workspace.traces)).not.toContain('sk-secret')
})

test.each([
  0, 1, 2,
])('a caller in process who cancels, %d parts asked for, stops a silent lead and pays what came', async askedCount => {
  // Nothing but the caller ends this call.
  const patient = openRemoteLead({ url: stub.url, headersTimeoutMs: 0, bodyTimeoutMs: 0 })
  const keys = [{ key: 'k', app: null, tokensPerMinute: 1000 }]
  const parts = testGateway({ lead: patient, keys })
  const before = stub.brokenOffCount
  const response = await parts.gateway.request(
    CHAT,
    chatInit({ model: 'hangs-in-body', stream: true }, { authorization: 'Bearer k' }),
  )
  const reader = (response.body as ReadableStream<Uint8Array>).getReader()
  if (askedCount > 0) await reader.read()
  const pending = askedCount > 1 ? reader.read() : null
  await reader.cancel()
  expect((await pending)?.done ?? true).toBe(true)
  expect(parts.workspace.traces).toMatchObject([
    { isComplete: false, charge: { isEstimated: true, promptTokens: expect.any(Number) } },
  ])
  await expect.poll(() => stub.brokenOffCount).toBe(before + 1)
  const metrics = await (
    await parts.gateway.request('/metrics', { headers: { authorization: 'Bearer k' } })
  ).text()
  expect(metrics).toMatch(/^understudy_open_streams\S* 0$/m)
  await parts.gateway.close()
  await patient.close()
})

test("a lead with a key of its own never sees the caller's", async () => {
  const keyed = openRemoteLead({ url: stub.url, key: 'sk-lead' })
  const { gateway } = testGateway({ lead: keyed, leadHasKey: true })
  await gateway.request(CHAT, chatInit({}, { authorization: 'Bearer sk-caller' }))
  expect(stub.seen.at(-1)?.headers.authorization).toBe('Bearer sk-lead')
  await keyed.close()
})

test('every other path passes through in any method', async () => {
  const { gateway, workspace } = testGateway({ lead })
  const posted = await gateway.request('/v1/audio/speech?x=1', {
    method: 'POST',
    body: '{"input":"a"}',
  })
  expect(await posted.json()).toEqual({
    method: 'POST',
    path: '/v1/audio/speech?x=1',
    received: 13,
  })
  const deleted = await gateway.request('/v1/files/f-1', { method: 'DELETE' })
  expect(await deleted.json()).toMatchObject({ method: 'DELETE', path: '/v1/files/f-1' })
  expect((await gateway.request('/v1/models', { method: 'HEAD' })).status).toBe(200)
  expect(await (await gateway.request('/v1/models')).json()).toEqual({ object: 'list', data: [] })
  expect(workspace.traces).toEqual([])
})
