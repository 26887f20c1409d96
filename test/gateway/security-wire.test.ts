/** docs/security.md, over bare sockets: smuggling, injection, targets and paths, headers of one hop, sizes, slowness. */
import { connect } from 'node:net'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import type { Listening } from '../../src/gateway/index.ts'
import { type Lead, openRemoteLead } from '../../src/runtimes/index.ts'
import { openRawLead, type RawLead, rawJson, sendRaw } from './raw-sockets.ts'
import { type TestGateway, testGateway } from './scripted.ts'

let upstream: RawLead
let lead: Lead
let parts: TestGateway
let listening: Listening

beforeAll(async () => {
  upstream = await openRawLead()
  lead = openRemoteLead({ url: upstream.url, key: 'sk-of-the-lead' })
  parts = testGateway({ lead, leadHasKey: true })
  listening = await parts.gateway.listen({
    port: 0,
    headersTimeoutMs: 1_000,
    requestTimeoutMs: 2_000,
    readTimeoutMs: 300,
  })
})
afterAll(async () => {
  await listening.close({ graceMs: 0 })
  await lead.close()
  await upstream.close()
})
beforeEach(() => upstream.forget())
afterEach(async () => {
  expect((await fetch(`${listening.address}/healthz`)).status).toBe(200)
  expect(parts.logged).toEqual([])
})

const BODY = '{"model":"m","messages":[{"role":"user","content":"hi"}]}'
const LENGTH = `content-length: ${BODY.length}\r\n`
const SMUGGLED = 'GET /v1/smuggled HTTP/1.1\r\nhost: localhost\r\n\r\n'
const POST = 'POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n'
const chunk = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`

test.each([
  ['two lengths', `${POST}${LENGTH}content-length: 0\r\n\r\n${BODY}${SMUGGLED}`],
  ['lengths in one header', `${POST}content-length: 57, 0\r\n\r\n${BODY}${SMUGGLED}`],
  ['a signed length', `${POST}content-length: +57\r\n\r\n${BODY}${SMUGGLED}`],
  ['a negative length', `${POST}content-length: -1\r\n\r\n${BODY}${SMUGGLED}`],
  ['a hexadecimal length', `${POST}content-length: 0x39\r\n\r\n${BODY}${SMUGGLED}`],
  ['a length of 30 digits', `${POST}content-length: ${'9'.repeat(30)}\r\n\r\n${BODY}${SMUGGLED}`],
  ['length, then chunks', `${POST}${LENGTH}transfer-encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`],
  [
    'chunks, then length',
    `${POST}transfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n${chunk(BODY)}0\r\n\r\n${SMUGGLED}`,
  ],
  ['an encoding that is none', `${POST}transfer-encoding: xchunked\r\n\r\n0\r\n\r\n${SMUGGLED}`],
  [
    'chunked, but not last',
    `${POST}transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n${SMUGGLED}`,
  ],
  ['a space before the colon', `${POST}content-length : 57\r\n\r\n${BODY}${SMUGGLED}`],
  ['a folded header', `${POST}x-a: b\r\n ${LENGTH}\r\n${BODY}${SMUGGLED}`],
  ['a bare line feed between headers', `${POST.replaceAll('\r', '')}${LENGTH}\r\n${BODY}`],
  [
    'a chunk size with a sign',
    `${POST}transfer-encoding: chunked\r\n\r\n+39\r\n${BODY}\r\n0\r\n\r\n`,
  ],
  ['a chunk size with 0x', `${POST}transfer-encoding: chunked\r\n\r\n0x39\r\n${BODY}\r\n0\r\n\r\n`],
  [
    'a chunk longer than it says',
    `${POST}transfer-encoding: chunked\r\n\r\n2\r\n${BODY}\r\n0\r\n\r\n`,
  ],
  [
    'a chunk size of 20 digits',
    `${POST}transfer-encoding: chunked\r\n\r\n${'f'.repeat(20)}\r\n${BODY}`,
  ],
])('smuggling: %s is a 400 and ends the connection', async (_name, bytes) => {
  const answer = await sendRaw(listening.address, bytes)
  expect(answer).toMatch(/^HTTP\/1\.1 400 /)
  expect(answer).toContain('"code":"request_invalid"')
  expect(answer.match(/HTTP\/1\.1 \d{3}/g)).toHaveLength(1)
  expect(upstream.received()).not.toContain('smuggled')
})

test('smuggling: what a body holds is a body, also where its method needs none', async () => {
  const requests = [
    `POST /v1/files HTTP/1.1\r\nhost: localhost\r\ncontent-length: ${SMUGGLED.length}\r\n\r\n${SMUGGLED}`,
    `GET /v1/files HTTP/1.1\r\nhost: localhost\r\ncontent-length: ${SMUGGLED.length}\r\n\r\n${SMUGGLED}`,
    `POST /v1/files HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n${chunk(SMUGGLED)}0\r\n\r\n`,
    `POST /v1/files HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n0;a="\r\n${SMUGGLED}`,
  ]
  for (const bytes of requests) await sendRaw(listening.address, bytes, { quietMs: 300 })
  const lines = upstream.lines().filter(line => !line.includes('smuggled'))
  // A request line within a body that came with its length is no request.
  const heads = upstream.received().match(/^(?:GET|POST) \/v1\/files HTTP/gm)
  expect(heads).toHaveLength(3)
  expect(lines).toHaveLength(3)
  const bodies = upstream
    .received()
    .match(/content-length: \d+\r\n(?:[^\r\n]+\r\n)*\r\nGET \/v1\/smuggled/g)
  expect(bodies).toHaveLength(2)
})

test('smuggling: a lead gets one length, counted here, whatever the caller’s chunks looked like', async () => {
  const chunks = `${chunk(BODY.slice(0, 5))}${chunk(BODY.slice(5))}0\r\nx-late: 1\r\n\r\n`
  const answer = await sendRaw(
    listening.address,
    `${POST}connection: close\r\ntrailer: x-late\r\ntransfer-encoding: chunked\r\n\r\n${chunks}`,
  )
  expect(answer).toMatch(/^HTTP\/1\.1 200 /)
  const seen = upstream.received()
  expect(seen.match(/content-length: (\d+)/gi)).toEqual([`content-length: ${BODY.length}`])
  expect(seen).not.toMatch(/transfer-encoding|trailer|x-late/i)
  expect(seen.endsWith(`\r\n\r\n${BODY}`)).toBe(true)
})

test.each([
  ['NUL', 'a\0b'],
  ['an escape', 'a\x1b[31mb'],
  ['a delete', 'a\x7fb'],
])('injection: %s in a header is a 400', async (_name, value) => {
  const answer = await sendRaw(listening.address, `${POST}x-a: ${value}\r\n${LENGTH}\r\n${BODY}`)
  expect(answer).toMatch(/^HTTP\/1\.1 400 /)
  expect(upstream.received()).toBe('')
})

test('injection: a carriage return in a header starts no other, here or at the lead', async () => {
  const answer = await sendRaw(
    listening.address,
    `${POST}x-a: b\rx-evil: 1\r\n${LENGTH}connection: close\r\n\r\n${BODY}`,
  )
  expect(answer).toMatch(/^HTTP\/1\.1 400 /)
  expect(upstream.received()).toBe('')
})

test('injection: names in headers that decode to line breaks come back encoded', async () => {
  const name = 'a%0d%0aset-cookie:%20x=1%0d%0a%0d%0a'
  const answer = await sendRaw(
    listening.address,
    `${POST}x-understudy-task: ${name}\r\nx-understudy-app: ${name}\r\nx-request-id: a b\r\n${LENGTH}connection: close\r\n\r\n${BODY}`,
  )
  expect(answer).toMatch(/^HTTP\/1\.1 200 /)
  expect(answer).toContain('a%0D%0Aset-cookie')
  expect(answer).not.toMatch(/^set-cookie/im)
  // An id with a blank in it is replaced by one of ours.
  expect(answer).toMatch(/^x-request-id: req_\w+\r$/m)
  expect(upstream.received()).not.toMatch(/set-cookie|x-understudy/i)
})

test.each([
  'http://evil.example/v1/files',
  'http://evil.example@localhost/v1/files',
  'http://localhost@evil.example/v1/files',
  '/v1/@evil.example/files',
  '/v1/https://evil.example/files',
  '/v1//evil.example/files',
])('forgery: the target %s reaches the lead that is configured, and nobody else', async target => {
  const answer = await sendRaw(
    listening.address,
    `GET ${target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n`,
  )
  expect(answer).toMatch(/^HTTP\/1\.1 (200|400|403) /)
  for (const line of upstream.lines()) expect(line).toMatch(/^GET \/v1\//)
  if (upstream.received() !== '') {
    const host = new URL(upstream.url).host
    expect(upstream.received().match(/^host: (.*)\r$/gim)).toEqual([`host: ${host}\r`])
  }
})

test.each([
  '//evil.example/v1/files',
  '/%761/files',
  '@evil.example/v1/files',
  'evil.example:443',
  '*',
])('forgery: the target %s leads nowhere', async target => {
  const answer = await sendRaw(
    listening.address,
    `OPTIONS ${target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n`,
  )
  expect(answer).toMatch(/^HTTP\/1\.1 (400|404) /)
  expect(upstream.received()).toBe('')
})

test.each(['CONNECT', 'TRACE', 'PROPFIND', 'PURGE'])('forgery: %s goes nowhere', async method => {
  const target = method === 'CONNECT' ? 'evil.example:443' : '/v1/files'
  const answer = await sendRaw(
    listening.address,
    `${method} ${target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n`,
  )
  expect(answer === '' || /^HTTP\/1\.1 400 /.test(answer)).toBe(true)
  expect(upstream.received()).toBe('')
})

test.each([
  '/v1/../secret',
  '/v1/./secret',
  '/v1/a/..',
  '/v1/%2e%2e/secret',
  '/v1/.%2E/secret',
  '/v1/%2e%2e%2fsecret',
  '/v1/%252e%252e%252fsecret',
  '/v1/%25252e%25252e%25252fsecret',
  '/v1/%ff/%2e%2e/%2e%2e/secret',
  '/v1/%25ff/%252e%252e/secret',
  '/v1/%c0%ae%c0%ae/secret',
  '/v1/a%5c..%5csecret',
  '/v1/a\\..\\secret',
  '/v1/..;/secret',
  '/v1/%2e%2e;x=1/secret',
  '/v1/a%00b',
  '/v1/a%0d%0ax-evil:1',
  '/v1/%2525252525252e',
  '/v1/%zz/%2e%2e/secret',
])('traversal: %s never reaches the lead', async path => {
  const answer = await sendRaw(
    listening.address,
    `GET ${path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n`,
  )
  expect(answer).toMatch(/^HTTP\/1\.1 (400|404) /)
  expect(answer).toContain('"error"')
  expect(upstream.received()).toBe('')
})

test('traversal: names with escapes that stay within their segment pass', async () => {
  for (const path of [
    '/v1/files/a%20b',
    '/v1/files/%E4%B8%96.txt',
    '/v1/files/100%25',
    '/v1/..a',
  ]) {
    const answer = await sendRaw(
      listening.address,
      `GET ${path}?q=%2e%2e HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n`,
    )
    expect(answer).toMatch(/^HTTP\/1\.1 200 /)
    expect(upstream.lines().at(-1)).toBe(`GET ${path}?q=%2e%2e HTTP/1.1`)
  }
})

test.each([
  '/v1/%63hat/completions',
  '/v1/%2563hat/completions',
  '/v1/chat%2fcompletions',
  '/v1//chat/completions',
  '//v1/chat/completions',
  '/%761/chat/completions',
  '/v1/chat/completions/',
  '/v1/chat/completions//?x=1',
  '/v1/chat/completions#x',
  '/v1/chat/completions?x=1#y',
  '/v1/files#x',
  '/v1/chat/completions%23x',
  '/v1/chat/completions%3fx=1',
  '/v1/chat/completions;x=1',
  '/v1/chat;x=1/completions',
  '/v1/Chat/Completions',
  '/v1/messages/',
  '/v1/%65mbeddings',
])('spellings: %s is no way around the records and limits of its path', async target => {
  const count = parts.workspace.traces.filter(({ status }) => status === 200).length
  const answer = await sendRaw(
    listening.address,
    `POST ${target} HTTP/1.1\r\nhost: localhost\r\n${LENGTH}connection: close\r\n\r\n${BODY}`,
  )
  expect(answer).toMatch(/^HTTP\/1\.1 (400|404) /)
  expect(answer).toContain('"error"')
  expect(upstream.received()).toBe('')
  expect(parts.workspace.traces.filter(({ status }) => status === 200)).toHaveLength(count)
})

test('spellings: the plain one passes in any method, and paths below it do', async () => {
  for (const [method, target] of [
    ['POST', '/v1/chat/completions?x=%2f'],
    ['GET', '/v1/chat/completions?limit=2'],
    ['POST', '/v1/chat/completions/c-1'],
    ['POST', '/v1/messages/count_tokens'],
    ['POST', '/v1/files/'],
  ]) {
    upstream.forget()
    const answer = await sendRaw(
      listening.address,
      `${method} ${target} HTTP/1.1\r\nhost: localhost\r\n${LENGTH}connection: close\r\n\r\n${BODY}`,
    )
    expect(answer).toMatch(/^HTTP\/1\.1 200 /)
    expect(upstream.lines()).toEqual([`${method} ${target} HTTP/1.1`])
  }
})

test('one hop: headers of the caller’s connection, network and cookies stay here', async () => {
  const hop = [
    'connection: close, x-named',
    'x-named: 1',
    'keep-alive: timeout=5',
    'proxy-authorization: Basic Zm9v',
    'proxy-connection: keep-alive',
    'te: trailers',
    'http2-settings: AAMAAABk',
    'expect: 100-continue',
    'x-forwarded-for: 10.0.0.7',
    'x-forwarded-host: evil.example',
    'x-forwarded-proto: https',
    'x-real-ip: 10.0.0.7',
    'forwarded: for=10.0.0.7;host=evil.example',
    'via: 1.1 inner.example',
    'cookie: session=1',
  ]
  const answer = await sendRaw(
    listening.address,
    `${POST}${LENGTH}${hop.join('\r\n')}\r\nx-kept: yes\r\n\r\n${BODY}`,
  )
  expect(answer).toMatch(/HTTP\/1\.1 200 /)
  const seen = upstream.received()
  expect(seen).toMatch(/^x-kept: yes\r$/m)
  expect(seen).not.toMatch(
    /x-named|keep-alive: timeout|proxy-|^te:|http2-settings|expect:|forwarded|x-real-ip|via:|cookie|evil|10\.0\.0\.7/im,
  )
  // Nor does a forwarded name decide who is let in.
  const forwarded = await sendRaw(
    listening.address,
    'GET /v1/files HTTP/1.1\r\nhost: evil.example\r\nx-forwarded-host: localhost\r\nconnection: close\r\n\r\n',
  )
  expect(forwarded).toMatch(/^HTTP\/1\.1 403 /)
})

test.each([
  ['a target of 100 kB', `GET /v1/${'a'.repeat(100_000)} HTTP/1.1\r\nhost: localhost\r\n\r\n`],
  ['a header of 100 kB', `GET /v1/files HTTP/1.1\r\nx-a: ${'a'.repeat(100_000)}\r\n\r\n`],
  ['a header name of 100 kB', `GET /v1/files HTTP/1.1\r\n${'a'.repeat(100_000)}: a\r\n\r\n`],
  ['10,000 headers', `GET /v1/files HTTP/1.1\r\n${'x-a: b\r\n'.repeat(10_000)}\r\n`],
])('sizes: %s is a 431', async (_name, bytes) => {
  expect(await sendRaw(listening.address, bytes)).toMatch(/^HTTP\/1\.1 431 /)
  expect(upstream.received()).toBe('')
})

test('sizes: chunk extensions without end are cut off', async () => {
  const extensions = `1;a=${'b'.repeat(64 * 1024)}`
  const answer = await sendRaw(
    listening.address,
    `${POST}transfer-encoding: chunked\r\n\r\n${extensions}`,
  )
  expect(answer).toMatch(/^HTTP\/1\.1 4\d\d /)
  expect(upstream.received()).toBe('')
})

test.each([
  ['headers', 'POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nx-a: '],
  ['a body', `${POST}${LENGTH}\r\n${BODY.slice(0, 10)}`],
  ['a body by chunks', `${POST}transfer-encoding: chunked\r\n\r\n5\r\n{"mod`],
  [
    'a body of a path that passes through',
    `${POST.replace('chat/completions', 'files') + LENGTH}\r\n{`,
  ],
])('slowness: %s that never end are answered 408 and cut off', async (_name, bytes) => {
  const answer = await sendRaw(listening.address, bytes, { quietMs: 20_000 })
  expect(answer).toMatch(/^HTTP\/1\.1 408 /)
  expect(answer).toContain('took too long')
  expect(upstream.received()).toBe('')
})

test('slowness: a caller who reads nothing of its answer is cut off', async () => {
  upstream.answer = rawJson(`"${'x'.repeat(32 * 1024 * 1024)}"`)
  const ended = async () => {
    const text = await (await fetch(`${listening.address}/metrics`)).text()
    const rows = text.matchAll(/^understudy_requests_total\{.*"\/v1\/\*".*\} (\d+)$/gm)
    return [...rows].reduce((sum, [, count]) => sum + Number(count), 0)
  }
  const before = await ended()
  const socket = connect(Number(new URL(listening.address).port), '127.0.0.1')
  // Never resumed: what comes fills the buffers of the kernel, then those of the gateway.
  socket.pause().on('error', () => {})
  socket.write('GET /v1/files HTTP/1.1\r\nhost: localhost\r\n\r\n')
  await expect.poll(ended, { timeout: 20_000 }).toBe(before + 1)
  let length = 0
  socket.on('data', part => {
    length += part.length
  })
  await new Promise(resolve => socket.on('close', resolve).resume())
  expect(length).toBeLessThan(32 * 1024 * 1024)
})
