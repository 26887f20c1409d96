/** Upstreams and routes of a configuration file, over real sockets and a real data folder: who is asked, what is recorded. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import OpenAI from 'openai'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Listening, openUnderstudy, type Understudy } from '../../src/gateway/index.ts'
import { chatInit } from './scripted.ts'
import { openStubLead, type StubLead } from './stub-lead.ts'

const CHAT = '/v1/chat/completions'
let dir: string
let file: string
let stub: StubLead
let other: StubLead
let house: Understudy
let listening: Listening
const logged: string[] = []

const configuration = (changed = ''): string => `
lead: main
upstreams:
  main:
    url: ${stub.url}
    api-key: \${MAIN_KEY}
    retries: 0
  other:
    url: ${other.url}
    timeouts: {first-token: 1s, idle: 300ms}
    retries: 0
  gone:
    url: http://127.0.0.1:9/v1
    retries: 1
routes:
  fast:
    to: [{upstream: main, model: gpt-4o-mini}]
  safe:
    to: [{upstream: gone}]
    fallbacks: [{upstream: other, model: hangs}, {upstream: main, model: gpt-4o}]
  slow:
    to: [{upstream: other, model: hangs-in-body}]
  breaks:
    to: [{upstream: other, model: unfinished}]
    fallbacks: [{upstream: main}]
  busy:
    to: [{upstream: main, model: error-429}]
${changed}`

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'upstreams-'))
  file = join(dir, 'understudy.yaml')
  stub = await openStubLead()
  other = await openStubLead()
  await writeFile(file, configuration())
  const env = { MAIN_KEY: 'sk-main', HOME: dir, XDG_CONFIG_HOME: dir }
  house = await openUnderstudy({
    dataDir: dir,
    env,
    log: text => logged.push(text),
    listen: { port: 0 },
  })
  listening = await house.listen()
}, 60_000)
afterAll(async () => {
  await listening.close()
  await house.close()
  await stub.close()
  await other.close()
  await rm(dir, { recursive: true })
})

async function ask(body: Record<string, unknown>, headers: Record<string, string> = {}) {
  const response = await fetch(listening.address + CHAT, chatInit(body, headers))
  return { response, text: await response.text() }
}

async function trace(response: Response): Promise<Record<string, unknown>> {
  const id = response.headers.get('x-understudy-decision')
  return (await (
    await fetch(`${listening.address}/understudy/v1/decisions/${id}`)
  ).json()) as Record<string, unknown>
}

test('a route is a model name: the upstream gets its own, with its own key and no other', async () => {
  const { response, text } = await ask(
    { model: 'fast' },
    { authorization: 'Bearer sk-caller', 'x-api-key': 'sk-caller', cookie: 'a=b' },
  )
  expect(response.status).toBe(200)
  expect(response.headers.get('x-understudy-upstream')).toBe('main')
  expect(response.headers.has('x-understudy-tries')).toBe(false)
  expect(JSON.parse(text)).toMatchObject({ model: 'gpt-4o-mini-2024' })
  const seen = stub.seen.at(-1)
  expect(seen?.headers).toMatchObject({ authorization: 'Bearer sk-main' })
  expect(JSON.stringify(seen?.headers)).not.toContain('sk-caller')
  expect(seen?.headers.cookie).toBeUndefined()
  expect(JSON.parse(seen?.body ?? '')).toMatchObject({ model: 'gpt-4o-mini' })
  expect(await trace(response)).toMatchObject({
    request: { model: 'fast' },
    trail: { route: 'fast', upstream: 'main', model: 'gpt-4o-mini', tries: [{ status: 200 }] },
  })
})

test('what fails before the first byte is tried elsewhere, and the trace tells all of it', async () => {
  const { response } = await ask({ model: 'safe', stream: true })
  expect(response.status).toBe(200)
  expect(response.headers.get('x-understudy-upstream')).toBe('main')
  expect(response.headers.get('x-understudy-tries')).toBe(
    'gone:upstream-unavailable gone:upstream-unavailable other:upstream-timeout main:200',
  )
  expect(await trace(response)).toMatchObject({
    isComplete: true,
    trail: { route: 'safe', upstream: 'main', model: 'gpt-4o' },
  })
})

test('what fails after the first byte is not', async () => {
  const before = stub.seen.length
  const { response, text } = await ask({ model: 'breaks', stream: true })
  expect(response.status).toBe(200)
  expect(text).toContain('upstream_unavailable')
  const silent = await ask({ model: 'slow', stream: true })
  expect(silent.text).toContain('upstream_timeout')
  expect(stub.seen.length).toBe(before)
})

test('a model that names no route goes to the default upstream, through the official client too', async () => {
  const client = new OpenAI({ baseURL: `${listening.address}/v1`, apiKey: 'sk-any', maxRetries: 0 })
  const stream = await client.chat.completions.create({
    model: 'gpt-free',
    stream: true,
    messages: [{ role: 'user', content: 'hi' }],
  })
  let text = ''
  for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? ''
  expect(text).toBe('Grüße, 世界 🌍.')
  expect(JSON.parse(stub.seen.at(-1)?.body ?? '')).toMatchObject({ model: 'gpt-free' })
})

test('an upstream’s own refusal reaches the caller as it is', async () => {
  const { response, text } = await ask({ model: 'busy' })
  expect(response.status).toBe(429)
  const direct = await fetch(`${stub.url}/chat/completions`, chatInit({ model: 'error-429' }))
  expect(text).toBe(await direct.text())
})

test('status tells upstreams and routes, and no key', async () => {
  const text = await (await fetch(`${listening.address}/understudy/v1/status`)).text()
  expect(JSON.parse(text)).toMatchObject({
    configError: null,
    upstreams: [
      { name: 'main', isHealthy: true, breaker: 'closed', activeCount: 0 },
      { name: 'other' },
      { name: 'gone' },
    ],
    routes: [
      { name: 'fast' },
      { name: 'safe' },
      { name: 'slow' },
      { name: 'breaks' },
      { name: 'busy' },
    ],
  })
  expect(text).not.toContain('sk-main')
  const metrics = await (await fetch(`${listening.address}/metrics`)).text()
  expect(metrics).toMatch(/^understudy_upstream_up\{worker="0",upstream="main"\} 1$/mu)
  expect(metrics).toMatch(/^understudy_upstream_failures\{worker="0",upstream="gone"\} [1-9]/mu)
  expect(metrics).toMatch(/^understudy_cache_hits\{worker="0"\} 0$/mu)
})

test('the file is read again when it changes: requests under way go on, new ones find the new routes', async () => {
  const slow = fetch(listening.address + CHAT, chatInit({ model: 'slow', stream: true }))
  const head = await slow
  const before = house.config
  await writeFile(file, configuration('  fresh:\n    to: [{upstream: other, model: gpt-new}]\n'))
  await expect.poll(() => logged.join('\n'), { timeout: 10_000 }).toContain('was reloaded')
  expect(house.config).not.toBe(before)
  expect((await ask({ model: 'fresh' })).response.headers.get('x-understudy-upstream')).toBe(
    'other',
  )
  expect(await head.text()).toContain('upstream_timeout')
})

test('a wrong file changes nothing, and says what is wrong until it is right again', async () => {
  await writeFile(file, configuration('  wrong:\n    to: [{upstream: mian}]\n'))
  await expect.poll(() => logged.join('\n'), { timeout: 10_000 }).toContain("did you mean 'main'?")
  const status = await (await fetch(`${listening.address}/understudy/v1/status`)).json()
  expect(status).toMatchObject({
    configError: expect.stringMatching(/line \d+, column \d+: routes\.wrong/u),
  })
  expect((await ask({ model: 'fresh' })).response.status).toBe(200)
  await writeFile(file, configuration())
  expect(await house.reload()).toBe(true)
  expect(await house.reload()).toBe(false)
  const after = await (await fetch(`${listening.address}/understudy/v1/status`)).json()
  expect(after).toMatchObject({ configError: null })
  expect((await ask({ model: 'fresh' })).response.headers.get('x-understudy-upstream')).toBe('main')
})

test('what is spent is counted by the prices that hold now', async () => {
  const priced = '"gpt-4o-mini-2024": {input: 1000000, output: 0}'
  await writeFile(file, configuration(`prices: {${priced}}`))
  await house.reload()
  await ask({ model: 'fast' })
  const metrics = await (await fetch(`${listening.address}/metrics`)).text()
  expect(metrics).toMatch(/^understudy_cost_usd_total\{model="gpt-4o-mini-2024"\} 9$/mu)
})

test('no request is lost while the configuration changes again and again', async () => {
  let isOver = false
  const statuses = new Map<number, number>()
  const callers = Array.from({ length: 4 }, async () => {
    while (!isOver) {
      const { response } = await ask({ model: 'fast' })
      statuses.set(response.status, (statuses.get(response.status) ?? 0) + 1)
    }
  })
  for (let round = 0; round < 8; round++) {
    // Another key is another upstream: connections are opened anew each time.
    await writeFile(
      file,
      configuration(`prices: {p: {input: ${round}, output: 1}}`).replace(
        'retries: 0',
        `retries: ${round % 3}`,
      ),
    )
    await house.reload()
  }
  isOver = true
  await Promise.all(callers)
  expect([...statuses.keys()]).toEqual([200])
  expect(statuses.get(200)).toBeGreaterThan(8)
})
