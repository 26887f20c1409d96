/** docs/security.md, callers: comparing keys, what browsers send, what reaches logs, whose credentials go where. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { type Listening, openUnderstudy, type Understudy } from '../../src/gateway/index.ts'
import { openRawLead, type RawLead, sendRaw } from './raw-sockets.ts'
import { chatInit, type TestGateway, testGateway } from './scripted.ts'

/** Lengths of what was compared, each time. */
const compared: [number, number][] = []
vi.mock('node:crypto', async original => {
  const crypto = await original<typeof import('node:crypto')>()
  return {
    ...crypto,
    timingSafeEqual: (a: Uint8Array, b: Uint8Array): boolean => {
      compared.push([a.length, b.length])
      return crypto.timingSafeEqual(a, b)
    },
  }
})

describe('keys', () => {
  const secrets = ['secret-aaaaaaaaaaaa', 'secret-bbbbbbbbbbbb', 'secret-cccccccccccc']
  const keyed = testGateway({ keys: secrets.map(key => ({ key, app: null })) })
  const status = (headers: Record<string, string>): Promise<Response> =>
    keyed.gateway.request('/understudy/v1/status', { headers })

  test.each([
    ['the first', secrets[0], 200],
    ['the last', secrets[2], 200],
    ['one wrong in its first character', 'xecret-aaaaaaaaaaaa', 401],
    ['one wrong in its last character', 'secret-aaaaaaaaaaax', 401],
    ['one that is short', 's', 401],
    ['one that is long', 's'.repeat(5_000), 401],
    ['none', '', 401],
    ['one that looks like a virtual key', `usk_${'0'.repeat(12)}_${'0'.repeat(48)}`, 401],
  ])('%s is compared with all keys, whole hashes in constant time', async (_name, key, wanted) => {
    compared.length = 0
    const response = await status({ authorization: `Bearer ${key}` })
    expect(response.status).toBe(wanted)
    // All of the configuration's, and one for the keys of the file, which has none here.
    expect(compared).toEqual(Array.from({ length: secrets.length + 1 }, () => [32, 32]))
  })

  test('the refusal is the same whatever was wrong, and repeats nothing of the key', async () => {
    const wrong = ['xecret-aaaaaaaaaaaa', 'secret-aaaaaaaaaaax', 'secret-', '']
    const texts = await Promise.all(
      wrong.map(async key => (await status({ 'x-api-key': key })).text()),
    )
    expect(new Set(texts).size).toBe(1)
    expect(texts[0]).not.toMatch(/secret-|aaaa/)
  })

  test('a key in the query is none', async () => {
    const response = await keyed.gateway.request(`/understudy/v1/status?key=${secrets[0]}`)
    expect(response.status).toBe(401)
  })
})

let dir: string
let main: RawLead
let spare: RawLead
let third: RawLead
let house: Understudy
let listening: Listening
const lines: string[] = []

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'security-'))
  main = await openRawLead()
  spare = await openRawLead()
  third = await openRawLead()
  const file = `
lead: main
log-level: debug
upstreams:
  main: {url: "${main.url}", api-key: "\${MAIN_KEY}", retries: 0}
  spare: {url: "${spare.url}", api-key: "\${SPARE_KEY}", retries: 0}
  third: {url: "${third.url}", retries: 0}
routes:
  safe:
    to: [{upstream: main}]
    fallbacks: [{upstream: spare, model: other}, {upstream: third, model: other}]
`
  await writeFile(join(dir, 'understudy.yaml'), file)
  house = await openUnderstudy({
    dataDir: dir,
    env: { MAIN_KEY: 'sk-main-secret', SPARE_KEY: 'sk-spare-secret', HOME: dir },
    writeLog: line => lines.push(line),
    listen: { port: 0 },
  })
  listening = await house.listen()
}, 60_000)
afterAll(async () => {
  await listening?.close({ graceMs: 0 })
  await house?.close()
  for (const one of [main, spare, third]) await one.close()
  await rm(dir, { recursive: true })
})
beforeEach(() => {
  for (const one of [main, spare, third]) one.forget()
  lines.length = 0
})

const CALLERS_OWN = {
  authorization: 'Bearer sk-caller-secret',
  'x-api-key': 'sk-caller-secret',
  'api-key': 'sk-caller-secret',
  'x-goog-api-key': 'sk-caller-secret',
  'openai-organization': 'org-caller-secret',
  'openai-project': 'proj-caller-secret',
  cookie: 'session=caller-secret',
}
const ask = (body: Record<string, unknown> = {}, headers: Record<string, string> = {}) =>
  fetch(`${listening.address}/v1/chat/completions`, chatInit(body, headers))

describe('credentials', () => {
  test('each upstream gets its own key and nobody else’s, along a whole chain of fallbacks', async () => {
    const failing = 'HTTP/1.1 503 Busy\r\ncontent-length: 2\r\n\r\n{}'
    main.answer = failing
    spare.answer = failing
    const response = await ask({ model: 'safe' }, CALLERS_OWN)
    expect(response.status).toBe(200)
    expect(response.headers.get('x-understudy-upstream')).toBe('third')
    expect(main.received()).toContain('Bearer sk-main-secret')
    expect(spare.received()).toContain('Bearer sk-spare-secret')
    expect(third.received()).toContain('POST /v1/chat/completions')
    expect(third.received()).not.toMatch(/^(?:authorization|x-api-key|api-key)/im)
    for (const one of [main, spare, third]) expect(one.received()).not.toContain('caller-secret')
    expect(main.received() + third.received()).not.toContain('sk-spare-secret')
    expect(spare.received() + third.received()).not.toContain('sk-main-secret')
    const text = await response.text()
    expect(text + JSON.stringify([...response.headers])).not.toMatch(/-secret/)
  })

  test('a redirect of an upstream takes no key along', async () => {
    main.answer = `HTTP/1.1 307 Moved\r\nlocation: ${third.url}/chat/completions\r\ncontent-length: 0\r\n\r\n`
    const response = await fetch(`${listening.address}/v1/chat/completions`, {
      ...chatInit({ model: 'safe' }, CALLERS_OWN),
      redirect: 'manual',
    })
    expect(response.status).toBe(307)
    expect(third.received()).toBe('')
  })

  test('paths that pass through carry no credentials of the caller either', async () => {
    await fetch(`${listening.address}/v1/files`, { headers: CALLERS_OWN })
    expect(main.received()).toContain('GET /v1/files')
    expect(main.received()).not.toContain('caller-secret')
  })

  test('no credentials are recorded, shown or logged', async () => {
    const response = await ask({ model: 'gpt-free' }, CALLERS_OWN)
    const id = response.headers.get('x-understudy-decision')
    const shown = await Promise.all(
      [`decisions/${id}`, 'status'].map(async path =>
        (await fetch(`${listening.address}/understudy/v1/${path}`)).text(),
      ),
    )
    const metrics = await (await fetch(`${listening.address}/metrics`)).text()
    expect(shown[0]).toContain('gpt-free')
    expect(lines.join('')).toContain(String(id))
    expect([...shown, metrics, ...lines].join('\n')).not.toMatch(/-secret/)
  })
})

describe('model names', () => {
  test.each([
    'http://127.0.0.1:1/v1',
    'replay:/etc/passwd',
    'local:/etc/passwd',
    'file:///etc/passwd',
    '../../../etc/passwd',
    '..\\..\\secret',
    'main/../spare',
    'safe@spare',
    'spare',
    '__proto__',
    'constructor',
    'toString',
    'a\r\nx-evil: 1',
    'a\u0000b',
  ])('%j is text for the lead and opens nothing', async model => {
    const response = await ask({ model })
    expect(response.status).toBe(200)
    expect(main.lines()).toEqual(['POST /v1/chat/completions HTTP/1.1'])
    expect(main.received()).toContain(JSON.stringify(model))
    expect(main.received().split('\r\n\r\n')[0]).not.toMatch(/evil|passwd/)
    expect(spare.received() + third.received()).toBe('')
  })
})

describe('browsers', () => {
  const get = (headers: string, path = '/understudy/v1/status') =>
    sendRaw(listening.address, `GET ${path} HTTP/1.1\r\n${headers}\r\nconnection: close\r\n\r\n`)

  test.each([
    'evil.example',
    'localhost.evil.example',
    '127.0.0.1.evil.example',
    'evil.example:8484',
    '0.0.0.0',
    '[::ffff:8.8.8.8]',
    '169.254.169.254',
    '2130706433',
  ])('rebinding: the host %s is refused', async host => {
    for (const path of ['/understudy/v1/status', '/v1/models', '/metrics', '/healthz']) {
      expect(await get(`host: ${host}`, path)).toMatch(/^HTTP\/1\.1 403 /)
    }
    expect(main.received()).toBe('')
  })

  test.each([
    'localhost',
    'LOCALHOST:1',
    '127.0.0.1',
    '127.9.9.9:80',
    '[::1]:8484',
  ])('rebinding: the host %s is ours', async host => {
    expect(await get(`host: ${host}`)).toMatch(/^HTTP\/1\.1 200 /)
  })

  test.each([
    'https://evil.example',
    'http://localhost.evil.example',
    'http://localhost@evil.example',
    'null',
    'file://',
    'chrome-extension://abcdefgh',
    'javascript:alert(1)',
  ])('cross-site: the origin %s is refused, preflight included, and no answer names it', async origin => {
    const evil = `host: localhost\r\norigin: ${origin}`
    for (const path of ['/understudy/v1/status', '/v1/models']) {
      const answer = await get(evil, path)
      expect(answer).toMatch(/^HTTP\/1\.1 403 /)
      expect(answer).not.toMatch(/access-control/i)
      const preflight = await sendRaw(
        listening.address,
        `OPTIONS ${path} HTTP/1.1\r\n${evil}\r\naccess-control-request-method: POST\r\naccess-control-request-headers: content-type\r\nconnection: close\r\n\r\n`,
      )
      expect(preflight).toMatch(/^HTTP\/1\.1 403 /)
      expect(preflight).not.toMatch(/access-control/i)
    }
    const form = await sendRaw(
      listening.address,
      `POST /understudy/v1/jobs HTTP/1.1\r\n${evil}\r\ncontent-type: text/plain\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}`,
    )
    expect(form).toMatch(/^HTTP\/1\.1 403 /)
    expect(main.received()).toBe('')
  })

  test('cross-site: what a foreign page loads without an origin is refused, a followed link is not', async () => {
    const from = (site: string, mode: string) =>
      get(`host: localhost\r\nsec-fetch-site: ${site}\r\nsec-fetch-mode: ${mode}`)
    expect(await from('cross-site', 'no-cors')).toMatch(/^HTTP\/1\.1 403 /)
    expect(await from('same-site', 'no-cors')).toMatch(/^HTTP\/1\.1 403 /)
    expect(await from('same-origin', 'cors')).toMatch(/^HTTP\/1\.1 200 /)
    expect(await from('none', 'navigate')).toMatch(/^HTTP\/1\.1 200 /)
    expect(await from('cross-site', 'navigate')).toMatch(/^HTTP\/1\.1 200 /)
    expect(
      await get(
        'host: localhost\r\nsec-fetch-site: cross-site\r\nsec-fetch-mode: no-cors',
        '/v1/files',
      ),
    ).toMatch(/^HTTP\/1\.1 403 /)
    expect(main.received()).toBe('')
  })
})

describe('logs', () => {
  afterEach(() => {
    for (const line of lines) {
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what this is about
      expect(line).toMatch(/^[^\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e]+\n$/u)
      expect(line).toMatch(/^\d{4}-\d\d-\d\dT\S+ (?:DEBUG|INFO|WARN|ERROR) /)
    }
  })

  const nasty =
    'x\r\n2026-01-01T00:00:00.000Z ERROR forged\u001b[2J\u001b]0;title\u0007\u2028\u202e'

  test('what a caller sends starts no line and moves no cursor', async () => {
    main.answer = 'HTTP/1.1 500 \x1b[31mOops\r\ncontent-length: 2\r\n\r\n{}'
    await ask({ model: nasty }, { 'x-understudy-task': encodeURIComponent(nasty) })
    await ask({ model: nasty, messages: nasty })
    await ask({}, { 'x-understudy-mode': encodeURIComponent(nasty).slice(0, 60) })
    await ask({}, { 'x-request-id': 'a b\tforged' })
    await fetch(`${listening.address}/v1/${encodeURIComponent(nasty)}`)
    await fetch(`${listening.address}/nowhere/${encodeURIComponent(nasty)}`)
    await sendRaw(listening.address, `GET /v1/\x1b[2J HTTP/1.1\r\n\r\n`)
    expect(lines.length).toBeGreaterThan(3)
    expect(lines.join('').match(/^\S+ ERROR forged/gm)).toBeNull()
  })

  test('a lead that cannot be reached is logged without its key', async () => {
    main.answer = 'no HTTP at all \x1b[2J\r\n\r\n'
    const response = await ask({ model: 'gpt-free' })
    expect(response.status).toBe(502)
    expect(lines.join('')).toContain('upstream-')
    expect(lines.join('') + (await response.text())).not.toContain('-secret')
  })
})

describe('a scripted gateway beyond loopback', () => {
  test('asks foreign pages for a key and never answers with a wildcard', async () => {
    const parts: TestGateway = testGateway({ keys: [{ key: 'secret-k', app: null }] })
    const open = await parts.gateway.listen({ host: '0.0.0.0', port: 0 })
    const at = open.address.replace('0.0.0.0', '127.0.0.1')
    const response = await fetch(`${at}/v1/models`, { headers: { origin: 'https://evil.example' } })
    expect(response.status).toBe(401)
    expect(JSON.stringify([...response.headers])).not.toContain('access-control')
    await open.close({ graceMs: 0 })
  })
})
