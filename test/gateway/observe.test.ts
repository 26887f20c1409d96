/** What a running gateway shows of itself: ids, metrics, spans, log lines, readiness, and what happens under overload. */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import { DEFAULT_LIMITS } from '../../src/gateway/index.ts'
import { type Lead, postJson } from '../../src/runtimes/index.ts'
import { createLogger, createSpanExporter, otlpTarget } from '../../src/telemetry/index.ts'
import { chatInit, scriptedTask, testGateway } from './scripted.ts'
import { stubbedLead } from './stubbed-lead.ts'

const { stub, lead } = await stubbedLead()

const SECRET = 'I lost my card'

test('a request id goes from the caller to the lead, the record and back', async () => {
  const { gateway, workspace } = testGateway({ lead })
  const given = await gateway.request(
    '/v1/chat/completions',
    chatInit({}, { 'x-request-id': 'order-77/a' }),
  )
  expect(given.headers.get('x-understudy-request')).toBe('order-77/a')
  expect(stub.seen.at(-1)?.headers['x-request-id']).toBe('order-77/a')
  expect(workspace.traces.at(-1)).toMatchObject({ requestId: 'order-77/a' })
  // The lead's own id stays the answer's.
  expect(given.headers.get('x-request-id')).toBe('req_stub')

  const { gateway: alone } = testGateway({}, [scriptedTask({ name: 'i', label: 'x', score: 1 })])
  const init = chatInit({}, { 'x-request-id': 'a b'.repeat(99), 'x-understudy-task': 'i' })
  const made = (await alone.request('/v1/chat/completions', init)).headers
  expect(made.get('x-request-id')).toMatch(/^req_\w{26}$/u)
  expect(made.get('x-understudy-request')).toBe(made.get('x-request-id'))
})

test('metrics count what was answered, by whom and why', async () => {
  const { gateway } = testGateway({ lead }, [scriptedTask({ name: 'i', label: 'x', score: 1 })])
  await (await gateway.request('/v1/chat/completions', chatInit({ model: 'gpt-4o-mini' }))).text()
  await (await gateway.request('/v1/chat/completions', chatInit({ stream: true }))).text()
  await gateway.request('/v1/chat/completions', chatInit({}, { 'x-understudy-task': 'i' }))
  await gateway.request('/v1/chat/completions', { method: 'POST', body: '{' })
  const response = await gateway.request('/metrics')
  expect(response.headers.get('content-type')).toContain('version=0.0.4')
  const text = await response.text()
  const route = 'route="/v1/chat/completions"'
  expect(text).toContain(`understudy_requests_total{${route},tier="lead",status="200"} 2\n`)
  expect(text).toContain(`understudy_requests_total{${route},tier="reflex",status="200"} 1\n`)
  expect(text).toContain(`understudy_requests_total{${route},tier="none",status="400"} 1\n`)
  expect(text).toContain('understudy_escalations_total{reason="no-specialist"} 2\n')
  expect(text).toContain('understudy_tokens_total{tier="lead",kind="prompt"} 9\n')
  expect(text).toMatch(/understudy_cost_usd_total\{model="gpt-4o-mini"\} \d/u)
  expect(text).toMatch(/understudy_saved_usd_total\{model="gpt-4o-mini-2024-07-18"\} \d/u)
  expect(text).toContain('understudy_requests_in_flight 0\n')
  expect(text).toContain('understudy_open_streams 0\n')
  expect(text).not.toContain(SECRET)
})

test('metrics and status are the operator’s where there are keys', async () => {
  const keys = [
    { key: 'operator-key', app: null },
    { key: 'app-key-of-shop', app: 'shop' },
  ]
  const { gateway } = testGateway({ keys })
  const ask = async (key?: string) =>
    (
      await gateway.request('/metrics', {
        headers: key === undefined ? {} : { authorization: `Bearer ${key}` },
      })
    ).status
  expect(await ask()).toBe(401)
  expect(await ask('app-key-of-shop')).toBe(403)
  expect(await ask('operator-key')).toBe(200)
})

test('a span per request follows the conventions, hangs under the caller’s, and holds no texts', async () => {
  const received: { headers: unknown; body: string }[] = []
  const collector: Server = createServer(async (request, response) => {
    const parts: Buffer[] = []
    for await (const part of request) parts.push(part as Buffer)
    received.push({ headers: request.headers, body: Buffer.concat(parts).toString() })
    response.end('{}')
  })
  await new Promise<void>(resolve => collector.listen(0, '127.0.0.1', resolve))
  const { port } = collector.address() as AddressInfo
  const target = otlpTarget({
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`,
    OTEL_SERVICE_NAME: 'desk',
  })
  if (target === null) throw new Error('no target')
  const spans = createSpanExporter(target, { post: postJson, log: () => {} })
  const { gateway } = testGateway({ lead, telemetry: { spans } })
  const traceId = '0af7651916cd43dd8448eb211c80319c'
  const headers = { traceparent: `00-${traceId}-b7ad6b7169203331-01` }
  const answer = await gateway.request(
    '/v1/chat/completions',
    chatInit({ stream: true, temperature: 0.5 }, headers),
  )
  await answer.text()
  const unsampled = { traceparent: `00-${traceId}-b7ad6b7169203331-00` }
  await gateway.request('/v1/chat/completions', chatInit({}, unsampled))
  await gateway.close()
  await new Promise(resolve => collector.close(resolve))

  expect(received).toHaveLength(1)
  const [{ body } = { body: '' }] = received
  expect(body).not.toContain(SECRET)
  const [group] = (JSON.parse(body) as { resourceSpans: Json[] }).resourceSpans
  expect(JSON.stringify(group?.resource)).toContain('"desk"')
  const [span] = (group?.scopeSpans as { spans: Json[] }[])[0]?.spans ?? []
  expect(span).toMatchObject({ traceId, parentSpanId: 'b7ad6b7169203331', kind: 2, status: {} })
  const values = Object.fromEntries(
    (span?.attributes as { key: string; value: Json }[]).map(({ key, value }) => [key, value]),
  )
  expect(span?.name).toBe('chat gpt-4o-mini')
  expect(values).toMatchObject({
    'gen_ai.operation.name': { stringValue: 'chat' },
    'gen_ai.request.model': { stringValue: 'gpt-4o-mini' },
    'gen_ai.request.temperature': { doubleValue: 0.5 },
    'gen_ai.response.id': { stringValue: 'chatcmpl-stub' },
    'gen_ai.response.finish_reasons': { arrayValue: { values: [{ stringValue: 'stop' }] } },
    'understudy.served_by': { stringValue: 'lead' },
    'understudy.decision': { stringValue: answer.headers.get('x-understudy-decision') },
    'http.response.status_code': { intValue: '200' },
  })
  // The lead's span hangs under ours.
  expect(stub.seen.at(-2)?.headers.traceparent).toBe(`00-${traceId}-${span?.spanId}-01`)
})

type Json = Record<string, unknown>

test('log lines name request, decision and failure, never what was asked', async () => {
  const lines: string[] = []
  const logger = createLogger({ write: line => lines.push(line), format: 'json', level: 'debug' })
  const { gateway } = testGateway({ lead, telemetry: { logger } })
  const fine = await gateway.request('/v1/chat/completions', chatInit())
  const refused = await gateway.request('/v1/chat/completions', { method: 'POST', body: '{' })
  const [first, second] = lines.map(line => JSON.parse(line) as Json)
  expect(first).toMatchObject({
    level: 'debug',
    status: 200,
    tier: 'lead',
    request: fine.headers.get('x-understudy-request'),
    decision: fine.headers.get('x-understudy-decision'),
  })
  expect(second).toMatchObject({
    level: 'info',
    status: 400,
    error: 'request-invalid',
    request: refused.headers.get('x-understudy-request'),
  })
  expect(lines.join('')).not.toContain(SECRET)
})

test('readyz names the part that is not ready', async () => {
  let isStageOpen = false
  const { gateway, workspace } = testGateway({ lead, isStageOpen: () => isStageOpen })
  const ready = async () => {
    const response = await gateway.request('/readyz')
    return { code: response.status, ...((await response.json()) as Json) }
  }
  expect(await ready()).toMatchObject({
    code: 503,
    status: 'starting',
    parts: { specialists: 'not open yet' },
  })
  isStageOpen = true
  expect(await ready()).toMatchObject({ code: 200, status: 'ready' })
  const well = workspace.health()
  workspace.health = () => ({ ...well, store: 'failing', error: 'the database is away' })
  expect(await ready()).toMatchObject({
    code: 200,
    status: 'degraded',
    parts: { store: 'failing', ledger: 'ok' },
    error: 'the database is away',
  })
  await gateway.close()
  expect(await ready()).toMatchObject({ code: 503, status: 'draining' })
})

test('beyond its limits the gateway sheds at once, with a time to come back, and recovers', async () => {
  let release: () => void = () => {}
  const held = new Promise<void>(resolve => {
    release = resolve
  })
  const slow: Lead = {
    name: 'slow',
    async send() {
      await held
      return {
        status: 200,
        headers: { 'content-type': 'application/json' },
        body: (async function* () {
          yield Buffer.from('{}')
        })(),
      }
    },
    close: async () => {},
  }
  const limits = { ...DEFAULT_LIMITS, maxConcurrent: 2, maxQueued: 1, queueTimeoutMs: 60_000 }
  const { gateway } = testGateway({ lead: slow, limits })
  const ask = (signal?: AbortSignal) =>
    gateway.request('/v1/chat/completions', { ...chatInit(), ...(signal && { signal }) })
  const first = [ask(), ask(), ask()]
  const shed = await ask()
  expect(shed.status).toBe(503)
  expect(shed.headers.get('retry-after')).toBe('1')
  expect(((await shed.json()) as { error: Json }).error.code).toBe('overloaded')
  expect(await (await gateway.request('/healthz')).text()).toBe('ok\n')
  const metrics = await (await gateway.request('/metrics')).text()
  expect(metrics).toContain('understudy_requests_in_flight 2\n')
  expect(metrics).toContain('understudy_requests_queued 1\n')
  expect(metrics).toContain('understudy_shed_total 1\n')
  release()
  expect((await Promise.all(first)).map(({ status }) => status)).toEqual([200, 200, 200])
  expect((await ask()).status).toBe(200)
})

test('who waits too long for a turn is answered, and who leaves the line makes room', async () => {
  const never: Lead = {
    name: 'never',
    send: ({ signal }) =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('left')))),
    close: async () => {},
  }
  const limits = { ...DEFAULT_LIMITS, maxConcurrent: 1, maxQueued: 1, queueTimeoutMs: 30 }
  const { gateway } = testGateway({ lead: never, limits })
  const stop = new AbortController()
  const ask = (signal?: AbortSignal) =>
    gateway.request('/v1/chat/completions', { ...chatInit(), ...(signal && { signal }) })
  const holding = ask(stop.signal)
  const waited = await ask()
  expect(waited.status).toBe(503)
  const leaving = new AbortController()
  const left = ask(leaving.signal)
  leaving.abort()
  expect((await left).status).toBe(499)
  stop.abort()
  await holding
  const metrics = await (await gateway.request('/metrics')).text()
  expect(metrics).toContain('understudy_requests_in_flight 0\n')
  expect(metrics).toContain('understudy_requests_queued 0\n')
})
