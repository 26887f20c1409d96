/** The response cache: what is kept, for whom, for how long; and that nothing is ever learned from it. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { cacheKey, createAnswerCache } from '../../src/gateway/answer-cache.ts'
import { type Lead, openRemoteLead } from '../../src/runtimes/index.ts'
import { describeTrace } from '../../src/tasks/index.ts'
import type { Upstreams } from '../../src/upstreams/index.ts'
import { fixedClock } from '../../src/util/index.ts'
import { chatInit, scriptedTask, testGateway } from './scripted.ts'
import { openStubLead, type StubLead } from './stub-lead.ts'

const CHAT = '/v1/chat/completions'
const MIB = 2 ** 20
let stub: StubLead
let lead: Lead
beforeAll(async () => {
  stub = await openStubLead()
  lead = openRemoteLead({ url: stub.url, bodyTimeoutMs: 300 })
})
afterAll(async () => {
  await lead.close()
  await stub.close()
})

function stage({
  scope = 'key' as 'key' | 'route',
  maxBytes = 8 * MIB,
  maxAnswerBytes = MIB,
  models = null as string[] | null,
} = {}) {
  const clock = fixedClock(1_800_000_000_000)
  const cache = createAnswerCache({ maxBytes, maxAnswerBytes }, clock)
  const isKept = (model: string | null) => model !== null && (models?.includes(model) ?? true)
  const upstreams: Upstreams = {
    ...lead,
    states: () => [],
    routes: () => [],
    route: model =>
      isKept(model) ? { name: String(model), cache: { ttlMs: 60_000, scope } } : null,
  }
  const keys = ['a', 'b'].map(app => ({ key: `secret-${app}`, app, tokensPerMinute: 1000 }))
  const parts = testGateway({ lead, upstreams, cache, keys }, [
    scriptedTask({ name: 'unsure', label: 'x', score: 0.1 }),
    scriptedTask({ name: 'sure', label: 'card_lost', score: 1 }),
  ])
  const ask = async (
    body: Record<string, unknown> = {},
    headers: Record<string, string> = {},
    path = CHAT,
  ) => {
    const init = chatInit(body, { authorization: 'Bearer secret-a', ...headers })
    const response = await parts.gateway.request(path, init)
    return {
      response,
      text: await response.text(),
      state: response.headers.get('x-understudy-cache'),
    }
  }
  const asked = () => stub.seen.length
  return { ...parts, ask, asked, clock, cache }
}

describe('a hit', () => {
  test.each([false, true])('is the same bytes, without the lead (stream: %s)', async stream => {
    const { ask, asked, workspace, clock } = stage()
    const first = await ask({ stream })
    expect(first.state).toBe('miss')
    const before = asked()
    clock.advance(5_000)
    const second = await ask({ stream })
    expect(asked()).toBe(before)
    expect(second.text).toBe(first.text)
    expect(second.response.headers.get('content-type')).toBe(
      first.response.headers.get('content-type'),
    )
    expect(Object.fromEntries(second.response.headers)).toMatchObject({
      'x-understudy-cache': 'hit',
      'x-understudy-served-by': 'cache',
      age: '5',
    })
    const [fresh, kept] = workspace.traces
    expect(kept).toMatchObject({
      isComplete: true,
      isStream: stream,
      response: fresh?.response,
      decision: {
        servedBy: 'cache',
        reason: 'cached',
        reasonDetail: fresh?.id,
        leadProbability: 0,
      },
    })
    expect(kept?.id).not.toBe(fresh?.id)
    expect(kept?.charge).toBeUndefined()
  })

  test('is also what says by name that it is not compressed', async () => {
    const { ask } = stage()
    await ask({ model: 'identity' })
    expect((await ask({ model: 'identity' })).state).toBe('hit')
  })

  test('is no example: neither for training nor for certification', async () => {
    const { ask, workspace } = stage()
    await ask()
    await ask()
    expect(workspace.traces.map(trace => describeTrace(trace).isIndependent)).toEqual([true, false])
  })

  test('comes after the specialist, so that certificates see the traffic that they would see without it', async () => {
    const { ask, workspace } = stage()
    await ask()
    const sure = await ask({}, { 'x-understudy-task': 'sure' })
    expect(sure.response.headers.get('x-understudy-served-by')).toBe('reflex')
    await ask({}, { 'x-understudy-task': 'unsure' })
    const again = await ask({}, { 'x-understudy-task': 'unsure' })
    expect(again.state).toBe('hit')
    expect(workspace.traces.at(-1)?.decision).toMatchObject({
      servedBy: 'cache',
      tiers: [{ score: 0.1 }],
    })
  })
})

describe('a miss', () => {
  test.each([
    ['another message', { messages: [{ role: 'user', content: 'other' }] }, {}],
    ['another temperature', { temperature: 0.5 }, {}],
    ['a stream in place of a whole answer', { stream: true }, {}],
    ['another model', { model: 'gpt-4o' }, {}],
    ['a key of its own', {}, { authorization: 'Bearer secret-b' }],
    ['a wish for a fresh answer', {}, { 'cache-control': 'no-cache' }],
    ['a wish for none kept', {}, { 'cache-control': 'no-store' }],
    ['the lead itself', {}, { 'x-understudy-mode': 'lead' }],
  ])('is %s', async (_name, body, headers) => {
    const { ask, asked } = stage()
    await ask()
    const before = asked()
    const { state } = await ask(body, headers)
    expect(asked()).toBe(before + 1)
    expect(state).not.toBe('hit')
  })

  test('is what differs in the order of keys only: no', async () => {
    const { ask, asked } = stage()
    await ask({ temperature: 0, seed: 1 })
    const before = asked()
    expect((await ask({ seed: 1, temperature: 0 })).state).toBe('hit')
    expect(asked()).toBe(before)
  })

  test('is what another key asked, unless the route shares', async () => {
    const { ask } = stage({ scope: 'route' })
    await ask()
    expect((await ask({}, { authorization: 'Bearer secret-b' })).state).toBe('hit')
  })

  test('is what is too old', async () => {
    const { ask, clock } = stage()
    await ask()
    clock.advance(59_999)
    expect((await ask()).state).toBe('hit')
    clock.advance(1)
    expect((await ask()).state).toBe('miss')
    expect((await ask()).state).toBe('hit')
  })

  test('is every model that is no route with a cache', async () => {
    const { ask } = stage({ models: ['other'] })
    await ask()
    expect((await ask()).state).toBeNull()
  })
})

describe('never kept', () => {
  test.each([
    ['error-429', {}],
    ['error-html', {}],
    ['not-json', {}],
    ['no-content', {}],
    ['gzipped', {}],
    ['huge', {}],
    ['unfinished', { stream: true }],
    ['json-breaks-off', {}],
    ['error-then-done', { stream: true }],
    ['error-text-then-done', { stream: true }],
    ['error-of-status-200', {}],
    ['error-of-anthropic', {}],
  ])('%s', async (model, body) => {
    const { ask, asked, cache } = stage()
    await ask({ model, ...body }).catch(() => undefined)
    const before = asked()
    const again = await ask({ model, ...body }).catch(() => ({ state: 'failed' }))
    expect(again.state).not.toBe('hit')
    expect(asked()).toBe(before + 1)
    expect(cache.counts).toMatchObject({ hits: 0, bytes: 0 })
  })

  test.each([
    ['ends-failed', {}],
    ['ends-incomplete', {}],
    ['ends-cancelled', {}],
    ['ends-failed', { stream: true }],
    ['ends-incomplete', { stream: true }],
    ['ends-cancelled', { stream: true }],
    ['m', { background: true }],
    ['m', { background: true, stream: true }],
  ])('a response of %s with %j', async (model, body) => {
    const { ask, asked, cache } = stage()
    const asking = { model, input: 'hi', ...body }
    const before = asked()
    for (const _ of [1, 2]) {
      const { response, state } = await ask(asking, {}, '/v1/responses')
      expect([response.status, state]).toEqual([200, 'background' in body ? null : 'miss'])
    }
    expect(asked()).toBe(before + 2)
    expect(cache.counts.bytes).toBe(0)
    // One that ends well is, so that these are not told apart by their path.
    await ask({ ...asking, model: 'm', background: false }, {}, '/v1/responses')
    expect(cache.counts.bytes).toBeGreaterThan(0)
  })

  test('a stream whose caller left', async () => {
    const { gateway, cache } = stage()
    const init = chatInit({ stream: true }, { authorization: 'Bearer secret-a' })
    const reader = ((await gateway.request(CHAT, init)).body as ReadableStream).getReader()
    await reader.read()
    await reader.cancel()
    await gateway.close()
    expect(cache.counts.bytes).toBe(0)
  })
})

describe('memory', () => {
  const answer = (size: number) => ({
    headers: {},
    bytes: new Uint8Array(size),
    origin: 'dec',
    response: null,
    isStream: false,
  })

  test('stays within its bound: what was used longest ago goes first', () => {
    const cache = createAnswerCache({ maxBytes: 10_000, maxAnswerBytes: 4_000 }, fixedClock())
    for (const name of ['a', 'b', 'c']) cache.put(name, answer(1000), 1000)
    cache.get('a')
    cache.put('d', answer(1000), 1000)
    expect(['a', 'b', 'c', 'd'].map(name => cache.get(name) !== null)).toEqual([
      true,
      false,
      true,
      true,
    ])
    cache.put('e', answer(4_001), 1000)
    expect(cache.get('e')).toBeNull()
    for (let i = 0; i < 1000; i++) cache.put(`n${i}`, answer(i % 4000), 1000)
    expect(cache.counts.bytes).toBeLessThanOrEqual(10_000)
    cache.configure({ maxBytes: 0, maxAnswerBytes: 1 })
    expect(cache.counts.bytes).toBe(0)
  })

  test('keys do not collide by where one part ends and the next begins', () => {
    const base = { path: '/p', route: 'r', scope: 's', configHash: 'c', headers: {}, body: {} }
    const keys = [
      base,
      { ...base, route: 'rs', scope: '' },
      { ...base, scope: 'sc', configHash: '' },
      { ...base, body: JSON.parse('{"__proto__":1}') },
      { ...base, body: { a: 1 } },
      { ...base, body: { a: '1' } },
    ].map(cacheKey)
    expect(new Set(keys).size).toBe(keys.length)
  })
})
