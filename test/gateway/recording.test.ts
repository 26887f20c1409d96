/** Recording never blocks: disk full, slow or failing, database away. Requests are served, and the state can be seen. */
import { appendFile, mkdtemp, rm } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createAccess, createKeys, openSpend } from '../../src/access/index.ts'
import { keyRules } from '../../src/config/index.ts'
import { DEFAULT_LIMITS, type Gateway } from '../../src/gateway/index.ts'
import { type Durability, verifyLedger } from '../../src/ledger/index.ts'
import { systemClock } from '../../src/util/index.ts'
import {
  type OpenWorkspaceOptions,
  type OwnedWorkspace,
  openWorkspace,
} from '../../src/workspace/index.ts'
import { chatInit, scriptedTask, testGateway } from './scripted.ts'
import { stubbedLead } from './stubbed-lead.ts'

const { lead } = await stubbedLead()

let dataDir: string
let workspace: OwnedWorkspace | null
let faults: Faults
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'understudy-recording-'))
  workspace = null
  faults = faultyDisk()
})
afterEach(async () => {
  faults.release()
  await workspace?.close()
  await rm(dataDir, { recursive: true, force: true })
})

type Io = NonNullable<OpenWorkspaceOptions['ledgerIo']>
interface Faults {
  readonly io: Io
  isFull: boolean
  /** Writes, or syncs, take until `release`. */
  hangs: 'write' | 'sync' | null
  syncFails: boolean
  release(): void
}

/** The system calls of a disk that misbehaves on demand. */
function faultyDisk(): Faults {
  let release = (): void => {}
  const faults: Faults = {
    isFull: false,
    hangs: null,
    syncFails: false,
    release() {
      faults.hangs = null
      release()
    },
    io: {
      async write(handle, bytes, position) {
        if (faults.hangs === 'write') await hanging()
        if (faults.isFull)
          throw Object.assign(new Error('ENOSPC: no space left'), { code: 'ENOSPC' })
        return (await handle.write(bytes, 0, bytes.length, position)).bytesWritten
      },
      truncate: (handle, length) => handle.truncate(length),
      async sync(handle) {
        if (faults.hangs === 'sync') await hanging()
        if (faults.syncFails) throw new Error('EIO: i/o error')
        await handle.datasync()
      },
    },
  }
  const hanging = (): Promise<void> =>
    new Promise(resolve => {
      const before = release
      release = () => {
        before()
        resolve()
      }
    })
  return faults
}

interface Opened {
  readonly gateway: Gateway
  readonly logged: string[]
}

/** A gateway whose specialist answers, over a real data folder on that disk. */
async function open(
  options: Partial<OpenWorkspaceOptions> = {},
  durability: Durability = 'group',
): Promise<Opened> {
  workspace = await openWorkspace({
    dataDir,
    describe: () => ({
      model: null,
      promptTokens: null,
      completionTokens: null,
      task: null,
      inputHash: null,
      isIndependent: false,
    }),
    durability,
    signingKeyPath: join(dataDir, 'key.pem'),
    ledgerIo: faults.io,
    ...options,
  })
  const limits = { ...DEFAULT_LIMITS, recordTimeoutMs: 100 }
  return testGateway({ workspace, limits }, [scriptedTask({ name: 'i', label: 'x', score: 1 })])
}

async function ask({ gateway }: Opened, body: Record<string, unknown> = {}) {
  const init = chatInit(body, { 'x-understudy-task': 'i' })
  const response = await gateway.request('/v1/chat/completions', init)
  const text = await response.text()
  return {
    status: response.status,
    text,
    decision: response.headers.get('x-understudy-decision'),
    recording: response.headers.get('x-understudy-recording'),
  }
}

async function shown({ gateway }: Opened) {
  const ready = await gateway.request('/readyz')
  return {
    code: ready.status,
    ready: (await ready.json()) as { status: string; parts: Record<string, string>; error: string },
    metrics: await (await gateway.request('/metrics')).text(),
  }
}

test('a full disk costs records, not answers, and is seen everywhere', async () => {
  const opened = await open()
  const before = await ask(opened)
  expect(before).toMatchObject({ status: 200, recording: null })
  expect(before.decision).toMatch(/^dec_/)

  faults.isFull = true
  for (const body of [{}, { stream: true }]) {
    const answer = await ask(opened, body)
    expect(answer).toMatchObject({ status: 200, decision: null, recording: 'unavailable' })
    expect(answer.text).toContain('x')
  }
  const { code, ready, metrics } = await shown(opened)
  expect(code).toBe(200)
  expect(ready).toMatchObject({ status: 'degraded', parts: { ledger: 'failing' } })
  expect(ready.error).toContain('ENOSPC')
  expect(metrics).toContain('understudy_ledger_up{worker="0"} 0\n')
  expect(metrics).toContain('understudy_unrecorded_answers 2\n')
  expect(opened.logged.filter(line => line.includes('ENOSPC'))).toHaveLength(1)

  faults.isFull = false
  const after = await ask(opened)
  expect(after).toMatchObject({ status: 200, recording: null })
  expect((await shown(opened)).ready.parts.ledger).toBe('ok')
  expect(opened.logged.at(-1)).toBe('Answers are recorded again.')
  for (const id of [before.decision, after.decision]) {
    expect((await opened.gateway.request(`/understudy/v1/decisions/${id}`)).status).toBe(200)
  }
  await workspace?.close()
  workspace = null
  expect(await verifyLedger(join(dataDir, 'ledger'))).toMatchObject({ ok: true })
})

test('a disk that hangs holds answers up once, for a bounded time, and its records follow', async () => {
  const opened = await open()
  await ask(opened)
  faults.hangs = 'write'
  const first = await ask(opened)
  expect(first).toMatchObject({ status: 200, decision: null, recording: 'unavailable' })
  // Who comes now is not held up at all: with a wait each, 200 would take 20 s.
  const rest = await Promise.all(Array.from({ length: 200 }, () => ask(opened)))
  expect(rest.every(({ status, decision }) => status === 200 && decision === null)).toBe(true)
  const { ready, metrics } = await shown(opened)
  expect(ready).toMatchObject({ status: 'degraded', parts: { ledger: 'late' } })
  expect(metrics).toContain('understudy_unrecorded_answers 201\n')
  expect(metrics).toMatch(/understudy_ledger_queue_bytes [1-9]/)

  faults.release()
  await opened.gateway.close()
  expect(workspace?.health()).toMatchObject({ ledger: 'ok', queuedBytes: 0 })
  await workspace?.close()
  workspace = null
  const report = await verifyLedger(join(dataDir, 'ledger'))
  expect(report).toMatchObject({ ok: true })
  expect(JSON.stringify(report)).toMatch(/20[2-9]/)
})

test('a file of what keys used that hangs holds no answer up for long, and is whole afterwards', async () => {
  const dir = join(dataDir, 'spend')
  let isHanging = false
  let release = (): void => {}
  const released = new Promise<void>(resolve => {
    release = resolve
  })
  const clock = systemClock
  const spend = await openSpend(dir, {
    log: () => {},
    timeoutMs: 100,
    async append(path, text) {
      if (isHanging) await released
      await appendFile(path, text)
    },
  })
  const key = { ...keyRules({ role: 'operator' }), key: 'secret', name: 'desk' }
  const keys = createKeys([], [key], clock, async () => {})
  const access = createAccess({ keys, spend, prices: {}, clock })
  const { gateway } = testGateway({ lead, access }, [
    scriptedTask({ name: 'i', label: 'x', score: 1 }),
  ])
  const askBy = async (path: string, headers: Record<string, string> = {}, body = {}) => {
    const init = chatInit(body, { authorization: 'Bearer secret', ...headers })
    const response = await gateway.request(path, init)
    await response.text()
    return response.status
  }
  /** The lead's answer, plain and streamed; a specialist's; and what passes through. */
  const askAll = () =>
    Promise.all([
      askBy('/v1/chat/completions'),
      askBy('/v1/chat/completions', {}, { stream: true }),
      askBy('/v1/chat/completions', { 'x-understudy-task': 'i' }),
      askBy('/v1/moderations'),
    ])
  const ready = async () => (await gateway.request('/readyz')).json()
  expect(await askAll()).toEqual([200, 200, 200, 200])
  expect(await ready()).toMatchObject({ status: 'ready', parts: { spend: 'ok' } })

  isHanging = true
  expect(await askAll()).toEqual([200, 200, 200, 200])
  const startMs = performance.now()
  for (let i = 0; i < 20; i++) expect(await askBy('/v1/moderations')).toBe(200)
  // With a wait each it would be 2 s.
  expect(performance.now() - startMs).toBeLessThan(1_500)
  expect(await ready()).toMatchObject({
    status: 'degraded',
    parts: { spend: 'late', ledger: 'ok' },
  })
  const told = await gateway.request('/metrics', { headers: { authorization: 'Bearer secret' } })
  expect(await told.text()).toContain('understudy_key_usage_up{worker="0"} 0\n')

  release()
  await gateway.close()
  await access.close()
  expect(await ready()).toMatchObject({ parts: { spend: 'ok' } })
  const after = await openSpend(dir, { log: () => {}, timeoutMs: 100 })
  expect(after.since('config_desk', '')).toEqual(access.usageOf(keys.find('secret')).total)
  expect(after.since('config_desk', '').requestCount).toBe(28)
})

test.each([
  // The kernel has the record: what `group` promises before the answer ends.
  ['group', true],
  // Nothing is promised that is not on the disk.
  ['sync', false],
] as const)('while syncs hang, durability %s gives a decision id: %s', async (durability, has) => {
  const opened = await open({}, durability)
  faults.hangs = 'sync'
  const { status, decision } = await ask(opened)
  expect(status).toBe(200)
  expect(decision !== null).toBe(has)
})

test('durability sync promises nothing where a sync fails; group says afterwards that it failed', async () => {
  const strict = await open({}, 'sync')
  faults.syncFails = true
  expect(await ask(strict)).toMatchObject({ status: 200, decision: null, recording: 'unavailable' })
  faults.syncFails = false
  expect((await ask(strict)).decision).not.toBeNull()
  await workspace?.close()

  const grouped = await open({}, 'group')
  faults.syncFails = true
  expect((await ask(grouped)).decision).not.toBeNull()
  await expect.poll(async () => (await shown(grouped)).ready.parts.ledger).toBe('failing')
  faults.syncFails = false
})

/** Accepts connections and never says a word, like a server that was stopped. */
async function silentServer() {
  const server = createServer(() => {})
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return server
}

test.each([
  'refuses',
  'is silent',
])('a database that %s delays the projection, not the answers', async how => {
  const server = await silentServer()
  const { port } = server.address() as AddressInfo
  if (how === 'refuses') await new Promise(resolve => server.close(resolve))
  const opened = await open({ databaseUrl: `postgres://u:p@127.0.0.1:${port}/x` })
  const answers = await Promise.all(Array.from({ length: 20 }, () => ask(opened)))
  expect(answers.every(({ status, decision }) => status === 200 && decision !== null)).toBe(true)
  await expect
    .poll(async () => (await shown(opened)).ready.parts.store, { timeout: 20_000 })
    .toBe('failing')
  const { code, ready, metrics } = await shown(opened)
  expect(code).toBe(200)
  expect(ready).toMatchObject({ status: 'degraded', parts: { ledger: 'ok' } })
  expect(metrics).toContain('understudy_store_up{worker="0"} 0\n')
  expect(metrics).toMatch(/understudy_projection_lag_records 2\d\n/)
  const late = await ask(opened)
  expect(late).toMatchObject({ status: 200, recording: 'delayed' })
  // What this process wrote can be read without the database.
  const path = `/understudy/v1/decisions/${late.decision}`
  expect((await opened.gateway.request(path)).status).toBe(200)
  server.close()
}, 40_000)
