/**
 * `understudy up` is killed twenty times while it replays traffic under load: whatever reached a caller whole is in the
 * ledger, the ledger verifies, and the next start knows it.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { listWriters, START, scanFolder, verifyLedger } from '../../src/ledger/index.ts'
import { createRng } from '../../src/util/index.ts'

const BIN = fileURLToPath(new URL('../../bin/understudy.js', import.meta.url))
const ROUNDS = 20
const CALLERS = 8
const TEAMS = ['cards', 'loans', 'fraud']
/** One seed for everything random here. */
const rng = createRng('replay-kill')

let root: string
let dataDir: string
let recording: string
let env: NodeJS.ProcessEnv
let requests: readonly Json[]

type Json = Record<string, unknown>

const chat = (system: string, user: string): Json => ({
  model: 'lead-large',
  messages: [
    { role: 'system', content: system },
    { role: 'user', content: user },
  ],
})

function line(request: Json, content: string, i: number): string {
  const choice = { index: 0, message: { role: 'assistant', content }, finish_reason: 'stop' }
  const usage = { prompt_tokens: 20, completion_tokens: 5, total_tokens: 25 }
  const head = { id: `chatcmpl-${i}`, object: 'chat.completion', created: 1, model: 'lead-large' }
  const response = { ...head, choices: [choice], usage }
  return `${JSON.stringify({ id: `line-${i}`, request, response, latency_ms: 4 })}\n`
}

/** Three kinds: plain labels that a reflex learns, unclear ones that it sends on, free text that nothing is learned from. */
function traffic(): { request: Json; content: string }[] {
  const fillers = 'please hello today again quickly thanks morning question kindly maybe'.split(' ')
  const words = (count: number) => Array.from({ length: count }, () => rng.pick(fillers))
  const labels = Array.from({ length: 800 }, (_, i) => {
    const team = rng.pick(TEAMS)
    const hint = rng.int(8) > 0 ? `about ${team}` : 'something unclear'
    const text = `${words(6).join(' ')} ${hint} number ${i}`
    return { request: chat('Which team handles this? One word.', text), content: team }
  })
  const letters = Array.from({ length: 400 }, (_, i) => ({
    request: chat('Write a short letter.', `${words(5).join(' ')} letter ${i}`),
    content: words(12).join(' '),
  }))
  return [...labels, ...letters]
}

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'understudy-kill-'))
  dataDir = join(root, 'data')
  recording = join(root, 'traffic.jsonl')
  env = {
    ...process.env,
    XDG_CONFIG_HOME: join(root, 'config'),
    UNDERSTUDY_MODELS: join(root, 'models'),
    UNDERSTUDY_OFFLINE: '1',
  }
  const lines = traffic()
  requests = lines.map(({ request }) => request)
  await writeFile(
    recording,
    lines.map(({ request, content }, i) => line(request, content, i)).join(''),
  )
  const args = [BIN, 'learn', recording, '--data', dataDir, '--target-risk', '0.1', '--promote']
  await promisify(execFile)(process.execPath, args, { env, maxBuffer: 1e8 })
}, 120_000)
afterAll(() => rm(root, { recursive: true, force: true }))

interface Running {
  readonly child: ChildProcess
  readonly address: string
  readonly readyMs: number
}

async function start(): Promise<Running> {
  const startMs = performance.now()
  const args = [BIN, 'up', '--data', dataDir, '--port', '0', '--lead', `replay:${recording}`]
  const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'inherit'] })
  const [text] = await once(child.stdout as NodeJS.ReadableStream, 'data')
  const address = String(/http:\/\/[\d.:]+/.exec(String(text))?.[0])
  return { child, address, readyMs: performance.now() - startMs }
}

interface Outcome {
  readonly id: string
  readonly servedBy: string
  readonly isStream: boolean
}

/** Null where the answer did not arrive whole: the last event of a stream, the last byte of a body. */
async function ask(address: string, request: Json, isStream: boolean): Promise<Outcome | null> {
  const body = JSON.stringify(isStream ? { ...request, stream: true } : request)
  try {
    const response = await fetch(`${address}/v1/chat/completions`, { method: 'POST', body })
    const whole = isStream ? await readUntilDone(response) : await response.text()
    if (response.status !== 200) throw new Error(`${response.status}: ${whole}`)
    const id = response.headers.get('x-understudy-decision') ?? 'none'
    const servedBy = response.headers.get('x-understudy-served-by') ?? 'none'
    return { id, servedBy, isStream }
  } catch (error) {
    if (error instanceof TypeError) return null // The connection broke.
    throw error
  }
}

async function readUntilDone(response: Response): Promise<string> {
  const decoder = new TextDecoder()
  let text = ''
  for await (const part of response.body ?? []) {
    text += decoder.decode(part, { stream: true })
    if (text.includes('data: [DONE]')) return text
  }
  throw new TypeError('the stream ended early')
}

/** Calls under load until the gateway is killed: after some answers, at the very byte that ends one, or at any time. */
async function loadUntilKilled({ child, address }: Running, round: number): Promise<Outcome[]> {
  const complete: Outcome[] = []
  const lastCount = 10 + rng.int(60)
  let isKilled = false
  const kill = (): void => {
    isKilled = true
    child.kill('SIGKILL')
  }
  const caller = async (): Promise<void> => {
    while (!isKilled) {
      const outcome = await ask(address, rng.pick(requests), rng.int(2) === 0)
      if (outcome !== null) complete.push(outcome)
      if (round % 2 === 0 && complete.length >= lastCount && !isKilled) kill()
    }
  }
  const exited = once(child, 'exit')
  const callers = Array.from({ length: CALLERS }, caller)
  if (round % 2 === 1) void sleep(100 + rng.int(400)).then(kill)
  await Promise.all([...callers, exited])
  return complete
}

async function idsInLedger(): Promise<ReadonlySet<unknown>> {
  const ids = new Set<unknown>()
  for (const { path, writer } of await listWriters(join(dataDir, 'ledger'))) {
    for await (const item of scanFolder(path, writer, START)) {
      if (item.type !== 'record' || item.record.kind !== 'trace') continue
      ids.add((item.record.payload as { id: string }).id)
    }
  }
  return ids
}

test('no answer that a caller got whole is lost by kill -9, and the next start serves', async () => {
  const complete: Outcome[] = []
  const readyMs: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const running = await start()
    readyMs.push(Math.round(running.readyMs))
    complete.push(...(await loadUntilKilled(running, round)))
  }
  const ids = complete.map(({ id }) => id)
  expect(new Set(ids).size).toBe(ids.length)
  for (const isStream of [true, false]) {
    for (const tier of ['lead', 'reflex']) {
      const some = complete.filter(one => one.isStream === isStream && one.servedBy === tier)
      expect(some.length, `${tier}, streamed: ${isStream}`).toBeGreaterThan(ROUNDS)
    }
  }

  const report = await verifyLedger(join(dataDir, 'ledger'))
  expect(report).toMatchObject({ ok: true })
  const recorded = await idsInLedger()
  expect(ids.filter(id => !recorded.has(id))).toEqual([])

  const again = await start()
  readyMs.push(Math.round(again.readyMs))
  const unknown = []
  for (const { id, isStream } of complete) {
    const response = await fetch(`${again.address}/understudy/v1/decisions/${id}`)
    const found = (await response.json()) as Json
    if (found.id !== id || !found.isComplete || found.isStream !== isStream) unknown.push(found)
  }
  expect(unknown).toEqual([])
  const exited = once(again.child, 'exit')
  again.child.kill('SIGTERM')
  expect(await exited).toEqual([0, null])
  const sorted = readyMs.slice(1).sort((a, b) => a - b)
  process.stdout.write(
    `${ids.length} complete answers over ${ROUNDS} kills; ready after a kill in ${sorted[0]} to ${sorted.at(-1)} ms, median ${sorted[ROUNDS / 2]} ms\n`,
  )
}, 300_000)
