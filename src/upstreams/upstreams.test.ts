/** Routes over scripted upstreams, with a clock that stands still: who is asked, how often, and when no more. */
import { describe, expect, it } from 'vitest'
import type { RouteConfig, UpstreamConfig } from '../config/index.ts'
import { isUnderstudyError, UnderstudyError } from '../errors.ts'
import type { Lead, LeadRequest } from '../runtimes/index.ts'
import { createRng, fixedClock } from '../util/index.ts'
import { createBreaker } from './breaker.ts'
import { retryAfterMs } from './repeat.ts'
import { type OpenUpstreams, openUpstreams } from './upstreams.ts'

/** A status, `refused`, or a body that breaks after its first part. */
type Scene =
  | number
  | 'refused'
  | 'breaks'
  | 'hangs'
  | 'hangs-unsent'
  | { status: number; after: string }

interface Scripted {
  readonly lead: Lead
  readonly seen: LeadRequest[]
  /** Bodies that have come to their end, or were given up. */
  endedCount: number
  scenes: Scene[]
}

function scripted(name: string, ...scenes: Scene[]): Scripted {
  const self: Scripted = {
    seen: [],
    endedCount: 0,
    scenes,
    lead: {
      name,
      async send(request) {
        self.seen.push(request)
        const scene = self.scenes.shift() ?? 200
        if (scene === 'refused') {
          throw new UnderstudyError('upstream-unavailable', `${name} cannot be reached.`)
        }
        if (scene === 'hangs-unsent') {
          await new Promise(resolve => request.signal.addEventListener('abort', resolve))
          throw new UnderstudyError('cancelled', 'aborted', { details: { isUnsent: true } })
        }
        if (scene === 'hangs') {
          await new Promise(resolve => request.signal.addEventListener('abort', resolve))
          throw new UnderstudyError('cancelled', 'aborted')
        }
        const status = typeof scene === 'number' ? scene : scene === 'breaks' ? 200 : scene.status
        const headers: Record<string, string> = {}
        if (typeof scene === 'object') headers['retry-after'] = scene.after
        return { status, headers, body: body(self, scene === 'breaks') }
      },
      close: async () => {},
    },
  }
  return self
}

async function* body(self: Scripted, breaks: boolean): AsyncGenerator<Uint8Array> {
  try {
    yield new TextEncoder().encode(`from ${self.lead.name}`)
    if (breaks) throw new UnderstudyError('upstream-unavailable', 'reset')
  } finally {
    self.endedCount++
  }
}

const config = (name: string, changed: Partial<UpstreamConfig> = {}): UpstreamConfig => ({
  name,
  url: `http://${name}`,
  apis: ['openai'],
  apiKey: null,
  timeouts: { connectMs: 1, firstTokenMs: 1000, idleMs: 1000, totalMs: null },
  retryCount: 0,
  breaker: { failureCount: 3, openMs: 10_000 },
  health: null,
  maxConcurrency: null,
  ...changed,
})

const route = (
  name: string,
  to: readonly string[],
  fallbacks: readonly string[] = [],
): RouteConfig => {
  const target = (upstream: string) => ({ upstream, model: `${upstream}-model`, weight: 1 })
  return {
    name,
    targets: to.map(target),
    fallbacks: fallbacks.map(target),
    timeouts: {},
    cache: null,
  }
}

interface Stage {
  readonly upstreams: OpenUpstreams
  readonly clock: ReturnType<typeof fixedClock>
  readonly slept: number[]
  ask(model?: string, changed?: Partial<LeadRequest>): Promise<string>
}

async function stage(
  parts: readonly Scripted[],
  routes: readonly RouteConfig[],
  changed: Partial<UpstreamConfig> = {},
  fallThrough: string | Lead | null = null,
  onSleep: () => void = () => {},
): Promise<Stage> {
  const clock = fixedClock(1_800_000_000_000)
  const slept: number[] = []
  const byName = new Map(parts.map(({ lead }) => [lead.name, lead]))
  const upstreams = await openUpstreams({
    upstreams: parts.map(({ lead }) => config(lead.name, changed)),
    routes,
    fallThrough,
    open: async ({ name }) => byName.get(name) as Lead,
    clock,
    random: createRng(7).next,
    sleep: async (ms, signal) => {
      slept.push(ms)
      clock.advance(ms)
      onSleep()
      signal.throwIfAborted()
    },
  })
  return {
    upstreams,
    clock,
    slept,
    async ask(model = 'r', request = {}) {
      const sent = {
        method: 'POST',
        path: '/v1/chat/completions',
        headers: {},
        body: new TextEncoder().encode(JSON.stringify({ model })),
        signal: new AbortController().signal,
        ...request,
      }
      try {
        const { status, trail, body } = await upstreams.send(sent)
        const parts: string[] = []
        for await (const part of body) parts.push(new TextDecoder().decode(part))
        return `${status} ${parts.join('')} [${trail?.tries.map(each => `${each.upstream}:${each.status ?? each.error}`).join(' ')}]`
      } catch (error) {
        if (!isUnderstudyError(error)) throw error
        return error.code
      }
    },
  }
}

describe('routes', () => {
  it('send the model of the target, and no credential of the caller', async () => {
    const a = scripted('a')
    const { ask } = await stage([a], [route('r', ['a'])])
    const headers = { authorization: 'Bearer caller', 'x-api-key': 'k', cookie: 'c', 'x-kept': '1' }
    expect(await ask('r', { headers })).toBe('200 from a [a:200]')
    expect(a.seen[0]?.headers).toEqual({ 'x-kept': '1' })
    expect(new TextDecoder().decode(a.seen[0]?.body ?? undefined)).toBe('{"model":"a-model"}')
  })

  it('say which paths their upstreams understand as they are', async () => {
    const [chat, both] = [scripted('chat'), scripted('both')]
    const { upstreams } = await stage([chat], [route('r', ['chat'])], {}, 'chat')
    const speaks = (path: string, model = 'r') => upstreams.speaks?.(path, model)
    expect(speaks('/v1/chat/completions')).toBe(true)
    expect(speaks('/v1/responses')).toBe(true)
    expect(speaks('/v1/messages')).toBe(false)
    expect(speaks('/v1/messages', 'another')).toBe(false)
    const apis = ['openai', 'anthropic'] as const
    const { upstreams: all } = await stage([both], [route('r', ['both'])], { apis }, chat.lead)
    expect(all.speaks?.('/v1/messages', 'r')).toBe(true)
    expect(all.speaks?.('/v1/messages', 'another')).toBe(true)
  })

  it('share by weight', async () => {
    const [a, b] = [scripted('a'), scripted('b')]
    const shared = route('r', ['a', 'b'])
    const targets = shared.targets.map((target, i) => ({ ...target, weight: i === 0 ? 3 : 1 }))
    const { ask } = await stage([a, b], [{ ...shared, targets }])
    for (let i = 0; i < 400; i++) await ask()
    expect(a.seen.length).toBeGreaterThan(260)
    expect(b.seen.length).toBeGreaterThan(60)
  })

  it('refuse a model that is none, with the nearest; or leave it to the default upstream', async () => {
    const a = scripted('a')
    const closed = await stage([a], [route('support', ['a'])])
    await expect(
      closed.upstreams.send({
        method: 'POST',
        path: '/v1/chat/completions',
        headers: {},
        body: new TextEncoder().encode('{"model":"suport"}'),
        signal: new AbortController().signal,
      }),
    ).rejects.toMatchObject({
      code: 'model-not-found',
      message: expect.stringContaining("'support'"),
    })
    expect(await closed.ask('http://169.254.169.254/')).toBe('model-not-found')
    expect(a.seen).toEqual([])
    const open = await stage([a], [route('support', ['a'])], {}, 'a')
    expect(await open.ask('gpt-any')).toBe('200 from a [a:200]')
    expect(new TextDecoder().decode(a.seen[0]?.body ?? undefined)).toBe('{"model":"gpt-any"}')
  })

  it('choose only upstreams that speak the API of the path', async () => {
    const a = scripted('a')
    const { ask } = await stage([a], [route('r', ['a'])])
    expect(await ask('r', { path: '/v1/messages?beta=true' })).toBe('not-found')
    const both = await stage([a], [route('r', ['a'])], { apis: ['openai', 'anthropic'] })
    expect(await both.ask('r', { path: '/v1/messages' })).toBe('200 from a [a:200]')
  })
})

describe('retries', () => {
  it.each([
    429, 502, 503, 504, 529,
  ])('repeat a %i, elsewhere first, then here after a pause', async status => {
    const [a, b] = [scripted('a', status, status), scripted('b', status, 200)]
    const { ask, slept } = await stage([a, b], [route('r', ['a', 'b'])], { retryCount: 1 })
    expect(await ask()).toMatch(/^200 from [ab] \[.:\d+ .:\d+ .:\d+( .:\d+)?\]$/u)
    expect(slept).toHaveLength(1)
    expect(slept[0]).toBeLessThanOrEqual(500)
  })

  it.each([400, 401, 404, 500])('never repeat a %i', async status => {
    const a = scripted('a', status)
    const { ask } = await stage([a], [route('r', ['a'])], { retryCount: 3 })
    expect(await ask()).toBe(`${status} from a [a:${status}]`)
  })

  it('repeat a refused connection, and give the last failure when nothing is left', async () => {
    const a = scripted('a', 'refused', 'refused', 'refused')
    const { ask, slept } = await stage([a], [route('r', ['a'])], {
      retryCount: 2,
      breaker: { failureCount: 99, openMs: 1 },
    })
    expect(await ask()).toBe('upstream-unavailable')
    expect(a.seen).toHaveLength(3)
    expect(slept).toHaveLength(2)
  })

  it('never repeat once a byte of the answer is there', async () => {
    const a = scripted('a', 'breaks')
    const { ask } = await stage([a], [route('r', ['a'], ['a'])], { retryCount: 3 })
    expect(await ask()).toBe('upstream-unavailable')
    expect(a.seen).toHaveLength(1)
  })

  it('wait as long as Retry-After says, and not at all where that is too long', async () => {
    const a = scripted('a', { status: 429, after: '3' })
    const patient = await stage([a], [route('r', ['a'])], { retryCount: 1 })
    expect(await patient.ask()).toBe('200 from a [a:429 a:200]')
    expect(patient.slept[0]).toBeGreaterThanOrEqual(3000)
    const b = scripted('b', { status: 429, after: '3600' })
    const { ask, slept } = await stage([b], [route('r', ['b'])], { retryCount: 1 })
    expect(await ask()).toBe('429 from b [b:429]')
    expect(slept).toEqual([])
  })

  it('let the others go first where one asked for rest', async () => {
    const [a, b] = [scripted('a', { status: 429, after: '30' }), scripted('b')]
    const { ask, clock } = await stage([a, b], [route('r', ['a', 'b'])])
    while (a.seen.length === 0) await ask()
    for (let i = 0; i < 20; i++) expect(await ask()).toBe('200 from b [b:200]')
    clock.advance(31_000)
    const before = a.seen.length
    for (let i = 0; i < 20; i++) await ask()
    expect(a.seen.length).toBeGreaterThan(before)
  })

  it('do not repeat what took too long at the same upstream, but fall back', async () => {
    const [a, b] = [scripted('a', 'hangs'), scripted('b')]
    const { ask } = await stage([a, b], [route('r', ['a'], ['b'])], {
      retryCount: 5,
      timeouts: { connectMs: 1, firstTokenMs: 5, idleMs: 5, totalMs: null },
    })
    expect(await ask()).toBe('200 from b [a:upstream-timeout b:200]')
  })

  it('end when the caller leaves', async () => {
    const a = scripted('a', 'hangs')
    const { ask, upstreams } = await stage([a], [route('r', ['a'], ['a'])], { retryCount: 5 })
    const caller = new AbortController()
    const answer = ask('r', { signal: caller.signal })
    caller.abort()
    expect(await answer).toBe('cancelled')
    expect(a.seen).toHaveLength(1)
    expect(upstreams.states()).toMatchObject([
      { activeCount: 0, failureCount: 0, breaker: 'closed' },
    ])
  })
})

describe('what a request may have cost', () => {
  const sent = (signal = new AbortController().signal): LeadRequest => ({
    method: 'POST',
    path: '/v1/chat/completions',
    headers: {},
    body: new TextEncoder().encode(JSON.stringify({ model: 'r' })),
    signal,
  })

  it('is nothing where the caller leaves while a refused request waits to be repeated', async () => {
    const a = scripted('a', { status: 429, after: '5' })
    const caller = new AbortController()
    const { upstreams } = await stage([a], [route('r', ['a'])], { retryCount: 1 }, null, () =>
      caller.abort(),
    )
    await expect(upstreams.send(sent(caller.signal))).rejects.toMatchObject({
      code: 'cancelled',
      details: { isUnsent: true, trail: { tries: [{ upstream: 'a', status: 429 }] } },
    })
  })

  it('is nothing where time ran out before a connection was there', async () => {
    const timeouts = { connectMs: 1, firstTokenMs: 5, idleMs: 5, totalMs: null }
    const a = scripted('a', 'hangs-unsent', 'hangs')
    const { upstreams } = await stage([a], [route('r', ['a'])], { timeouts })
    const code = 'upstream-timeout'
    await expect(upstreams.send(sent())).rejects.toMatchObject({
      code,
      details: { isUnsent: true },
    })
    const error = await upstreams.send(sent()).catch(thrown => thrown)
    expect(error).toMatchObject({ code })
    expect(error.details.isUnsent).toBeUndefined()
  })

  it('is no connection where the status is none', async () => {
    const a = scripted('a', 700)
    const { ask } = await stage([a], [route('r', ['a'])])
    expect(await ask()).toBe('upstream-invalid')
    expect(a.endedCount).toBe(1)
  })
})

describe('fallbacks', () => {
  it('are tried in order after all targets', async () => {
    const [a, b, c] = [scripted('a', 503), scripted('b', 'refused'), scripted('c')]
    const { ask } = await stage([a, b, c], [route('r', ['a'], ['b', 'c'])])
    expect(await ask()).toBe('200 from c [a:503 b:upstream-unavailable c:200]')
  })

  it('take over where the gateway’s own key is refused, not where it has none', async () => {
    const keyed = await stage([scripted('a', 401), scripted('b')], [route('r', ['a'], ['b'])], {
      apiKey: 'k',
    })
    expect(await keyed.ask()).toBe('200 from b [a:401 b:200]')
  })
})

describe('circuit breaker', () => {
  it('opens after failures in a row, admits one to try, and closes when that one succeeds', async () => {
    const a = scripted('a', 500, 500, 'refused')
    const { ask, clock, upstreams } = await stage([a], [route('r', ['a'])])
    await ask()
    await ask()
    expect(upstreams.states()[0]?.breaker).toBe('closed')
    await ask()
    expect(upstreams.states()[0]?.breaker).toBe('open')
    expect(await ask()).toBe('upstream-unavailable')
    expect(a.seen).toHaveLength(3)
    clock.advance(10_000)
    expect(upstreams.states()[0]?.breaker).toBe('half-open')
    a.scenes = [500]
    expect(await ask()).toBe('500 from a [a:500]')
    expect(await ask()).toBe('upstream-unavailable')
    clock.advance(10_000)
    const both = await Promise.all([ask(), ask()])
    expect(both.sort()).toEqual(['200 from a [a:200]', 'upstream-unavailable'])
    expect(upstreams.states()[0]?.breaker).toBe('closed')
    expect(await ask()).toBe('200 from a [a:200]')
  })

  it('is not moved by what is the caller’s own fault, nor by too many requests', async () => {
    const a = scripted('a', 400, 404, 429, 400, 429, 422)
    const { ask, upstreams } = await stage([a], [route('r', ['a'])])
    for (let i = 0; i < 6; i++) await ask()
    expect(upstreams.states()).toMatchObject([{ breaker: 'closed', failureCount: 0, tryCount: 6 }])
  })

  it('lets one try at a time, whatever becomes of requests that were sent before it opened', () => {
    const clock = fixedClock(1_800_000_000_000)
    const breaker = createBreaker({ failureCount: 1, openMs: 10_000, clock })
    const [slow, slower] = [breaker.enter(), breaker.enter()]
    breaker.enter()?.leave('failure')
    clock.advance(5_000)
    slow?.leave('failure')
    expect(breaker.waitMs).toBe(5_000)
    clock.advance(5_000)
    const probe = breaker.enter()
    expect(probe).not.toBeNull()
    slower?.leave('neither')
    expect(breaker.enter()).toBeNull()
    probe?.leave('failure')
    expect(breaker.waitMs).toBe(10_000)
  })

  it('lets one try after a later opening, though the probe of an earlier one is still under way', () => {
    const clock = fixedClock(1_800_000_000_000)
    const breaker = createBreaker({ failureCount: 1, openMs: 10_000, clock })
    const slow = breaker.enter()
    breaker.enter()?.leave('failure')
    clock.advance(10_000)
    expect(breaker.enter()).not.toBeNull()
    slow?.leave('success')
    breaker.enter()?.leave('failure')
    clock.advance(10_000)
    expect(breaker.enter()).not.toBeNull()
  })

  it('says when to come back', async () => {
    const a = scripted('a', 500, 500, 500)
    const { ask, upstreams } = await stage([a], [route('r', ['a'])])
    for (let i = 0; i < 3; i++) await ask()
    await expect(
      upstreams.send({
        method: 'POST',
        path: '/v1/chat/completions',
        headers: {},
        body: new TextEncoder().encode('{"model":"r"}'),
        signal: new AbortController().signal,
      }),
    ).rejects.toMatchObject({ details: { retryAfterSeconds: 10 } })
  })
})

it('an upstream takes no more at once than it may; the next one does', async () => {
  const [a, b] = [scripted('a', 'hangs'), scripted('b', 'hangs')]
  const { ask, upstreams } = await stage([a, b], [route('r', ['a'], ['b'])], { maxConcurrency: 1 })
  const caller = new AbortController()
  const first = ask('r', { signal: caller.signal })
  const second = ask('r', { signal: caller.signal })
  await expect.poll(() => a.seen.length + b.seen.length).toBe(2)
  expect(await ask()).toBe('overloaded')
  caller.abort()
  expect([await first, await second]).toEqual(['cancelled', 'cancelled'])
  expect(upstreams.states().map(({ activeCount }) => activeCount)).toEqual([0, 0])
  expect(await ask()).toBe('200 from a [a:200]')
})

it('an error that is held back does not take the place of the next try', async () => {
  const a = scripted('a', 503, 429)
  const { ask } = await stage([a], [route('r', ['a'])], { maxConcurrency: 1, retryCount: 2 })
  expect(await ask()).toBe('200 from a [a:503 a:429 a:200]')
})

it('a new configuration keeps what did not change, and closes what left once it is idle', async () => {
  const [a, b] = [scripted('a'), scripted('b')]
  const drained: string[] = []
  const open = async ({ name }: UpstreamConfig): Promise<Lead> => ({
    ...(name === 'a' ? a : b).lead,
    drain: async () => void drained.push(name),
  })
  const parts = { routes: [], fallThrough: null, open, clock: fixedClock(), random: () => 0 }
  const before = await openUpstreams({ ...parts, upstreams: [config('a'), config('b')] })
  const after = await openUpstreams({
    ...parts,
    upstreams: [config('a'), config('b', { retryCount: 1 })],
    earlier: before,
  })
  await before.retire(after)
  expect(drained).toEqual(['b'])
  expect(after.opened.get('a')).toBe(before.opened.get('a'))
})

it.each([
  ['5', 5000],
  [' 1.5 ', 1500],
  ['Fri, 15 Jan 2027 08:00:10 GMT', 10_000],
  ['Fri, 15 Jan 2027 07:00:00 GMT', 0],
  ['soon', null],
  ['-1', null],
  ['1e99', null],
  ['', null],
])('Retry-After: %s is %s ms', (value, ms) => {
  const now = Date.parse('2027-01-15T08:00:00Z')
  const read = retryAfterMs(value, now)
  expect(read).toBe(ms)
})

describe('health checks', () => {
  it('take an upstream that is away out of the choice, and bring it back', async () => {
    const [a, b] = [scripted('a', 200, 200), scripted('b')]
    let isUp = false
    const lead: Lead = {
      ...a.lead,
      async send(request) {
        if (request.path !== '/up') return a.lead.send(request)
        if (!isUp) throw new UnderstudyError('upstream-unavailable', 'away')
        return { status: 401, headers: {}, body: body(a, false) }
      },
    }
    const clock = fixedClock()
    const upstreams = await openUpstreams({
      upstreams: [
        config('a', { health: { path: '/up', everyMs: 5, timeoutMs: 1000 } }),
        config('b'),
      ],
      routes: [route('r', ['a'], ['b'])],
      fallThrough: null,
      open: async ({ name }) => (name === 'a' ? lead : b.lead),
      clock,
      random: () => 0,
    })
    const ask = async () => {
      const { trail } = await upstreams.send({
        method: 'POST',
        path: '/v1/chat/completions',
        headers: {},
        body: new TextEncoder().encode('{"model":"r"}'),
        signal: new AbortController().signal,
      })
      return trail?.upstream
    }
    await expect.poll(() => upstreams.states()[0]?.isHealthy).toBe(false)
    expect(await ask()).toBe('b')
    isUp = true
    await expect.poll(() => upstreams.states()[0]?.isHealthy).toBe(true)
    expect(await ask()).toBe('a')
    await upstreams.close()
  })
})
