/** `understudy up` is killed while keys spend money: what was answered whole is counted at the next start, and SIGHUP reloads. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { chatInit } from '../gateway/scripted.ts'
import { openStubLead, type StubLead } from '../gateway/stub-lead.ts'

const BIN = fileURLToPath(new URL('../../bin/understudy.js', import.meta.url))
const CALLERS = 4
const ROUNDS = 2
/** What the stub reports, at a dollar a token. */
const USD_PER_ANSWER = 12

let dir: string
let stub: StubLead
const children = new Set<ChildProcess>()

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'budget-kill-'))
  stub = await openStubLead()
})
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL')
  await stub.close()
  await rm(dir, { recursive: true, force: true })
})

const configuration = (usd: number): string => `
lead: ${stub.url}
keys:
  - {key: "\${OPS_KEY}", name: ops}
  - {key: "\${DESK_KEY}", app: desk, budget: {usd: ${usd}, per: total}}
prices:
  gpt-4o-mini-2024: {input: 1000000, output: 1000000}
`

async function start(): Promise<{ child: ChildProcess; address: string; said: () => string }> {
  const env = { ...process.env, OPS_KEY: 'secret-ops', DESK_KEY: 'secret-desk', HOME: dir }
  const child = spawn(process.execPath, [BIN, 'up', '--data', dir, '--port', '0'], {
    env: { ...env, XDG_CONFIG_HOME: dir },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  children.add(child)
  let text = ''
  let errors = ''
  child.stderr?.on('data', part => {
    errors += part
  })
  for await (const part of child.stdout ?? []) {
    text += part
    const found = /listens on (\S+)/u.exec(text)
    if (found !== null) return { child, address: String(found[1]), said: () => errors }
  }
  throw new Error(`it did not start: ${errors}`)
}

async function kill(child: ChildProcess): Promise<void> {
  const gone = once(child, 'exit')
  child.kill('SIGKILL')
  await gone
  children.delete(child)
}

async function usage(address: string): Promise<{ requestCount: number; usd: number }> {
  const headers = { authorization: 'Bearer secret-ops' }
  const response = await fetch(`${address}/understudy/v1/keys`, { headers })
  const { data } = (await response.json()) as {
    data: { name: string; usage: { total: { requestCount: number; usd: number } } }[]
  }
  return data.find(({ name }) => name === 'desk')?.usage.total ?? { requestCount: 0, usd: 0 }
}

const ask = (address: string, stream: boolean): Promise<Response> =>
  fetch(
    `${address}/v1/chat/completions`,
    chatInit(
      { stream, ...(stream ? { stream_options: { include_usage: true } } : {}) },
      { authorization: 'Bearer secret-desk' },
    ),
  )

test('what was answered whole is counted, whenever the process is killed; a spent budget stays spent', async () => {
  await writeFile(join(dir, 'understudy.yaml'), configuration(1e6))
  let answered = 0
  for (let round = 0; round < ROUNDS; round++) {
    const { child, address } = await start()
    const before = await usage(address)
    expect(before.usd).toBeGreaterThanOrEqual(answered * USD_PER_ANSWER)
    // Killed under way, each caller may have one answer counted that did not arrive.
    expect(before.usd).toBeLessThanOrEqual((answered + round * CALLERS) * USD_PER_ANSWER)
    let isOver = false
    const callers = Array.from({ length: CALLERS }, async (_, i) => {
      while (!isOver) {
        const response = await ask(address, i % 2 === 0).catch(() => null)
        const text = await response?.text().catch(() => null)
        if (response?.status !== 200 || !text) return
        answered++
      }
    })
    const enough = answered + 40
    await expect.poll(() => answered, { timeout: 20_000 }).toBeGreaterThan(enough)
    await kill(child)
    isOver = true
    await Promise.all(callers)
  }
  await writeFile(join(dir, 'understudy.yaml'), configuration(10))
  const { child, address } = await start()
  expect((await usage(address)).usd).toBeGreaterThanOrEqual(answered * USD_PER_ANSWER)
  expect((await ask(address, false)).status).toBe(429)
  await kill(child)
}, 120_000)

test('SIGHUP reads the configuration again, and a wrong file leaves the old one in force', async () => {
  await writeFile(join(dir, 'understudy.yaml'), configuration(10))
  const { child, address, said } = await start()
  expect((await ask(address, false)).status).toBe(429)
  await writeFile(join(dir, 'understudy.yaml'), 'keys: {')
  child.kill('SIGHUP')
  await expect.poll(said, { timeout: 20_000 }).toContain('stays as it was')
  expect((await ask(address, false)).status).toBe(429)
  await writeFile(join(dir, 'understudy.yaml'), configuration(1e6))
  child.kill('SIGHUP')
  await expect.poll(async () => (await ask(address, false)).status, { timeout: 20_000 }).toBe(200)
  expect(said()).not.toMatch(/secret-/u)
  await kill(child)
}, 120_000)
