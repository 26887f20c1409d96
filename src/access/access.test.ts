/** Keys, limits and budgets by a clock that stands still until told otherwise. */
import { appendFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type ConfigKey, type KeyRules, keyRules, parseKeyRequest } from '../config/index.ts'
import { isUnderstudyError } from '../errors.ts'
import { fixedClock } from '../util/index.ts'
import { createAccess, type Ticket } from './access.ts'
import { createKeys, openKeys } from './keys.ts'
import { watchPeerSpend } from './peer-spend.ts'
import { periodEndMs, periodStart } from './period.ts'
import { memorySpend, openSpend, type SpendOptions } from './spend.ts'
import type { Usage } from './spend-totals.ts'

const START = Date.parse('2026-11-27T12:00:00Z')
const OPERATOR = keyRules({})
const PRICES = { cheap: { inUsd: 1, outUsd: 2 }, dear: { inUsd: 10, outUsd: 100 } }

let dir: string
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'access-'))
})
afterEach(() => rm(dir, { recursive: true }))

const configured = (name: string, rules: Partial<KeyRules> = {}): ConfigKey => ({
  ...keyRules({ app: name }),
  ...rules,
  key: `secret-${name}`,
  name,
})

const spendAt = (path: string, options: Partial<SpendOptions> = {}) =>
  openSpend(path, { log: () => {}, timeoutMs: 10_000, ...options })

function stage(rules: Partial<KeyRules>) {
  const clock = fixedClock(START)
  const keys = createKeys([], [configured('desk', rules)], clock, async () => {})
  const access = createAccess({ keys, spend: memorySpend(), prices: PRICES, clock })
  const key = keys.find('secret-desk')
  const ask = (byteCount = 4, model = 'cheap'): Ticket => access.admit(key, { model, byteCount })
  return { clock, keys, access, key, ask }
}

function code(work: () => unknown): string {
  try {
    work()
    return 'fine'
  } catch (error) {
    if (!isUnderstudyError(error)) throw error
    return `${error.code} ${error.details.retryAfterSeconds ?? ''}`.trim()
  }
}

describe('keys', () => {
  it('are shown once, kept as hashes, and known again after a restart', async () => {
    const path = join(dir, 'keys.json')
    const clock = fixedClock(START)
    const keys = await openKeys(path, [], clock)
    expect(keys.areRequired).toBe(false)
    const { key, token } = await keys.create('ops', OPERATOR)
    expect(token).toMatch(/^usk_[0-9a-f]{12}_[0-9a-f]{48}$/u)
    expect(keys.areRequired).toBe(true)
    const text = await readFile(path, 'utf8')
    expect(text).not.toContain(token)
    expect(text).not.toContain(token.slice(-48))
    expect(JSON.stringify(keys.list())).not.toMatch(/hash/u)
    const again = await openKeys(path, [], clock)
    expect(again.find(token)).toEqual(key)
    for (const wrong of [
      '',
      'usk_',
      token.slice(0, -1),
      `${token.slice(0, -1)}x`,
      token.toUpperCase(),
    ]) {
      expect(code(() => again.find(wrong))).toBe('key-invalid')
    }
  })

  it('need an operator among them, first and last', async () => {
    const keys = await openKeys(null, [], fixedClock(START))
    const rules = keyRules({ app: 'desk' })
    await expect(keys.create('desk', rules)).rejects.toMatchObject({ code: 'usage-invalid' })
    await keys.create('ops', OPERATOR)
    await keys.create('desk', rules)
    await expect(keys.create('desk', rules)).rejects.toThrow('named')
    await expect(keys.revoke('ops')).rejects.toThrow('operator')
    await keys.revoke('desk')
    await keys.revoke('ops')
    expect(keys.areRequired).toBe(false)
    await expect(keys.revoke('ops')).rejects.toMatchObject({ code: 'not-found' })
  })

  it('rotate with a grace, at the end of which only the new token is good', async () => {
    const clock = fixedClock(START)
    const keys = await openKeys(join(dir, 'k.json'), [], clock)
    const first = await keys.create('ops', OPERATOR)
    const second = await keys.rotate('ops', 60_000)
    const third = await keys.rotate(first.key.id, 0)
    expect(keys.find(first.token)).toEqual(keys.find(third.token))
    expect(code(() => keys.find(second.token))).toBe('key-invalid')
    clock.advance(60_000)
    expect(code(() => keys.find(first.token))).toBe('key-invalid')
    expect(keys.find(third.token).name).toBe('ops')
    await keys.revoke('ops')
    expect(code(() => keys.find(third.token))).toBe('key-invalid')
  })

  it('expire, whoever holds them', () => {
    const { clock, keys } = stage({ expiresMs: START + 1000 })
    expect(keys.find('secret-desk').name).toBe('desk')
    clock.advance(1000)
    expect(() => keys.find('secret-desk')).toThrow('expired on 2026-11-27')
    expect(() => keys.find('secret-des')).toThrow('missing or wrong')
  })

  it('of the configuration are changed there', async () => {
    const { keys } = stage({})
    await expect(keys.revoke('desk')).rejects.toThrow('stands in the configuration')
    keys.configure([])
    expect(keys.areRequired).toBe(false)
  })

  it('are not kept in memory where they could not be saved', async () => {
    const keys = createKeys([], [], fixedClock(START), async () => {
      throw new Error('disk full')
    })
    await expect(keys.create('ops', OPERATOR)).rejects.toThrow('disk full')
    expect(keys.list()).toEqual([])
    expect(keys.areRequired).toBe(false)
  })

  it.each([
    '',
    'null',
    '[]',
    '{"version":1}',
    '{"version":2,"keys":[]}',
    '{"version":1,"keys":[{"id":"a"}]}',
    '{"version":1,"keys":[null]}',
  ])('never open from a file that is %j', async text => {
    const path = join(dir, 'bad.json')
    await writeFile(path, text)
    await expect(openKeys(path, [], fixedClock())).rejects.toMatchObject({ code: 'file-corrupt' })
  })
})

describe('limits per minute', () => {
  it('let through what they say, refill evenly, and tell when', () => {
    const { clock, ask } = stage({ requestsPerMinute: 3 })
    for (let i = 0; i < 3; i++) expect(code(() => ask())).toBe('fine')
    expect(code(() => ask())).toBe('rate-limited 20')
    clock.advance(19_999)
    expect(code(() => ask())).toBe('rate-limited 1')
    clock.advance(1)
    const { headers } = ask()
    expect(headers()).toEqual({
      'x-ratelimit-limit-requests': '3',
      'x-ratelimit-remaining-requests': '0',
      'x-ratelimit-reset-requests': '60.000s',
    })
    expect(code(() => ask())).toBe('rate-limited 20')
    clock.advance(3_600_000)
    for (let i = 0; i < 3; i++) expect(code(() => ask())).toBe('fine')
    expect(code(() => ask())).toBe('rate-limited 20')
  })

  it('count tokens as the answer reports them, in place of the estimate', async () => {
    const { clock, ask } = stage({ tokensPerMinute: 1000 })
    const ticket = ask(400)
    expect(ticket.headers()['x-ratelimit-remaining-tokens']).toBe('900')
    ticket.settle({
      model: 'cheap',
      usage: { promptTokens: 500, completionTokens: 700 },
      isComplete: true,
      byteCount: 1,
    })
    expect(ticket.headers()['x-ratelimit-remaining-tokens']).toBe('0')
    expect(code(() => ask(4))).toBe('rate-limited 13')
    clock.advance(13_000)
    expect(code(() => ask(4))).toBe('fine')
  })

  it('give back what was expected and did not come; a request larger than the limit waits for a full one', async () => {
    const { ask } = stage({ tokensPerMinute: 100 })
    const ticket = ask(40_000)
    expect(code(() => ask(4))).toMatch(/^rate-limited/u)
    await ticket.release()
    await ticket.release()
    expect(code(() => ask(40_000))).toBe('fine')
  })

  it('hold for each key alone, and change with the configuration', () => {
    const { access, keys, ask } = stage({ requestsPerMinute: 1 })
    ask()
    expect(code(() => ask())).toMatch(/^rate-limited/u)
    access.configure({
      keys: [configured('desk', { requestsPerMinute: 5 }), configured('b')],
      prices: PRICES,
    })
    const asked = { model: 'cheap', byteCount: 4 }
    expect(code(() => access.admit(keys.find('secret-b'), asked))).toBe('fine')
    expect(code(() => access.admit(keys.find('secret-desk'), asked))).toBe('fine')
  })

  it('do not notice a wall clock that jumps', () => {
    let nowMs = START
    const clock = { now: () => nowMs, monotonic: () => 0 }
    const keys = createKeys(
      [],
      [configured('desk', { requestsPerMinute: 1 })],
      clock,
      async () => {},
    )
    const access = createAccess({ keys, spend: memorySpend(), prices: PRICES, clock })
    const ask = () => access.admit(keys.find('secret-desk'), { model: null, byteCount: 0 })
    expect(code(ask)).toBe('fine')
    for (const jump of [3_600_000, -7_200_000]) {
      nowMs += jump
      expect(code(ask)).toBe('rate-limited 60')
    }
  })
})

it('limits per minute count what other processes answered', () => {
  const { access, key, ask } = stage({ requestsPerMinute: 3, tokensPerMinute: 1000 })
  ask()
  access.noteElsewhere(key.id, {
    requestCount: 2,
    promptTokens: 1,
    completionTokens: 0,
    usd: 0,
    estimatedCount: 0,
  })
  access.noteElsewhere('unknown', {
    requestCount: 9,
    promptTokens: 9,
    completionTokens: 9,
    usd: 0,
    estimatedCount: 0,
  })
  expect(code(() => ask())).toBe('rate-limited 20')
})

it('limits per minute count what other processes answered before the first request here', () => {
  const { access, key, ask } = stage({ requestsPerMinute: 3, tokensPerMinute: 1000 })
  const usage = { requestCount: 3, promptTokens: 100, completionTokens: 50 }
  access.noteElsewhere(key.id, { ...usage, usd: 0, estimatedCount: 0 })
  expect(code(() => ask())).toBe('rate-limited 20')
})

describe('models', () => {
  it.each([
    ['support-fast', 'fine'],
    ['support-', 'fine'],
    ['gpt-4o', 'fine'],
    ['gpt-4o-mini', 'model-forbidden'],
    ['Support-fast', 'model-forbidden'],
    ['', 'model-forbidden'],
    [null, 'model-forbidden'],
  ])('a key for support-* and gpt-4o may call %j: %s', (model, expected) => {
    const { access, key } = stage({ models: ['support-*', 'gpt-4o'] })
    expect(code(() => access.admit(key, { model, byteCount: 1 }))).toBe(expected)
  })
})

describe('budgets', () => {
  const settle = (
    ticket: Ticket,
    model: string | null,
    promptTokens: number,
    completionTokens: number,
  ) => {
    const usage = { promptTokens, completionTokens }
    return ticket.settle({ model, usage, isComplete: true, byteCount: 0 }).charge
  }

  it('count exactly what the answers report, and begin anew with the period', async () => {
    const { clock, access, key, ask } = stage({ budget: { usd: 0.003, per: 'day' } })
    const ticket = ask()
    ticket.checkBudget()
    expect(settle(ticket, 'cheap', 1000, 1000)).toEqual({
      key: 'config_desk',
      promptTokens: 1000,
      completionTokens: 1000,
      usd: 0.003,
      isEstimated: false,
    })
    expect(code(() => ask().checkBudget())).toBe('budget-exceeded 3600')
    expect(access.usageOf(key)).toMatchObject({ period: { usd: 0.003, requestCount: 1 } })
    clock.advance(12 * 3_600_000)
    expect(code(() => ask().checkBudget())).toBe('fine')
    expect(access.usageOf(key)).toMatchObject({ total: { usd: 0.003 }, period: { usd: 0 } })
  })

  it('do not stop what needs no lead', () => {
    const { ask } = stage({ budget: { usd: 0, per: 'total' } })
    expect(code(() => ask())).toBe('fine')
    expect(code(() => ask().checkBudget())).toBe('budget-exceeded')
  })

  it('mark estimates, and count a model without a price at the dearest', async () => {
    const { ask } = stage({ budget: { usd: 1, per: 'month' } })
    const { charge } = ask(400, 'unpriced').settle({
      model: 'unheard-of',
      usage: null,
      isComplete: true,
      byteCount: 400,
    })
    expect(charge).toMatchObject({
      promptTokens: 100,
      completionTokens: 100,
      isEstimated: true,
      usd: 0.01 * 2,
    })
  })

  it.each([
    ['what the end would have said', null, 100, 50],
    ['an output that only began', { promptTokens: 30, completionTokens: 1 }, 30, 50],
    ['zeros in place of an input', { promptTokens: 0, completionTokens: 1 }, 100, 50],
    ['a count of more than came through', { promptTokens: 30, completionTokens: 80 }, 30, 80],
  ])('estimate an answer that broke off and reported %s', async (_, usage, prompt, completion) => {
    const { ask } = stage({})
    const answer = { model: 'cheap', usage, isComplete: false, byteCount: 200 }
    expect(ask(400).settle(answer).charge).toMatchObject({
      promptTokens: prompt,
      completionTokens: completion,
      isEstimated: true,
    })
  })

  it('leave money out, rather than guess it, where none is limited', async () => {
    const { access, key } = stage({})
    const ticket = access.admit(key, { model: 'unheard-of', byteCount: 4 })
    expect(settle(ticket, null, 5, 5)).toMatchObject({ usd: null })
    expect(settle(ticket, null, 5, 5)).toBeNull()
  })

  it('hold money back for requests under way, so that many at once do not all find it unspent', () => {
    const { ask } = stage({ budget: { usd: 0.001, per: 'month' } })
    const results = Array.from({ length: 20 }, () => code(() => ask(40).checkBudget()))
    expect(results.filter(result => result === 'fine')).toHaveLength(1)
  })
})

it('money held back is given back, also where the limits changed meanwhile', async () => {
  const budget = { usd: 0.001, per: 'month' } as const
  const { access, keys, ask } = stage({ budget })
  const ticket = ask(40)
  ticket.checkBudget()
  access.configure({ keys: [configured('desk', { budget, requestsPerMinute: 5 })], prices: PRICES })
  const again = (): Ticket =>
    access.admit(keys.find('secret-desk'), { model: 'cheap', byteCount: 40 })
  expect(code(() => again().checkBudget())).toContain('budget-exceeded')
  await ticket.release()
  expect(code(() => again().checkBudget())).toBe('fine')
})

describe('periods', () => {
  it.each([
    ['day', '2026-11-27T23:59:59Z', '2026-11-27', '2026-11-28'],
    ['week', '2026-11-29T23:00:00Z', '2026-11-23', '2026-11-30'],
    ['week', '2026-11-30T00:00:00Z', '2026-11-30', '2026-12-07'],
    ['month', '2026-12-31T23:59:59Z', '2026-12-01', '2027-01-01'],
    ['month', '2028-02-29T00:00:00Z', '2028-02-01', '2028-03-01'],
  ] as const)('the %s of %s is from %s to %s', (period, at, start, end) => {
    expect(periodStart(period, Date.parse(at))).toBe(start)
    expect(new Date(periodEndMs(period, Date.parse(at)) ?? 0).toISOString().slice(0, 10)).toBe(end)
  })
})

describe('what keys used', () => {
  const usage = {
    requestCount: 1,
    promptTokens: 10,
    completionTokens: 5,
    usd: 0.25,
    estimatedCount: 0,
  }

  it('is there after a restart, whole, also where the last line was torn off', async () => {
    const spend = await spendAt(dir)
    for (let i = 0; i < 100; i++) void spend.add('k', usage, START + i * 86_400_000)
    await spend.close()
    const [file = ''] = (await readdir(dir)).filter(name => name.endsWith('.jsonl'))
    await appendFile(join(dir, file), '["k","2026-11-27",1,10')
    for (let round = 0; round < 3; round++) {
      const again = await spendAt(dir)
      expect(again.since('k', '')).toMatchObject({ requestCount: 100, usd: 25 })
      expect(again.since('k', '2026-11-28')).toMatchObject({ requestCount: 99 })
      expect(again.since('other', '')).toMatchObject({ requestCount: 0 })
      await again.close()
    }
  })

  it('is counted once where a crash came between folding and removing', async () => {
    const spend = await spendAt(dir)
    await spend.add('k', usage, START)
    const files = (await readdir(dir)).filter(name => name.endsWith('.jsonl'))
    const text = await readFile(join(dir, files[0] ?? ''), 'utf8')
    await (await spendAt(dir)).close()
    await writeFile(join(dir, files[0] ?? ''), text)
    const again = await spendAt(dir)
    expect(again.since('k', '')).toMatchObject({ requestCount: 1, usd: 0.25 })
  })

  it('is written without waiting for those who come after, and folded while they come', async () => {
    const spend = await spendAt(dir, { foldedLines: 10 })
    let isOver = false
    let count = 0
    const others = (async () => {
      while (!isOver) {
        count++
        void spend.add('k', usage, START)
        await new Promise(resolve => setImmediate(resolve))
      }
    })()
    for (let i = 0; i < 20; i++) {
      count++
      await spend.add('k', usage, START)
    }
    isOver = true
    await others
    await spend.close()
    expect((await readdir(dir)).filter(name => name.endsWith('.jsonl'))).not.toContain('1.jsonl')
    const again = await spendAt(dir)
    expect(again.since('k', '').requestCount).toBe(count)
  })

  it('goes on counting, and says so once, where the disk is full', async () => {
    const logged: string[] = []
    const spend = await spendAt(dir, { log: text => logged.push(text) })
    await rm(dir, { recursive: true })
    await spend.add('k', usage, START)
    await spend.add('k', usage, START)
    expect(spend.since('k', '').requestCount).toBe(2)
    expect(spend.state).toBe('failing')
    expect(logged).toHaveLength(1)
    await mkdir(dir)
    await spend.add('k', usage, START)
    expect(spend.state).toBe('ok')
    expect(logged).toHaveLength(2)
    expect((await spendAt(dir)).since('k', '').requestCount).toBe(3)
  })

  it('is on disk after an orderly stop, where the disk came back without another request', async () => {
    const spend = await spendAt(dir)
    await rm(dir, { recursive: true })
    await spend.add('k', usage, START)
    await mkdir(dir)
    await spend.close()
    expect((await spendAt(dir)).since('k', '').requestCount).toBe(1)
  })

  it('is waited for once where the disk hangs, and is on disk when it is back', async () => {
    const logged: string[] = []
    let release = (): void => {}
    const hanging = new Promise<void>(resolve => {
      release = resolve
    })
    const spend = await spendAt(dir, {
      timeoutMs: 500,
      log: text => logged.push(text),
      async append(path, text) {
        await hanging
        await appendFile(path, text)
      },
    })
    await spend.add('k', usage, START)
    expect(spend.state).toBe('late')
    // None of them waits: with half a second each this test would run out of time.
    for (let i = 0; i < 100; i++) await spend.add('k', usage, START)
    expect(spend.since('k', '').requestCount).toBe(101)
    expect(logged).toEqual([expect.stringContaining('longer than 500 ms')])
    release()
    await spend.close()
    expect(spend.state).toBe('ok')
    expect(logged).toHaveLength(2)
    // What waited is one line.
    expect((await readFile(join(dir, '1.jsonl'), 'utf8')).split('\n')).toHaveLength(3)
    expect((await spendAt(dir)).since('k', '')).toMatchObject({ requestCount: 101, usd: 25.25 })
  })

  it('is shared among the processes of a folder, also what they used before and while they fold', async () => {
    const told: [string, Usage][] = []
    const first = await spendAt(join(dir, 'spend-1'))
    await first.add('k', usage, START)
    const options = { root: dir, own: 'spend', everyMs: 1e6 }
    const peers = await watchPeerSpend({ ...options, onUsage: (...use) => void told.push(use) })
    expect(peers.since('k', '')).toMatchObject({ requestCount: 1, usd: 0.25 })
    expect(told).toEqual([])
    const second = await spendAt(join(dir, 'spend-2'))
    await first.add('k', usage, START)
    await second.add('k', usage, START)
    await peers.refresh()
    expect(peers.since('k', '')).toMatchObject({ requestCount: 3, usd: 0.75 })
    expect(told).toEqual([
      ['k', usage],
      ['k', usage],
    ])
    // Another process under the same number folds what the first one left.
    const next = await spendAt(join(dir, 'spend-1'))
    await next.add('k', usage, START)
    await appendFile(join(dir, 'spend-1', '2.jsonl'), '["k","2026-11-27",1')
    await peers.refresh()
    await peers.refresh()
    expect(peers.since('k', '')).toMatchObject({ requestCount: 4, usd: 1 })
    expect(told).toHaveLength(3)
    peers.close()
  })

  it('never starts from a file that it cannot read', async () => {
    await writeFile(join(dir, 'totals.json'), '{"generation":')
    await expect(spendAt(dir)).rejects.toMatchObject({ code: 'file-corrupt' })
  })
})

describe('a key as a request describes it', () => {
  it('is a caller’s unless it says otherwise', () => {
    const { name, rules } = parseKeyRequest({
      name: 'desk',
      budget: { usd: 5 },
      expires: '2027-01-31',
    })
    expect(name).toBe('desk')
    expect(rules).toMatchObject({
      role: 'caller',
      budget: { usd: 5, per: 'month' },
      requestsPerMinute: null,
    })
  })

  it.each([
    [null, 'The body'],
    [{}, 'name'],
    [{ name: '' }, 'name must be'],
    [{ name: 'a\nb' }, 'name must be'],
    [{ name: 'a', role: 'root' }, 'role must be caller, operator or auditor'],
    [{ name: 'a', modles: ['x'] }, "no field 'modles'"],
    [{ name: 'a', models: [] }, 'models must not be empty'],
    [{ name: 'a', requestsPerMinute: 0 }, 'requestsPerMinute must be a whole number from 1'],
    [{ name: 'a', budget: { usd: Number.NaN } }, 'budget.usd'],
    [{ name: 'a', expires: 'soon' }, 'expires must be a date'],
    [JSON.parse('{"name":"a","__proto__":{"role":"operator"}}'), 'no field'],
  ])('is refused as %j', (body, message) => {
    expect(() => parseKeyRequest(body)).toThrow(message)
  })
})
