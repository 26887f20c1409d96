/**
 * A fault run: random load over plain and streamed chat while leads reset, stall and storm, clocks jump, the database dies,
 * workers and the whole gateway are killed. Ends with 1 where a client got neither an answer nor a well-formed error
 * (a broken connection is allowed only around a kill), an answer with a decision id is not in the ledger, the ledger does
 * not verify, or memory grows.
 *
 *   npm run build && node bench/faults.mjs [--seconds 1800] [--seed 1] [--callers 6] [--workers 2] [--out FILE]
 *
 * Everything runs on loopback, in a folder that is removed afterwards. The seed fixes the requests and the faults, not the
 * moments at which processes are scheduled.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { listWriters, START, scanFolder, verifyLedger } from '../dist/ledger/index.js'
import { createRng, quantile } from '../dist/util/index.js'
import { openFaultGateway } from './lib/fault-gateway.mjs'
import { FAULTS, openFaultyLead } from './lib/faulty-lead.mjs'
import { surroundings, surroundingsLine, table } from './lib/table.mjs'

const { values: options } = parseArgs({
  options: {
    seconds: { type: 'string', default: '1800' },
    seed: { type: 'string', default: '1' },
    callers: { type: 'string', default: '6' },
    workers: { type: 'string', default: '2' },
    out: { type: 'string' },
  },
})
const SECONDS = Number(options.seconds)
/** Longer than any limit of the gateway: who waits this long has got no answer. */
const ANSWER_WITHIN_MS = 30_000
/** How long after a kill its victims may still be noticed. */
const AFTERMATH_MS = 1_000
/** Memory is judged on runs of at least this length. */
const JUDGED_SECONDS = 120
const MAX_GROWTH = 1.2

const rng = createRng(`faults-${options.seed}`)
const folder = mkdtempSync(join(tmpdir(), 'understudy-faults-'))
const around = surroundings()
console.log(surroundingsLine(around))
const lead = await openFaultyLead()
const gateway = openFaultGateway({ folder, leadUrl: lead.url, workers: Number(options.workers) })

const outcomes = new Map()
const events = new Map()
const violations = []
const complete = []
/** Spans of time in which connections may break: `[from, to]` of kills. */
const kills = []
const memory = []
/** While the whole gateway is gone nobody asks, and the time does not count. */
let ready = Promise.resolve()
let goneMs = 0
const count = (map, name) => map.set(name, (map.get(name) ?? 0) + 1)

try {
  await gateway.start()
  const startMs = performance.now()
  const share = () => (performance.now() - startMs - goneMs) / (SECONDS * 1000)
  const isOver = () => share() > 1
  const callers = Array.from({ length: Number(options.callers) }, (_, i) =>
    call(createRng(`caller-${options.seed}-${i}`), isOver),
  )
  const sampler = sample(share)
  await disturb(share)
  await Promise.all(callers)
  await sampler
  const code = await gateway.stop()
  if (code !== 0) violations.push(`the gateway ended with ${code}`)
  const ledger = await checkLedger()
  report(ledger)
} finally {
  gateway.cleanUp()
  await lead.close()
  rmSync(folder, { recursive: true, force: true })
}
process.exitCode = violations.length > 0 ? 1 : 0

/** One caller: a request after the other. */
async function call(own, isOver) {
  for (;;) {
    await ready
    if (isOver()) return
    const fault = weighted(own)
    const isStream = own.int(2) === 0
    const leavesMs = own.int(20) === 0 ? 1 + own.int(200) : null
    const model = own.int(4) === 0 ? 'safe' : 'faulty'
    const startMs = performance.now()
    const { outcome, id } = await ask({ fault, isStream, model, leavesMs, text: `${own.int(1e9)}` })
    const isBroken = outcome.startsWith('broken')
    const isExcused = isBroken && isNearKill(startMs, performance.now())
    count(outcomes, isExcused ? 'broken connection at a kill' : outcome)
    if (id !== null) complete.push(id)
    if ((isBroken || outcome.startsWith('wrong')) && !isExcused) {
      violations.push(`${outcome} (${fault}, ${isStream ? 'streamed' : 'plain'}, model ${model})`)
    }
    await sleep(isBroken ? 100 : own.int(20))
  }
}

async function ask({ fault, isStream, model, leavesMs, text }) {
  const leaving = leavesMs === null ? [] : [AbortSignal.timeout(leavesMs)]
  const late = AbortSignal.timeout(ANSWER_WITHIN_MS)
  try {
    const response = await fetch(`${gateway.address}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-fault': fault },
      body: JSON.stringify({
        model,
        stream: isStream,
        messages: [{ role: 'user', content: text }],
      }),
      signal: AbortSignal.any([late, ...leaving]),
    })
    return judged(response, await response.text())
  } catch (error) {
    if (late.aborted) return { outcome: 'wrong: no answer in time', id: null }
    if (leaving[0]?.aborted) return { outcome: 'caller left', id: null }
    const { code, message } = error.cause ?? error
    return { outcome: `broken connection: ${code ?? message}`, id: null }
  }
}

/** What a caller has in hand, and the decision id where it is a whole answer that was recorded. */
function judged({ status, headers }, text) {
  if (status !== 200) {
    const error = parsed(text)?.error
    const isWellFormed = typeof error?.message === 'string' && typeof error.type === 'string'
    return {
      outcome: isWellFormed ? `error ${status}` : `wrong: ${status} without error`,
      id: null,
    }
  }
  const id = headers.get('x-understudy-decision')
  if (!headers.get('content-type')?.startsWith('text/event-stream')) {
    const isWhole = parsed(text)?.choices?.[0]?.finish_reason === 'stop'
    return isWhole ? { outcome: 'answer', id } : { outcome: 'wrong: half an answer', id: null }
  }
  const data = [...text.matchAll(/^data: (.*)$/gm)].map(([, said]) => said)
  if (data.at(-1) === '[DONE]') {
    return { outcome: 'answer', id: text.includes('could not record') ? null : id }
  }
  const error = parsed(data.at(-1) ?? '')?.error
  return typeof error?.message === 'string'
    ? { outcome: 'error within a stream', id: null }
    : { outcome: 'wrong: a stream that ends without saying so', id: null }
}

function parsed(text) {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

/** One disturbance after another; each kind at least once. The whole gateway is killed in the first half only. */
async function disturb(share) {
  const kinds = {
    storm: async () => lead.storm(300 + rng.int(1200)),
    'lead away': () => lead.away(200 + rng.int(800)),
    'clock forward': async () => gateway.jumpClock(rng.int(7 * 86_400_000)),
    'clock back': async () => gateway.jumpClock(-rng.int(7 * 86_400_000)),
    'database killed': async () => gateway.killDatabase(),
    'worker killed': async () => {
      const killedMs = await gateway.killWorker(pids => rng.pick(pids))
      kills.push([killedMs, killedMs + AFTERMATH_MS])
    },
    'gateway killed': async () => {
      const span = [performance.now(), Number.POSITIVE_INFINITY]
      kills.push(span)
      let isReady = () => {}
      ready = new Promise(resolve => {
        isReady = resolve
      })
      await gateway.killAll()
      await gateway.start()
      goneMs += performance.now() - span[0]
      span[1] = performance.now() + AFTERMATH_MS
      isReady()
    },
  }
  const names = Object.keys(kinds)
  const first = rng.shuffle(names)
  const everyMs = Math.min(5_000, (SECONDS * 1000) / (names.length + 2))
  for (let i = 0; share() < 1 || i < first.length; i++) {
    await sleep(everyMs * (0.5 + rng.next()))
    const isEarly = share() < 0.5
    const usual = names.filter(name => name !== 'gateway killed' || (isEarly && rng.int(3) === 0))
    const name = first[i] ?? rng.pick(usual)
    count(events, name)
    await kinds[name]()
  }
}

function isNearKill(fromMs, toMs) {
  return kills.some(([from, to]) => fromMs <= to && toMs >= from)
}

/** Resident memory of the gateway's processes together. */
async function sample(share) {
  for (;;) {
    await sleep(2_000)
    await ready
    if (share() > 1) return
    const nowMs = performance.now()
    if (isNearKill(nowMs - 5_000, nowMs)) continue
    memory.push({ share: share(), bytes: gateway.residentBytes() })
  }
}

function weighted(own) {
  let left = own.int(FAULTS.reduce((sum, [, weight]) => sum + weight, 0))
  for (const [name, weight] of FAULTS) {
    left -= weight
    if (left < 0) return name
  }
  return 'none'
}

async function checkLedger() {
  const dir = join(folder, 'data', 'ledger')
  const { ok, firstAltered } = await verifyLedger(dir)
  if (!ok) violations.push(`the ledger does not verify: ${JSON.stringify(firstAltered)}`)
  const recorded = new Set()
  let traceCount = 0
  for (const { path, writer } of await listWriters(dir)) {
    for await (const item of scanFolder(path, writer, START)) {
      if (item.type !== 'record' || item.record.kind !== 'trace') continue
      traceCount++
      const { id, isComplete } = item.record.payload
      if (isComplete) recorded.add(id)
    }
  }
  const missing = complete.filter(id => !recorded.has(id))
  if (missing.length > 0) violations.push(`${missing.length} answers are not in the ledger`)
  if (new Set(complete).size < complete.length) violations.push('a decision id came twice')
  if (complete.length === 0) violations.push('no answer was complete')
  return { ok, traceCount, missingCount: missing.length }
}

function report({ ok, traceCount, missingCount }) {
  const megabytes = (from, to, q) => {
    const inside = memory.filter(({ share }) => share >= from && share < to)
    return inside.length === 0
      ? null
      : quantile(
          inside.map(({ bytes }) => bytes / 2 ** 20),
          q,
        )
  }
  const [third, last] = [megabytes(0.5, 0.75, 0.5), megabytes(0.75, 2, 0.5)]
  const isJudged = SECONDS >= JUDGED_SECONDS && third !== null && last !== null
  if (isJudged && last > third * MAX_GROWTH) {
    violations.push(`memory grew from ${third.toFixed(0)} to ${last.toFixed(0)} MB`)
  }
  const rows = map => [...map].sort((a, b) => b[1] - a[1])
  const total = [...outcomes.values()].reduce((sum, each) => sum + each, 0)
  console.log(
    `\n${SECONDS} s, seed ${options.seed}: ${total} requests, ${lead.requestCount} at the lead\n`,
  )
  console.log(table(['what came of it', 'requests'], rows(outcomes)))
  console.log(`\n${table(['disturbance', 'times'], rows(events))}`)
  console.log(
    `\n${complete.length} whole answers with a decision id, ${missingCount} of them not in the ledger; ${traceCount} traces; ledger ${ok ? 'verifies' : 'was altered'}`,
  )
  const shown = value => (value === null ? '–' : `${value.toFixed(0)} MB`)
  console.log(
    `memory of all processes, median: third quarter ${shown(third)}, last ${shown(last)}, peak ${shown(megabytes(0, 2, 1))}`,
  )
  for (const violation of violations.slice(0, 20)) console.log(`VIOLATION: ${violation}`)
  if (violations.length > 0) console.log(gateway.log.slice(-20).join(''))
  if (options.out === undefined) return
  const counts = { outcomes: Object.fromEntries(outcomes), events: Object.fromEntries(events) }
  const figures = { ...around, seconds: SECONDS, total, ...counts, traceCount, missingCount, ok }
  const whole = { ...figures, completeCount: complete.length, memory, violations }
  writeFileSync(options.out, `${JSON.stringify(whole, null, 2)}\n`)
}
