/** Virtual keys through the gateway: roles, limits, budgets, the API that makes them, and what a kill leaves. */

import OpenAI from 'openai'
import { describe, expect, test } from 'vitest'
import { UnderstudyError } from '../../src/errors.ts'
import type { GatewayContext, GatewayKey } from '../../src/gateway/index.ts'
import { type Lead, type LeadResponse, openRemoteLead } from '../../src/runtimes/index.ts'
import { fixedClock } from '../../src/util/index.ts'
import { chatInit, scriptedTask, testGateway } from './scripted.ts'
import { stubbedLead } from './stubbed-lead.ts'

const CHAT = '/v1/chat/completions'
const { stub, lead } = await stubbedLead()

const OPS: GatewayKey = { key: 'secret-ops', app: null, name: 'ops' } as GatewayKey
const as = (key: string) => ({ authorization: `Bearer ${key}` })

const stage = (...keys: readonly GatewayKey[]) => stageOn({ lead }, ...keys)

function stageOn(context: Pick<GatewayContext, 'lead'>, ...keys: readonly GatewayKey[]) {
  const clock = fixedClock(1_800_000_000_000)
  const parts = testGateway({ ...context, clock, keys: [OPS, ...keys] }, [
    scriptedTask({ name: 'intent', label: 'card_lost', score: 1 }),
  ])
  const ask = (body: Record<string, unknown> = {}, headers: Record<string, string> = {}) =>
    parts.gateway.request(CHAT, chatInit(body, { ...as('secret-desk'), ...headers }))
  const api = (path: string, init: RequestInit = {}, key = 'secret-ops') =>
    parts.gateway.request(`/understudy/v1${path}`, { ...init, headers: as(key) })
  return { ...parts, ask, api }
}

const desk = (rules: Partial<GatewayKey> = {}): GatewayKey => ({
  key: 'secret-desk',
  app: 'desk',
  ...rules,
})
const code = async (response: Response): Promise<string> =>
  ((await response.json()) as { error: { code: string } }).error.code

describe('roles', () => {
  test.each([
    ['caller', 200, 403, 403, 403],
    ['auditor', 403, 200, 200, 403],
    ['operator', 200, 200, 200, 400],
  ] as const)('%s', async (role, chat, status, keys, job) => {
    const { ask, api, gateway } = stage(desk({ role }))
    expect((await ask()).status).toBe(chat)
    expect((await api('/status', {}, 'secret-desk')).status).toBe(status)
    expect((await api('/keys', {}, 'secret-desk')).status).toBe(keys)
    expect((await api('/jobs', { method: 'POST', body: '{}' }, 'secret-desk')).status).toBe(job)
    expect((await gateway.request('/metrics', { headers: as('secret-desk') })).status).toBe(status)
  })

  test('an auditor sees no secret, and changes no key', async () => {
    const { api } = stage(desk({ role: 'auditor' }))
    const text = await (await api('/keys', {}, 'secret-desk')).text()
    expect(text).not.toMatch(/secret-|hash/u)
    const made = await api('/keys', { method: 'POST', body: '{"name":"x"}' }, 'secret-desk')
    expect(await code(made)).toBe('role_insufficient')
    expect((await api('/keys/ops', { method: 'DELETE' }, 'secret-desk')).status).toBe(403)
  })
})

describe('limits', () => {
  test('are told in the headers that OpenAI’s clients read, and end in a 429 that they raise as such', async () => {
    const { ask, gateway } = stage(desk({ requestsPerMinute: 2, tokensPerMinute: 1000 }))
    const first = await ask()
    expect(first.headers.get('x-ratelimit-limit-requests')).toBe('2')
    expect(first.headers.get('x-ratelimit-remaining-requests')).toBe('1')
    expect(first.headers.get('x-ratelimit-limit-tokens')).toBe('1000')
    // The stub reports 9 and 3 tokens.
    expect(first.headers.get('x-ratelimit-remaining-tokens')).toBe('988')
    await (await ask({ stream: true })).text()
    const third = await ask()
    expect(third.status).toBe(429)
    expect(Number(third.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(third.headers.get('x-ratelimit-remaining-requests')).toBe('0')
    expect(await code(third)).toBe('rate_limited')
    const client = new OpenAI({
      apiKey: 'secret-desk',
      baseURL: 'http://localhost/v1',
      maxRetries: 0,
      fetch: (url, init) => gateway.fetch(new Request(url as string, init as RequestInit)),
    })
    await expect(
      client.chat.completions.create({ model: 'm', messages: [{ role: 'user', content: 'x' }] }),
    ).rejects.toBeInstanceOf(OpenAI.RateLimitError)
  })

  test('what a specialist answers costs no tokens', async () => {
    const { ask } = stage(desk({ tokensPerMinute: 1000 }))
    const response = await ask({}, { 'x-understudy-task': 'intent' })
    expect(response.headers.get('x-understudy-served-by')).toBe('reflex')
    expect(response.headers.get('x-ratelimit-remaining-tokens')).toBe('1000')
  })

  test('a failed lead gives the tokens back; a broken-off stream is estimated and says so', async () => {
    const { ask, workspace } = stage(desk({ tokensPerMinute: 1000 }))
    const failed = await ask({ model: 'error-429' })
    expect(failed.headers.get('x-ratelimit-remaining-tokens')).toBe('1000')
    await (await ask({ model: 'unfinished', stream: true })).text()
    expect(workspace.traces.at(-1)?.charge).toMatchObject({ isEstimated: true })
    await (await ask({ stream: true, stream_options: { include_usage: true } })).text()
    expect(workspace.traces.at(-1)?.charge).toMatchObject({
      promptTokens: 9,
      completionTokens: 3,
      isEstimated: false,
    })
  })
})

describe('what did not come whole', () => {
  /** About 10,000 tokens. */
  const PROMPT = 'x'.repeat(40_000)
  const long = (body: Record<string, unknown>) =>
    chatInit({ ...body, messages: [{ role: 'user', content: PROMPT }] }, as('secret-desk'))

  test.each([
    ['/v1/messages', 'itself', { max_tokens: 9 }, 13],
    ['/v1/messages', 'as chat', { max_tokens: 9 }, 10_000],
    ['/v1/responses', 'itself', { input: PROMPT, messages: undefined }, 10_000],
    ['/v1/responses', 'as chat', { input: PROMPT, messages: undefined }, 10_000],
    [CHAT, 'itself', {}, 10_000],
  ])('a stream of %s, which the lead speaks %s, is estimated', async (path, how, more, prompt) => {
    const speaks = (asked: string) => how === 'itself' || asked === CHAT
    const { gateway, workspace } = stageOn({ lead: { ...lead, speaks } }, desk())
    const init = long({ model: 'unfinished', stream: true })
    const body = JSON.stringify({ ...JSON.parse(String(init.body)), ...more })
    await (await gateway.request(path, { ...init, body })).text()
    const { charge, isComplete } = workspace.traces.at(-1) ?? {}
    expect(isComplete).toBe(false)
    expect(charge).toMatchObject({ isEstimated: true })
    // A lead that speaks messages tells at once what it was given: the stub says 10 tokens and 3 kept ones.
    expect(charge?.promptTokens).toBeGreaterThanOrEqual(prompt)
    expect(charge?.promptTokens).toBeLessThan(prompt * 1.1)
    expect(charge?.completionTokens).toBeGreaterThan(3)
    expect(charge?.completionTokens).toBeLessThan(100)
  })

  test('half a tool call counts by its length', async () => {
    const { gateway, workspace } = stage(desk())
    const tools = [{ name: 'classify', input_schema: { type: 'object' } }]
    const asked = { model: 'unfinished', stream: true, max_tokens: 9, tools }
    await (await gateway.request('/v1/messages', long(asked))).text()
    const { charge, response } = workspace.traces.at(-1) ?? {}
    expect(JSON.stringify(response)).toContain('card_lost')
    expect(charge?.completionTokens).toBeGreaterThan(10)
  })

  test('a whole answer that reports zeros reports nothing', async () => {
    const body = async function* () {
      const choices = [{ index: 0, message: { role: 'assistant', content: 'Yes.' } }]
      yield Buffer.from(JSON.stringify({ model: 'm', choices }))
    }
    const silent: Lead = {
      name: 'silent',
      speaks: path => path === CHAT,
      send: async () => ({
        status: 200,
        headers: { 'content-type': 'application/json' },
        body: body(),
      }),
      close: async () => {},
    }
    const { gateway, workspace } = stageOn({ lead: silent }, desk())
    const response = await gateway.request('/v1/messages', long({ max_tokens: 9 }))
    expect(await response.json()).toMatchObject({ usage: { input_tokens: 0, output_tokens: 0 } })
    const { charge } = workspace.traces.at(-1) ?? {}
    expect(charge).toMatchObject({ isEstimated: true, completionTokens: 1 })
    expect(charge?.promptTokens).toBeGreaterThan(10_000)
  })

  test.each([
    [false, 'cancelled'],
    [true, 'upstream_timeout'],
  ])('a lead that had the prompt is paid for it (it was too slow: %s)', async (isSlow, ended) => {
    const slow = openRemoteLead({ url: stub.url, headersTimeoutMs: isSlow ? 300 : 60_000 })
    const limits = { tokensPerMinute: 100_000, budget: { usd: 1, per: 'total' } } as const
    const { gateway, workspace, api } = stageOn({ lead: slow }, desk(limits))
    const leaving = new AbortController()
    const before = stub.seen.length
    const answer = gateway.request(CHAT, { ...long({ model: 'hangs' }), signal: leaving.signal })
    await expect.poll(() => stub.seen.length).toBe(before + 1)
    if (!isSlow) leaving.abort()
    expect(await code(await answer)).toBe(ended)
    const { charge } = workspace.traces.at(-1) ?? {}
    expect(charge).toMatchObject({ isEstimated: true, completionTokens: 0 })
    expect(charge?.promptTokens).toBeGreaterThan(10_000)
    const keys = (await (await api('/keys')).json()) as { data: { usage: { total: object } }[] }
    const { promptTokens } = charge ?? {}
    expect(keys.data[1]?.usage.total).toMatchObject({ requestCount: 1, promptTokens })
    await slow.close()
  })

  test.each([
    ['was never asked', new UnderstudyError('cancelled', 'Left.', { details: { isUnsent: true } })],
    ['cannot be reached', new UnderstudyError('upstream-unavailable', 'Gone.')],
    ['had refused', null],
  ])('a lead that %s costs nothing', async (_, error) => {
    const refusal: LeadResponse = {
      status: 429,
      headers: { 'content-type': 'application/json' },
      body: {
        async *[Symbol.asyncIterator]() {
          yield Buffer.from('{"error":')
          throw new UnderstudyError('cancelled', 'Left.')
        },
      },
    }
    const send = async () => {
      if (error !== null) throw error
      return refusal
    }
    const away: Lead = { name: 'away', send, close: async () => {} }
    const { gateway, workspace, api } = stageOn({ lead: away }, desk())
    await gateway.request(CHAT, long({}))
    expect(workspace.traces.at(-1)).not.toHaveProperty('charge')
    const keys = (await (await api('/keys')).json()) as { data: { usage: { total: object } }[] }
    expect(keys.data[1]?.usage.total).toMatchObject({ requestCount: 1, promptTokens: 0 })
  })
})

describe('models', () => {
  test('a key calls those it may, sees only those, and nothing that names none', async () => {
    const { ask, gateway } = stage(desk({ models: ['gpt-*'] }))
    expect((await ask({ model: 'gpt-4o' })).status).toBe(200)
    const before = stub.seen.length
    expect(await code(await ask({ model: 'o3' }))).toBe('model_forbidden')
    for (const [one, other] of [
      ['gpt-4o', 'o3'],
      ['o3', 'gpt-4o'],
    ]) {
      const body = `{"model":"${one}","mod\\u0065l":"${other}","messages":[{"role":"user","content":"x"}]}`
      const init = { ...chatInit({}, as('secret-desk')), body }
      expect(await code(await gateway.request(CHAT, init))).toBe('model_forbidden')
      expect(await code(await gateway.request('/v1/images/edits', init))).toBe('model_forbidden')
    }
    const looksFine = '{"model":"gpt-4o"}'
    for (const [body, headers] of [
      ['{"model":"gpt-4o","Model":"o3"}', {}],
      [looksFine, { 'content-type': 'multipart/form-data; boundary=x' }],
      [looksFine, { 'content-type': 'application/x-www-form-urlencoded' }],
      [looksFine, { 'content-encoding': 'gzip' }],
    ] as const) {
      const init = { ...chatInit({}, { ...as('secret-desk'), ...headers }), body }
      const response = await gateway.request('/v1/audio/transcriptions', init)
      expect(await code(response)).toBe('model_forbidden')
    }
    for (const path of ['/v1/files', '/v1/fine_tuning/jobs']) {
      expect(await code(await gateway.request(path, { headers: as('secret-desk') }))).toBe(
        'model_forbidden',
      )
    }
    expect(stub.seen.length).toBe(before)
    const list = await gateway.request('/v1/models', { headers: as('secret-desk') })
    expect(await list.json()).toEqual({ object: 'list', data: [] })
  })
})

describe('budgets', () => {
  test('end the lead’s answers and not the specialist’s, and tell the clients not to try again', async () => {
    const { ask, workspace } = stage(desk({ budget: { usd: 0, per: 'month' } }))
    const refused = await ask()
    expect(refused.status).toBe(429)
    expect(refused.headers.get('x-should-retry')).toBe('false')
    expect(await code(refused)).toBe('budget_exceeded')
    expect(workspace.traces).toEqual([])
    expect((await ask({}, { 'x-understudy-task': 'intent' })).status).toBe(200)
  })

  test('are not got around by a path whose cost nobody counts', async () => {
    const { gateway } = stage(desk({ budget: { usd: 5, per: 'month' } }))
    const init = { method: 'POST', body: '{"model":"gpt-image"}', headers: as('secret-desk') }
    expect(await code(await gateway.request('/v1/images/generations', init))).toBe(
      'model_forbidden',
    )
    const later = { model: 'm', input: 'x', background: true }
    const inBackground = { ...init, body: JSON.stringify(later) }
    expect(await code(await gateway.request('/v1/responses', inBackground))).toBe('model_forbidden')
    expect((await gateway.request('/v1/files', { headers: as('secret-desk') })).status).toBe(200)
  })
})

describe('the API', () => {
  test('makes, lists, rotates and revokes; a token is in one answer only', async () => {
    const { api, gateway } = stage()
    const made = await api('/keys', {
      method: 'POST',
      body: JSON.stringify({ name: 'shop', app: 'shop', requestsPerMinute: 100 }),
    })
    expect(made.status).toBe(201)
    expect(made.headers.get('cache-control')).toBe('no-store')
    const { token, id } = (await made.json()) as { token: string; id: string }
    const ask = (key: string) => gateway.request(CHAT, chatInit({}, as(key)))
    const viaHeader = { 'x-api-key': token }
    expect((await ask(token)).status).toBe(200)
    expect((await gateway.request(CHAT, chatInit({}, viaHeader))).status).toBe(200)
    expect(JSON.stringify(stub.seen.at(-1)?.headers)).not.toContain(token)
    const list = await (await api('/keys')).text()
    expect(list).not.toContain(token)
    expect(JSON.parse(list)).toMatchObject({
      data: [
        { source: 'config' },
        {
          id,
          name: 'shop',
          role: 'caller',
          usage: { total: { requestCount: 2, promptTokens: 18 } },
        },
      ],
    })
    const rotated = await api(`/keys/${id}/rotate`, { method: 'POST', body: '{"grace":"0s"}' })
    const { token: next } = (await rotated.json()) as { token: string }
    expect((await ask(token)).status).toBe(401)
    expect((await ask(next)).status).toBe(200)
    expect((await api('/keys/shop', { method: 'DELETE' })).status).toBe(200)
    expect((await ask(next)).status).toBe(401)
    expect((await api('/keys/shop', { method: 'DELETE' })).status).toBe(404)
  })

  test.each([
    ['/keys', '{"name":"a","role":"root"}', 400],
    ['/keys', '[]', 400],
    ['/keys', '{"name":', 400],
    ['/keys', '{"name":"ops-2","extra":1}', 400],
    ['/keys/nobody/rotate', '{}', 404],
    ['/keys/key-1/rotate', '{}', 400],
    ['/keys/key-1/rotate', '{"grace":"1000d"}', 400],
  ])('refuses %s with %s', async (path, body, status) => {
    const response = await stage().api(path, { method: 'POST', body })
    expect(response.status).toBe(status)
    expect(await response.json()).toMatchObject({
      error: { message: expect.stringMatching(/\w+/u) },
    })
  })

  test('closes a gateway that other machines reach when its last key is taken away', async () => {
    const { gateway } = testGateway({ lead })
    const made = await gateway.request('/understudy/v1/keys', {
      method: 'POST',
      body: '{"name":"ops","role":"operator"}',
    })
    const { token } = (await made.json()) as { token: string }
    const listening = await gateway.listen({ host: '0.0.0.0', port: 0 })
    const url = `http://127.0.0.1:${new URL(listening.address).port}`
    const get = (path: string, init: RequestInit = {}) =>
      fetch(url + path, { ...init, headers: as(token) })
    expect((await get('/understudy/v1/status')).status).toBe(200)
    expect((await get('/understudy/v1/keys/ops', { method: 'DELETE' })).status).toBe(200)
    for (const path of ['/understudy/v1/status', '/v1/models', '/metrics', '/understudy/v1/keys']) {
      expect((await get(path)).status).toBe(401)
    }
    expect((await get('/healthz')).status).toBe(200)
    expect((await gateway.requestAsOwner('/understudy/v1/keys')).status).toBe(200)
    await listening.close()
  })

  test('needs a key over any door, and none for who may open the folder', async () => {
    const { gateway } = stage()
    expect((await gateway.request('/understudy/v1/keys')).status).toBe(401)
    expect((await gateway.requestAsOwner('/understudy/v1/keys')).status).toBe(200)
    expect((await gateway.requestAsOwner('/v1/models')).status).toBe(401)
  })
})
