/** Keys, ports, the gateway's own API, and jobs. */
import { expect, test } from 'vitest'
import { UnderstudyError } from '../../src/errors.ts'
import type { JobRunner } from '../../src/gateway/index.ts'
import { createSseParser } from '../../src/wire/index.ts'
import { chatInit, scriptedTask, testGateway } from './scripted.ts'
import { stubbedLead } from './stubbed-lead.ts'

const CHAT = '/v1/chat/completions'
const { stub, lead } = await stubbedLead()

test('with keys, every path but health asks for one, and it never reaches the lead', async () => {
  const keys = [
    { key: 'key-of-desk', app: 'desk' },
    { key: 'key-of-all', app: null },
  ]
  const { gateway, workspace } = testGateway({ lead, keys })
  for (const path of ['/v1/models', '/understudy/v1/status', '/v1/files']) {
    const refused = await gateway.request(path)
    expect(refused.status).toBe(401)
    expect(await refused.json()).toMatchObject({ error: { code: 'key_invalid' } })
    for (const wrong of ['Bearer key-of-des', 'Bearer', 'key-of-desk', 'Basic key-of-desk']) {
      const request = gateway.request(path, { headers: { authorization: wrong } })
      expect((await request).status).toBe(401)
    }
  }
  expect((await gateway.request(CHAT, chatInit())).status).toBe(401)
  expect((await gateway.request('/healthz')).status).toBe(200)
  const app = { 'x-understudy-app': 'other' }
  await gateway.request(CHAT, chatInit({}, { authorization: 'Bearer key-of-desk', ...app }))
  await gateway.request(CHAT, chatInit({}, { authorization: 'bearer key-of-all', ...app }))
  expect(workspace.traces.map(trace => trace.app)).toEqual(['desk', 'other'])
  expect(stub.seen.at(-1)?.headers.authorization).toBeUndefined()
  await gateway.request('/v1/files', { headers: { authorization: 'Bearer key-of-all' } })
  expect(stub.seen.at(-1)).toMatchObject({ path: '/v1/files' })
  expect(stub.seen.at(-1)?.headers.authorization).toBeUndefined()
})

test('beyond loopback the gateway refuses to listen without a key', async () => {
  const open = testGateway().gateway
  await expect(open.listen({ host: '0.0.0.0', port: 0 })).rejects.toMatchObject({
    code: 'usage-invalid',
    help: expect.stringContaining('UNDERSTUDY_KEY'),
  })
  const { gateway } = testGateway({ keys: [{ key: 'k', app: null }] })
  const listening = await gateway.listen({ host: '0.0.0.0', port: 0 })
  const { port } = new URL(listening.address)
  const response = await fetch(`http://127.0.0.1:${port}/understudy/v1/status`, {
    headers: { authorization: 'Bearer k', origin: 'https://console.example' },
  })
  expect(response.status).toBe(200)
  await listening.close()
})

test('a taken or impossible port is said plainly', async () => {
  const { gateway } = testGateway()
  const first = await gateway.listen({ port: 0 })
  const port = Number(new URL(first.address).port)
  await expect(gateway.listen({ port })).rejects.toMatchObject({ code: 'usage-invalid' })
  await expect(gateway.listen({ port: 70_000 })).rejects.toMatchObject({ code: 'usage-invalid' })
  await first.close()
})

test('closing lets an answer under way finish, and cuts what outlasts the grace', async () => {
  const { gateway, workspace } = testGateway({ lead })
  const listening = await gateway.listen({ port: 0 })
  const stuck = await fetch(
    listening.address + CHAT,
    chatInit({ model: 'hangs-in-body', stream: true }),
  )
  const whole = await fetch(listening.address + CHAT, chatInit({ stream: true }))
  const closing = listening.close({ graceMs: 300 })
  expect(await whole.text()).toContain('[DONE]')
  await closing
  await expect(stuck.text()).rejects.toThrow()
  await expect(fetch(listening.address)).rejects.toThrow()
  await gateway.close()
  await expect.poll(() => workspace.traces.length).toBe(2)
})

test('status tells of upstreams and cache what all workers together see', async () => {
  const worker = (breaker: 'open' | 'closed', count: number) => ({
    families: [],
    counts: { lead: 0, slm: 0, encoder: 0, reflex: 0, cache: 0, failed: 0 },
    unrecordedCount: 0,
    health: { ...testGateway({}).workspace.health(), spend: count > 1 ? 'late' : 'ok' } as const,
    upstreams: [
      {
        name: 'main',
        isHealthy: breaker === 'closed',
        breaker,
        activeCount: count,
        tryCount: 10 * count,
        failureCount: count,
      },
    ],
    cache: { hits: count, misses: 1, bytes: 100 },
  })
  const peers = async () => [worker('open', 1), worker('closed', 2)]
  const { gateway } = testGateway({ lead, peers })
  expect(await (await gateway.request('/understudy/v1/status')).json()).toMatchObject({
    workers: 2,
    upstreams: [
      {
        name: 'main',
        isHealthy: false,
        breaker: 'open',
        activeCount: 3,
        tryCount: 30,
        failureCount: 3,
      },
    ],
    cache: { hits: 3, misses: 2, bytes: 200 },
    health: { ledger: 'ok', spend: 'late' },
  })
})

test('status tells who serves and how often', async () => {
  const { gateway } = testGateway({ lead }, [
    scriptedTask({ name: 'intent', label: 'x', score: 1 }),
  ])
  await gateway.request(CHAT, chatInit({}, { 'x-understudy-task': 'intent' }))
  await gateway.request(CHAT, chatInit())
  expect(await (await gateway.request('/understudy/v1/status')).json()).toMatchObject({
    lead: stub.url,
    health: { ledger: 'ok', store: 'ok', spend: 'ok' },
    requests: { lead: 1, reflex: 1, encoder: 0, slm: 0, failed: 0 },
    live: [{ name: 'intent', tier: 'reflex', certificate: 'cert_1', threshold: 0.5 }],
  })
})

test.each([
  '/understudy/v1/decisions/dec_nope',
  '/understudy/v1/certificates/cert_nope',
  '/understudy/v1/specialists/nope',
  '/understudy/v1/tasks/nope',
  '/understudy/v1/jobs/job_nope',
  '/understudy/v1/jobs/job_nope/events',
  '/understudy/v1/nope',
  '/nope',
])('%s is a 404 in the shape of the API', async path => {
  const response = await testGateway().gateway.request(path)
  expect(response.status).toBe(404)
  expect(await response.json()).toMatchObject({ error: { code: 'not_found' } })
})

interface Started {
  readonly id: string
}

async function start(
  gateway: ReturnType<typeof testGateway>['gateway'],
  body: unknown,
): Promise<Response> {
  return gateway.request('/understudy/v1/jobs', { method: 'POST', body: JSON.stringify(body) })
}

async function eventsOf(response: Response): Promise<(readonly [string, unknown])[]> {
  const parser = createSseParser()
  const bytes = new Uint8Array(await response.arrayBuffer())
  return [...parser.push(bytes), ...parser.end()].map(
    ({ event, data }) => [event, JSON.parse(data)] as const,
  )
}

test('a job runs, is followed to its end, and is read afterwards', async () => {
  let go = (): void => {}
  const gate = new Promise<void>(resolve => {
    go = resolve
  })
  const count: JobRunner = async (params, { onEvent }) => {
    onEvent({ done: 1 })
    await gate
    onEvent({ done: 2 })
    return { params }
  }
  const { gateway } = testGateway({ jobs: { count } })
  const started = await start(gateway, { kind: 'count', params: { n: 2 } })
  expect(started.status).toBe(202)
  const { id } = (await started.json()) as Started
  const following = await gateway.request(`/understudy/v1/jobs/${id}/events`)
  go()
  expect(await eventsOf(following)).toEqual([
    ['progress', { done: 1 }],
    ['progress', { done: 2 }],
    ['done', { params: { n: 2 } }],
  ])
  const late = await gateway.request(`/understudy/v1/jobs/${id}/events`)
  expect(await eventsOf(late)).toEqual([['done', { params: { n: 2 } }]])
  expect(await (await gateway.request(`/understudy/v1/jobs/${id}`)).json()).toMatchObject({
    id,
    kind: 'count',
    state: 'done',
    result: { params: { n: 2 } },
    error: null,
  })
})

test('a job that fails says why; one that is cancelled stops; closing stops the rest', async () => {
  const untilAborted: JobRunner = (_params, { signal }) =>
    new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => reject(new Error('aborted')))
    })
  const fails: JobRunner = async () => {
    throw new UnderstudyError('file-unreadable', 'No such file.', { help: 'Name another.' })
  }
  const { gateway } = testGateway({ jobs: { untilAborted, fails } })
  const failed = (await (await start(gateway, { kind: 'fails' })).json()) as Started
  const failure = await gateway.request(`/understudy/v1/jobs/${failed.id}/events`)
  expect(await eventsOf(failure)).toMatchObject([
    ['failed', { code: 'file_unreadable', message: 'No such file. Name another.' }],
  ])
  const running = (await (await start(gateway, { kind: 'untilAborted' })).json()) as Started
  const following = gateway.request(`/understudy/v1/jobs/${running.id}/events`)
  await gateway.request(`/understudy/v1/jobs/${running.id}`, { method: 'DELETE' })
  expect(await eventsOf(await following)).toMatchObject([['failed', { code: 'cancelled' }]])
  const left = (await (await start(gateway, { kind: 'untilAborted' })).json()) as Started
  await gateway.close()
  const view = await gateway.request(`/understudy/v1/jobs/${left.id}`)
  expect(await view.json()).toMatchObject({ state: 'cancelled' })
})

test.each([
  [{ kind: 'nope' }, 'kind'],
  [{ kind: 'constructor' }, 'kind'],
  [{ kind: 7 }, 'kind'],
  [[], 'kind'],
])('the job %j is refused', async (body, param) => {
  const response = await start(testGateway().gateway, body)
  expect(response.status).toBe(400)
  expect(await response.json()).toHaveProperty('error.param', param)
})
