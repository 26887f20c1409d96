/** Hostile and broken requests over real sockets: errors in the shape of the API, and a gateway that lives on. */
import { connect } from 'node:net'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import type { Listening } from '../../src/gateway/index.ts'
import { type Lead, openRemoteLead } from '../../src/runtimes/index.ts'
import { chatInit, scriptedTask, type TestGateway, testGateway } from './scripted.ts'
import { openStubLead, type StubLead } from './stub-lead.ts'

let stub: StubLead
let lead: Lead
let parts: TestGateway
let listening: Listening

beforeAll(async () => {
  stub = await openStubLead()
  lead = openRemoteLead({ url: stub.url })
  parts = testGateway({ lead }, [scriptedTask({ name: 'intent', label: 'x', score: 1 })])
  listening = await parts.gateway.listen({ port: 0 })
})
afterAll(async () => {
  await listening.close()
  await lead.close()
  await stub.close()
})
afterEach(async () => {
  expect((await fetch(`${listening.address}/healthz`)).status).toBe(200)
  expect(parts.logged).toEqual([])
})

function post(body: string | Uint8Array, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${listening.address}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: body as BodyInit,
  })
}

interface ApiError {
  readonly error: {
    readonly message: string
    readonly type: string
    readonly param: string | null
    readonly code: string
  }
}

async function refusal(response: Response): Promise<ApiError['error']> {
  const { error } = (await response.json()) as ApiError
  expect(error.message).not.toBe('')
  expect(error.type).toBe('invalid_request_error')
  return error
}

/** Bytes on a bare socket; resolves with all that comes back. */
function raw(bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(new URL(listening.address).port), '127.0.0.1')
    let text = ''
    socket.on('data', part => {
      text += part.toString('latin1')
    })
    socket.on('close', () => resolve(text))
    socket.on('error', reject)
    socket.setTimeout(3000, () => socket.end())
    socket.write(bytes)
  })
}

test.each([
  ['no JSON', '{"model": '],
  ['nothing', ''],
  ['a bare string', '"hello"'],
  ['an array', '[]'],
  ['null', 'null'],
  ['bytes that are no UTF-8', Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x7d)],
  ['100,000 nested arrays', `{"messages":${'['.repeat(100_000)}${']'.repeat(100_000)}}`],
  ['100,000 unclosed objects', '{"a":'.repeat(100_000)],
  ['a prototype', '{"__proto__":{"model":"m","messages":[]}}'],
])('a body that is %s is a 400', async (_name, body) => {
  const response = await post(body)
  expect(response.status).toBe(400)
  expect((await refusal(response)).code).toBe('request_invalid')
})

const user = { role: 'user', content: 'hi' }
test.each([
  [{ messages: [user] }, 'model'],
  [{ model: 5, messages: [user] }, 'model'],
  [{ model: 'm' }, 'messages'],
  [{ model: 'm', messages: 'hi' }, 'messages'],
  [{ model: 'm', messages: [] }, 'messages'],
  [{ model: 'm', messages: [null] }, 'messages[0]'],
  [{ model: 'm', messages: [user, { role: 'wizard', content: '' }] }, 'messages[1].role'],
  [{ model: 'm', messages: [{ role: 'user' }] }, 'messages[0].content'],
  [{ model: 'm', messages: [{ role: 'user', content: 7 }] }, 'messages[0].content'],
  [{ model: 'm', messages: [{ role: 'user', content: ['x'] }] }, 'messages[0].content[0]'],
  [
    { model: 'm', messages: [{ role: 'user', content: [{ type: 'text' }] }] },
    'messages[0].content[0].text',
  ],
  [{ model: 'm', messages: [user], stream: 'yes' }, 'stream'],
  [{ model: 'm', messages: [user], tools: {} }, 'tools'],
])('%j is a 400 that names the parameter', async (body, param) => {
  const response = await post(JSON.stringify(body))
  expect(response.status).toBe(400)
  expect((await refusal(response)).param).toBe(param)
})

test('a body of 50 MB is a 413, announced or not', async () => {
  const huge = new Uint8Array(50 * 1024 * 1024).fill(0x20)
  const announced = await post(huge)
  expect(announced.status).toBe(413)
  expect((await refusal(announced)).code).toBe('request_too_large')
  let sent = 0
  const unannounced = await fetch(`${listening.address}/v1/chat/completions`, {
    method: 'POST',
    duplex: 'half',
    body: new ReadableStream({
      pull(controller) {
        sent += 1024 * 1024
        if (sent > 50 * 1024 * 1024) controller.close()
        else controller.enqueue(new Uint8Array(1024 * 1024).fill(0x20))
      },
    }),
  } as RequestInit).catch(() => null)
  // The rest of such a body is not waited for, so the caller may find the connection closed instead.
  if (unannounced !== null) expect(unannounced.status).toBe(413)
})

test.each([
  '/v1/../understudy/v1/status/x',
  '/v1/%2e%2e/secret',
  '//v1/models',
  '/v2/models',
  '/V1/models',
  '/',
])('the path %s leads nowhere', async path => {
  const before = stub.seen.length
  const answer = await raw(`GET ${path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n`)
  expect(answer).toMatch(/^HTTP\/1\.1 (404|400)/)
  expect(answer).toContain('"error"')
  expect(stub.seen.length).toBe(before)
})

test.each([
  '/v1/%2e%2e%2fsecret',
  '/v1/..%2fsecret',
  '/v1/%252e%252e%252fsecret',
  '/v1/a\\..\\b',
  '/v1/%5c..%5cb',
  '/v1/%00',
])('the path %s, which a lead may read as leading elsewhere, is refused', async path => {
  const before = stub.seen.length
  const answer = await raw(`GET ${path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n`)
  expect(answer).toMatch(/^HTTP\/1\.1 400/)
  expect(answer).toContain('request_invalid')
  expect(stub.seen.length).toBe(before)
})

test.each([
  ['junk', 'hello there\r\n\r\n'],
  ['a TLS greeting', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'],
  ['a header without name', 'GET /v1/models HTTP/1.1\r\n: x\r\n\r\n'],
  [
    'two lengths',
    'POST /v1/x HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n',
  ],
  [
    'length and chunks',
    'POST /v1/x HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n',
  ],
  ['a host of junk', 'GET /v1/models HTTP/1.1\r\nhost: a b@c\r\nconnection: close\r\n\r\n'],
])('%s on the wire is a 400 in the shape of the API', async (_name, bytes) => {
  const answer = await raw(bytes)
  expect(answer).toMatch(/^HTTP\/1\.1 400/)
  expect(answer).toContain('"code":"request_invalid"')
})

test('headers of 100 kB are a 431 in the shape of the API', async () => {
  const answer = await raw(
    `GET /v1/models HTTP/1.1\r\nhost: localhost\r\nx-junk: ${'j'.repeat(100_000)}\r\n\r\n`,
  )
  expect(answer).toMatch(/^HTTP\/1\.1 431/)
  expect(answer).toContain('"error"')
})

test('a caller who leaves in the middle of its own body harms nothing', async () => {
  const before = parts.workspace.traces.length
  await new Promise<void>(resolve => {
    const socket = connect(Number(new URL(listening.address).port), '127.0.0.1', () => {
      socket.write(
        'POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 999\r\n\r\n{"mod',
      )
      setTimeout(() => socket.destroy(), 30)
    })
    socket.on('close', () => resolve())
  })
  expect(parts.workspace.traces.length).toBe(before)
})

test('a caller who leaves while the lead thinks takes the lead along and is recorded', async () => {
  const before = [stub.brokenOffCount, parts.workspace.traces.length] as const
  const leaving = new AbortController()
  const asked = fetch(`${listening.address}/v1/chat/completions`, {
    ...chatInit({ model: 'hangs' }),
    signal: leaving.signal,
  })
  await expect.poll(() => stub.seen.at(-1)?.body).toContain('"hangs"')
  leaving.abort()
  await expect(asked).rejects.toThrow()
  await expect.poll(() => stub.brokenOffCount).toBe(before[0] + 1)
  await expect.poll(() => parts.workspace.traces.length).toBe(before[1] + 1)
  expect(parts.workspace.traces.at(-1)).toMatchObject({ isComplete: false, response: null })
})

test('a name of 10,000 characters in a header is refused', async () => {
  const response = await post(String(chatInit().body), { 'x-understudy-task': 'x'.repeat(10_000) })
  expect(response.status).toBe(400)
})

test('foreign pages and foreign names for this machine are refused', async () => {
  const answer = await raw(
    'GET /v1/models HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n',
  )
  expect(answer).toMatch(/^HTTP\/1\.1 403/)
  for (const path of ['/understudy/v1/status', '/v1/models']) {
    const crossSite = await fetch(listening.address + path, {
      headers: { origin: 'https://evil.example' },
    })
    expect(crossSite.status).toBe(403)
    const own = await fetch(listening.address + path, { headers: { origin: listening.address } })
    expect(own.status).toBe(200)
    const opaque = await fetch(listening.address + path, { headers: { origin: 'null' } })
    expect(opaque.status).toBe(403)
  }
})
