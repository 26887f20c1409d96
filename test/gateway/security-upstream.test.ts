/** docs/security.md, hostile leads: broken framing, headers that would speak for us, redirects, bombs, polluted JSON. */
import { brotliCompressSync, constants, deflateSync, gzipSync } from 'node:zlib'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import type { Listening } from '../../src/gateway/index.ts'
import { type Lead, openRemoteLead } from '../../src/runtimes/index.ts'
import { wireAt } from '../../src/wire/index.ts'
import { COMPLETION, openRawLead, type RawLead, rawJson } from './raw-sockets.ts'
import { chatInit, type TestGateway, testGateway } from './scripted.ts'

let upstream: RawLead
let elsewhere: RawLead
let lead: Lead
let parts: TestGateway
let listening: Listening

beforeAll(async () => {
  upstream = await openRawLead()
  elsewhere = await openRawLead()
  lead = openRemoteLead({ url: upstream.url, key: 'sk-of-the-lead' })
  parts = testGateway({ lead, leadHasKey: true })
  listening = await parts.gateway.listen({ port: 0 })
})
afterAll(async () => {
  await listening.close({ graceMs: 0 })
  await lead.close()
  await upstream.close()
  await elsewhere.close()
})
beforeEach(() => {
  upstream.forget()
  elsewhere.forget()
})
afterEach(async () => {
  expect((await fetch(`${listening.address}/healthz`)).status).toBe(200)
  expect(parts.logged).toEqual([])
  expect(({} as { polluted?: unknown }).polluted).toBeUndefined()
})

const chat = (body: Record<string, unknown> = {}, headers: Record<string, string> = {}) =>
  fetch(`${listening.address}/v1/chat/completions`, {
    ...chatInit(body, headers),
    redirect: 'manual',
  })
const files = () => fetch(`${listening.address}/v1/files`, { redirect: 'manual' })
const answers = [
  ['recorded', chat],
  ['passed through', files],
] as const

for (const [kind, ask] of answers) {
  test.each([301, 302, 303, 307, 308])(`a redirect %i is not followed (${kind})`, async status => {
    upstream.answer = `HTTP/1.1 ${status} Moved\r\nlocation: ${elsewhere.url}/steal\r\ncontent-length: 0\r\n\r\n`
    const response = await ask()
    expect(response.status).toBe(status)
    expect(upstream.received()).toContain('sk-of-the-lead')
    expect(elsewhere.received()).toBe('')
  })

  test(`a lead does not speak for the gateway in headers (${kind})`, async () => {
    const said = [
      'x-understudy-decision: dec_forged',
      'x-understudy-certificate: forged',
      'set-cookie: session=1',
      'access-control-allow-origin: *',
      'access-control-allow-credentials: true',
      'alt-svc: h3="evil.example:443"',
      'strict-transport-security: max-age=1',
      'clear-site-data: "*"',
      'refresh: 0;url=http://evil.example/',
      'service-worker-allowed: /',
      'connection: x-named',
      'x-named: 1',
      'x-kept: yes',
    ]
    upstream.answer = rawJson(COMPLETION, `${said.join('\r\n')}\r\n`)
    const response = await ask()
    const text = JSON.stringify([...response.headers])
    expect(response.headers.get('x-kept')).toBe('yes')
    expect(text).not.toMatch(
      /forged|session=1|access-control|alt-svc|strict|clear|refresh|worker|named/,
    )
    await response.text()
  })

  test.each([
    ['a header named constructor', 'constructor: x\r\n'],
    ['a header named __proto__', '__proto__: x\r\n'],
    ['headers of the prototype', 'toString: x\r\nvalueOf: y\r\nhasOwnProperty: z\r\n'],
    ['bytes beyond ASCII', 'x-note: \xe4\xb8\x96\xff\r\n'],
    ['a control character', 'x-note: a\x01b\r\n'],
    ['a delete', 'x-note: a\x7fb\r\n'],
  ])(`%s from the lead breaks nothing (${kind})`, async (_name, header) => {
    upstream.answer = rawJson(COMPLETION, header)
    const response = await ask()
    expect([200, 502]).toContain(response.status)
    const body = (await response.json()) as object
    expect(Object.keys(body).some(key => key === 'choices' || key === 'error')).toBe(true)
  })

  test.each([
    ['two lengths', 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 4\r\n\r\n{}{}'],
    [
      'length and chunks',
      'HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n',
    ],
    ['a negative length', 'HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\n{}'],
    ['status 000', 'HTTP/1.1 000 Odd\r\ncontent-length: 2\r\n\r\n{}'],
    ['status 999', 'HTTP/1.1 999 Odd\r\ncontent-length: 2\r\n\r\n{}'],
    ['status 101', 'HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n'],
    ['headers of 100 kB', `HTTP/1.1 200 OK\r\nx-a: ${'a'.repeat(100_000)}\r\n\r\n`],
    ['junk', 'SSH-2.0-OpenSSH_9.6\r\n\r\n'],
  ])(`%s from the lead is a 502 (${kind})`, async (_name, bytes) => {
    upstream.answer = bytes
    const response = await ask()
    expect(response.status).toBe(502)
    expect(await response.json()).toMatchObject({ error: { type: 'upstream_error' } })
  })

  test(`bytes behind an answer are nobody else’s answer (${kind})`, async () => {
    upstream.answer = rawJson(COMPLETION) + rawJson('{"poison":true}')
    const texts = await Promise.all(
      Array.from({ length: 6 }, () => ask().then(response => response.text())),
    )
    for (const text of texts) expect(text).not.toContain('poison')
    upstream.answer = rawJson(COMPLETION)
    expect(await (await ask()).text()).toBe(COMPLETION)
  })
}

test('a chunked answer whose chunks lie ends as a broken connection, not as a whole answer', async () => {
  upstream.answer = 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{"a":\r\nzz\r\n'
  const outcome = await files()
    .then(response => response.text())
    .catch(() => 'broken off')
  expect(outcome).toBe('broken off')
})

const SPACES = Buffer.alloc(48 * 1024 * 1024, 0x20)
const rawEncoded = (encoding: string, bytes: Uint8Array): string =>
  `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: ${encoding}\r\ncontent-length: ${bytes.length}\r\n\r\n${Buffer.from(bytes).toString('latin1')}`

test.each([
  ['gzip', () => gzipSync(SPACES)],
  ['deflate', () => deflateSync(SPACES)],
  ['br', () => brotliCompressSync(SPACES, { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } })],
  ['gzip, gzip', () => gzipSync(gzipSync(SPACES))],
  // The frame header alone: this encoding is never opened here.
  ['zstd', () => Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58, 0x00, 0x00)],
])(
  'a bomb in %s passes as it is, and its copy is bounded',
  async (encoding, make) => {
    const bomb = make()
    upstream.answer = rawEncoded(encoding, bomb)
    // Bare, since fetch itself would inflate it.
    const response = await parts.gateway.request('/v1/chat/completions', chatInit())
    expect(response.status).toBe(200)
    expect(response.headers.get('content-encoding')).toBe(encoding)
    expect((await response.arrayBuffer()).byteLength).toBe(bomb.length)
    expect(parts.workspace.traces.at(-1)).toMatchObject({ response: null, isComplete: false })
  },
  60_000,
)

test.each([
  'gzip',
  'deflate',
  'br',
  'zstd',
])('a request in %s is not inflated here', async encoding => {
  const bomb = gzipSync(SPACES)
  const response = await fetch(`${listening.address}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'content-encoding': encoding },
    body: bomb as BodyInit,
  })
  expect(response.status).toBe(400)
  expect(await response.json()).toMatchObject({ error: { code: 'request_invalid' } })
  expect(upstream.received()).toBe('')
})

const DEEP = 100_000
const deep = '['.repeat(DEEP) + ']'.repeat(DEEP)
const rawEvents = (...events: readonly string[]): string => {
  const body = [...events, '[DONE]'].map(data => `data: ${data}\n\n`).join('')
  return `HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
}

test.each([
  ['an answer', false, () => rawJson(deep)],
  ['a field of an answer', false, () => rawJson(`{"choices":${deep}}`)],
  ['an event', true, () => rawEvents(deep, `{"choices":${deep}}`)],
  [
    'many events, each a step deeper',
    true,
    () =>
      rawEvents(
        ...Array.from({ length: 300 }, (_, i) => {
          const nested = `${'{"a":'.repeat(i)}1${'}'.repeat(i)}`
          return `{"choices":[{"index":0,"delta":${nested}}]}`
        }),
      ),
  ],
])('depth: %s nested without end passes, and is recorded flat or not at all', async (_name, stream, make) => {
  upstream.answer = make()
  const before = parts.workspace.traces.length
  const response = await chat({ stream })
  expect(response.status).toBe(200)
  expect((await response.text()).length).toBeGreaterThan(100)
  expect(parts.workspace.traces.length).toBe(before + 1)
})

test.each([
  ['messages', `{"model":"m","messages":${deep}}`],
  ['a content part', `{"model":"m","messages":[{"role":"user","content":${deep}}]}`],
  ['a field that nobody knows', `{"model":"m","messages":[],"x":${deep}}`],
  ['objects that are never closed', '{"a":'.repeat(DEEP)],
])('depth: a request with %s nested without end is a 400', async (_name, body) => {
  for (const path of ['chat/completions', 'responses', 'messages', 'embeddings', 'completions']) {
    const response = await fetch(`${listening.address}/v1/${path}`, { method: 'POST', body })
    expect(response.status).toBe(400)
    await response.text()
  }
  expect(upstream.received()).toBe('')
})

const POLLUTION =
  '"__proto__":{"polluted":1,"content":"x"},"constructor":{"prototype":{"polluted":1}},"prototype":{"polluted":1}'

test('pollution: a request with __proto__ and constructor passes byte by byte and sets nothing', async () => {
  const body = `{${POLLUTION},"model":"m","messages":[{"role":"user","content":"hi",${POLLUTION}}],"metadata":{${POLLUTION}}}`
  const response = await fetch(`${listening.address}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', constructor: 'x', __proto__x: 'y' },
    body,
  })
  expect(response.status).toBe(200)
  expect(upstream.received().endsWith(body)).toBe(true)
  expect(JSON.stringify(parts.workspace.traces.at(-1)?.request)).toBe(body)
})

test.each([
  [
    'the chat wire',
    '/v1/chat/completions',
    (delta: string) => [`{"choices":[{"index":0,"delta":${delta},${POLLUTION}}],${POLLUTION}}`],
  ],
  [
    'the responses wire',
    '/v1/responses',
    (delta: string) => [`{"type":"response.created","response":${delta},${POLLUTION}}`],
  ],
  [
    'the messages wire',
    '/v1/messages',
    (delta: string) => [
      `{"type":"message_start","message":${delta}}`,
      `{"type":"content_block_start","index":0,"content_block":${delta}}`,
      `{"type":"content_block_delta","index":0,"delta":${delta}}`,
      `{"type":"message_delta","delta":${delta},"usage":${delta},${POLLUTION}}`,
    ],
  ],
  [
    'the completions wire',
    '/v1/completions',
    (delta: string) => [
      `{"choices":[{"index":0,"text":"a",${POLLUTION}}],"usage":${delta},${POLLUTION}}`,
    ],
  ],
])('pollution: events of %s set no prototype', async (_name, path, make) => {
  const events = make(`{"role":"assistant",${POLLUTION}}`)
  const fold = wireAt(path)?.createFold()
  for (const data of events) fold?.add({ event: 'message', data })
  expect('polluted' in (fold?.result().response ?? {})).toBe(false)
  upstream.answer = rawEvents(...events)
  const response = await fetch(listening.address + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      model: 'm',
      messages: [{ role: 'user', content: 'hi' }],
      input: 'hi',
      prompt: 'hi',
      max_tokens: 5,
      stream: true,
    }),
  })
  expect(response.status).toBe(200)
  expect(await response.text()).toContain('__proto__')
  expect(({} as { polluted?: unknown }).polluted).toBeUndefined()
})
