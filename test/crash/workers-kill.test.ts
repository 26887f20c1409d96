/**
 * `understudy up --workers 2`: workers are killed under load, again and again. Whatever reached a caller whole is in the
 * ledger, the ledger verifies, others answer meanwhile, and dead workers are replaced.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFile, mkdtemp, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { listWriters, START, scanFolder, verifyLedger } from '../../src/ledger/index.ts'
import { createRng } from '../../src/util/index.ts'
import { openStubLead, type StubLead } from '../gateway/stub-lead.ts'

const BIN = fileURLToPath(new URL('../../bin/understudy.js', import.meta.url))
const KILLS = 4
const CALLERS = 6
const rng = createRng('workers-kill')

/** A copy of Node, which a test may take away. */
let node: string
let root: string
let stub: StubLead
let child: ChildProcess
let address: string
const log: string[] = []

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'understudy-workers-'))
  stub = await openStubLead()
  const args = ['up', '--data', join(root, 'data'), '--port', '0', '--workers', '2']
  node = join(root, 'node')
  await copyFile(process.execPath, node)
  child = spawn(node, [BIN, ...args, '--lead', stub.url], {
    env: { ...process.env, XDG_CONFIG_HOME: join(root, 'config'), UNDERSTUDY_OFFLINE: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  child.stderr?.setEncoding('utf8').on('data', text => log.push(text))
  const [text] = await once(child.stdout as NodeJS.ReadableStream, 'data')
  address = String(/http:\/\/[\d.:]+/.exec(String(text))?.[0])
}, 60_000)
afterAll(async () => {
  child.kill('SIGKILL')
  await stub.close()
  await rm(root, { recursive: true, force: true })
})

/** Ids of the worker processes, by their parent. */
function workerPids(): readonly number[] {
  const rows = execFileSync('ps', ['-A', '-o', 'pid=,ppid=,args='], { encoding: 'utf8' })
  return rows.split('\n').flatMap(row => {
    const [, pid, parent, args = ''] = /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(row) ?? []
    return Number(parent) === child.pid && args.includes('worker-process') ? [Number(pid)] : []
  })
}

/** The decision id of an answer that arrived whole; null where the connection broke or the gateway said no. */
async function ask(isStream: boolean): Promise<string | null> {
  const messages = [{ role: 'user', content: `question ${rng.int(1000)}` }]
  try {
    const response = await fetch(`${address}/v1/chat/completions`, {
      method: 'POST',
      signal: AbortSignal.timeout(30_000),
      body: JSON.stringify({ model: 'm', messages, ...(isStream ? { stream: true } : {}) }),
    })
    const text = await response.text()
    const isWhole = response.status === 200 && (!isStream || text.includes('data: [DONE]'))
    return isWhole ? response.headers.get('x-understudy-decision') : null
  } catch (error) {
    // A connection may break; what nobody answers would be a hole.
    if ((error as Error).name === 'TimeoutError') throw error
    return null
  }
}

/** Requests that the metrics know of, over all workers; asked again while nobody listens. */
async function counted(): Promise<number> {
  const url = `${address}/metrics`
  const read = () => fetch(url).then(response => response.text())
  let text = await read().catch(() => null)
  for (; text === null; text = await read().catch(() => null)) await sleep(50)
  const values = [...text.matchAll(/^understudy_requests_total\{[^}]*\} (\d+)$/gmu)]
  return values.reduce((sum, [, value]) => sum + Number(value), 0)
}

test('no answer that a caller got whole is lost when workers are killed, and others take over', async () => {
  expect(workerPids()).toHaveLength(2)
  const complete: string[] = []
  let isOver = false
  const callers = Array.from({ length: CALLERS }, async () => {
    while (!isOver) {
      const id = await ask(rng.int(2) === 0)
      if (id !== null) complete.push(id)
    }
  })
  for (let kill = 0; kill < KILLS; kill++) {
    await sleep(200 + rng.int(300))
    const [before, countedBefore] = [complete.length, await counted()]
    const victim = rng.pick([...workerPids()])
    process.kill(victim, 'SIGKILL')
    await expect.poll(() => complete.length, { timeout: 60_000 }).toBeGreaterThan(before + 5)
    await expect
      .poll(() => workerPids().filter(pid => pid !== victim).length, { timeout: 40_000 })
      .toBe(2)
    // What a dead worker counted goes on counting: a counter that falls looks like a restart.
    expect(await counted()).toBeGreaterThanOrEqual(countedBefore)
  }
  isOver = true
  await Promise.all(callers)
  expect(log.filter(line => /Worker \d+ ended \(SIGKILL\)/.test(line)).length).toBe(KILLS)

  // A worker counts once it answers.
  const status = async () =>
    (await (await fetch(`${address}/understudy/v1/status`)).json()) as {
      workers: number
      requests: { lead: number }
    }
  await expect.poll(async () => (await status()).workers, { timeout: 30_000 }).toBe(2)
  expect(await ask(false)).not.toBeNull()
  expect((await status()).requests.lead).toBeGreaterThan(0)
  const metrics = await (await fetch(`${address}/metrics`)).text()
  expect(metrics).toMatch(/process_resident_memory_bytes\{worker="0"\}/)
  expect(metrics).toMatch(/process_resident_memory_bytes\{worker="1"\}/)
  expect(metrics).toMatch(/process_resident_memory_bytes\{worker="2"\}/)
  const last = complete.at(-1)
  const found = (await (await fetch(`${address}/understudy/v1/decisions/${last}`)).json()) as object
  expect(found).toMatchObject({ id: last, isComplete: true })

  // A process that the system cannot start costs neither the owner nor the other worker.
  await rename(node, `${node}.away`)
  process.kill(rng.pick([...workerPids()]), 'SIGKILL')
  await expect.poll(() => log.join(''), { timeout: 20_000 }).toMatch(/Worker \d failed: .*ENOENT/u)
  expect(await ask(false)).not.toBeNull()
  await rename(`${node}.away`, node)
  await expect.poll(workerPids, { timeout: 60_000 }).toHaveLength(2)

  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  expect(await exited).toEqual([0, null])
  expect(workerPids()).toEqual([])
  expect(await verifyLedger(join(root, 'data', 'ledger'))).toMatchObject({ ok: true })
  const recorded = new Set<unknown>()
  for (const { path, writer } of await listWriters(join(root, 'data', 'ledger'))) {
    for await (const item of scanFolder(path, writer, START)) {
      if (item.type !== 'record' || item.record.kind !== 'trace') continue
      recorded.add((item.record.payload as { id: string }).id)
    }
  }
  expect(new Set(complete).size).toBe(complete.length)
  expect(complete.filter(id => !recorded.has(id))).toEqual([])
}, 240_000)
