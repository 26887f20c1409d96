/**
 * What it costs to put the gateway in front of production: throughput beside a bare Node proxy that records nothing,
 * added latency at a fixed rate, memory with many open streams, and memory over time.
 *
 *   npm run build && node bench/serve.mjs [--parts throughput,rate,streams,soak] [--seconds 5] [--rounds 3]
 *                                         [--rate 500] [--warm-up 2] [--streams 2000] [--soak-minutes 3] [--workers 1]
 *                                         [--node-options=--initial-old-space-size=256] [--litellm PYTHON] [--out FILE]
 *
 * Load generator, stub lead, proxy and gateway are processes on the same cores; ways take turns, round by round. Bodies
 * have 2 kB each way. `--litellm` names the Python of an environment with `litellm[proxy]`: its proxy takes its turns as
 * well, and latencies are taken once more at half of the rate that saturates it. Processor time per request stands beside
 * requests per second, since it depends less on what else the machine does.
 */
import { once, setMaxListeners } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { Pool } from 'undici'
import { closedLoop, openClient, openLoop } from './lib/load.mjs'
import {
  processorSeconds,
  residentMb,
  startGateway,
  startLitellm,
  startProxy,
  startStub,
} from './lib/processes.mjs'
import { ms, summary, surroundings, surroundingsLine, table } from './lib/table.mjs'

const { values: options } = parseArgs({
  options: {
    parts: { type: 'string', default: 'throughput,rate,streams,soak' },
    seconds: { type: 'string', default: '5' },
    rounds: { type: 'string', default: '3' },
    rate: { type: 'string', default: '500' },
    'warm-up': { type: 'string', default: '2' },
    streams: { type: 'string', default: '2000' },
    'soak-minutes': { type: 'string', default: '3' },
    workers: { type: 'string', default: '1' },
    'node-options': { type: 'string' },
    litellm: { type: 'string' },
    out: { type: 'string' },
  },
})
const SECONDS = Number(options.seconds)
const CONNECTIONS = 64
const PARTS = { throughput, rate, streams, soak }
const TEXT = 'word '.repeat(380)

const scratch = mkdtempSync(join(tmpdir(), 'understudy-serve-'))
const around = surroundings()
console.log(surroundingsLine(around))
const stub = await startStub()
const gateway = await startGateway(join(scratch, 'data'), {
  lead: `${stub.address}/v1`,
  // Callers who leave are told at `info`: two thousand of them where the streams end.
  env: { XDG_CONFIG_HOME: join(scratch, 'config'), UNDERSTUDY_LOG_LEVEL: 'warn' },
  options: options.workers === '1' ? [] : ['--workers', options.workers],
  nodeOptions: options['node-options']?.split(' ') ?? [],
})
const proxy = await startProxy(stub.address)
const litellm =
  options.litellm === undefined
    ? null
    : await startLitellm(options.litellm, {
        lead: `${stub.address}/v1`,
        folder: scratch,
        port: await freePort(),
      })
const ways = {
  'stub, direct': stub,
  'bare proxy': proxy,
  understudy: gateway,
  ...(litellm === null ? {} : { LiteLLM: litellm }),
}
const clients = Object.fromEntries(
  Object.entries(ways).map(([name, { address }]) => [
    name,
    openClient(address, { connections: 1024 }),
  ]),
)
try {
  const results = {}
  for (const part of options.parts.split(',')) results[part] = await PARTS[part]()
  if (options.out !== undefined) {
    writeFileSync(options.out, `${JSON.stringify({ ...around, ...results }, null, 2)}\n`)
  }
} finally {
  for (const client of Object.values(clients)) await client.close()
  await gateway.stop()
  await litellm?.stop()
  await proxy.stop()
  await stub.stop()
  rmSync(scratch, { recursive: true, force: true })
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  await once(server, 'close')
  return port
}

function caller(way, { delayMs = 0, stream = false } = {}) {
  const messages = [{ role: 'user', content: TEXT }]
  const model = `stub-${delayMs}-2000`
  return i =>
    clients[way].chat({
      body: { model, messages, user: `caller-${i}`, ...(stream ? { stream } : {}) },
      headers: { authorization: 'Bearer none' },
    })
}

/** Closed loop, ways in turn; the median round counts. */
async function throughput() {
  const rows = []
  for (const stream of [false, true]) {
    const rounds = Object.fromEntries(Object.keys(ways).map(name => [name, []]))
    for (const name of Object.keys(ways)) {
      await closedLoop(caller(name, { stream }), { connections: CONNECTIONS, seconds: 2 })
    }
    for (let round = 0; round < Number(options.rounds); round++) {
      for (const [name, { pid }] of Object.entries(ways)) {
        const before = processorSeconds(pid)
        const run = await closedLoop(caller(name, { stream }), {
          connections: CONNECTIONS,
          seconds: SECONDS,
        })
        const cpuMs = (1000 * (processorSeconds(pid) - before)) / run.timesMs.length
        const { perSecond, failedCount, timesMs } = run
        rounds[name].push({ perSecond, failedCount, cpuMs, ...summary(timesMs) })
      }
    }
    for (const [name, runs] of Object.entries(rounds)) {
      const sorted = runs.sort((a, b) => a.perSecond - b.perSecond)
      rows.push({ stream, name, ...sorted[sorted.length >> 1] })
    }
  }
  console.log(
    `\nClosed loop, ${CONNECTIONS} connections, median of ${options.rounds} rounds of ${SECONDS} s\n`,
  )
  const base = stream => rows.find(row => row.stream === stream && row.name === 'bare proxy')
  console.log(
    table(
      [
        'way',
        'requests/s',
        'of the bare proxy',
        'processor ms/request',
        'p50 ms',
        'p99 ms',
        'failed',
      ],
      rows.map(({ stream, name, perSecond, cpuMs, p50, p99, failedCount }) => [
        `${name}, ${stream ? 'streamed' : 'plain'}`,
        perSecond.toFixed(0),
        (perSecond / base(stream).perSecond).toFixed(2),
        ways[name].pid === null ? '–' : cpuMs.toFixed(2),
        ms(p50),
        ms(p99),
        failedCount,
      ]),
    ),
  )
  return rows
}

/** Open loop at a fixed rate before a stub of 50 ms; latency from the moment a request was due. */
async function rate() {
  const others = Object.keys(ways).filter(name => name !== 'LiteLLM')
  const rows = await latencies(Number(options.rate), others)
  if (litellm === null) return rows
  const saturation = await closedLoop(caller('LiteLLM'), { connections: 16, seconds: SECONDS })
  const half = Math.max(1, Math.floor(saturation.perSecond / 2))
  return [...rows, ...(await latencies(half, Object.keys(ways)))]
}

async function latencies(perSecond, names) {
  const rows = []
  for (const stream of [false, true]) {
    let direct
    for (const name of names) {
      const call = caller(name, { delayMs: 50, stream })
      await openLoop(call, { perSecond, seconds: Number(options['warm-up']) })
      const { timesMs, failedCount } = await openLoop(call, { perSecond, seconds: SECONDS })
      const figures = summary(timesMs)
      direct ??= figures
      const [addedP50, addedP99] = [figures.p50 - direct.p50, figures.p99 - direct.p99]
      rows.push({ perSecond, stream, name, failedCount, ...figures, addedP50, addedP99 })
    }
  }
  console.log(`\nOpen loop, ${perSecond} requests/s, ${SECONDS} s each, stub of 50 ms\n`)
  console.log(
    table(
      ['way', 'p50 ms', 'p99 ms', 'added p50', 'added p99', 'failed'],
      rows.map(({ stream, name, p50, p99, addedP50, addedP99, failedCount }) => [
        `${name}, ${stream ? 'streamed' : 'plain'}`,
        ...[p50, p99, addedP50, addedP99].map(ms),
        failedCount,
      ]),
    ),
  )
  return rows
}

/** Many streams at once, each with an event a second, all open until the end. */
async function streams() {
  const wanted = Number(options.streams)
  const beforeMb = residentMb(gateway.pid)
  const pool = new Pool(gateway.address, { connections: wanted, pipelining: 1 })
  let firstCount = 0
  let eventCount = 0
  const stop = new AbortController()
  setMaxListeners(0, stop.signal)
  const open = async () => {
    const response = await pool.request({
      path: '/v1/chat/completions',
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        model: 'stub-hold-1000',
        stream: true,
        messages: [{ role: 'user', content: TEXT }],
      }),
      signal: stop.signal,
    })
    let isFirst = true
    for await (const _ of response.body) {
      if (isFirst) firstCount++
      isFirst = false
      eventCount++
    }
  }
  const all = Array.from({ length: wanted }, () => open().catch(() => undefined))
  for (let waited = 0; firstCount < wanted && waited < 120; waited++) await sleep(1000)
  const openedCount = firstCount
  const from = eventCount
  await sleep(5000)
  const heldMb = residentMb(gateway.pid)
  const perSecond = (eventCount - from) / 5
  stop.abort()
  await Promise.all(all)
  await pool.destroy()
  const row = { wanted, openedCount, perSecond, beforeMb, heldMb }
  console.log(`\nOpen streams\n`)
  console.log(
    table(
      ['streams', 'open', 'events/s', 'memory before, MB', 'with all open, MB'],
      [[wanted, openedCount, perSecond.toFixed(0), beforeMb.toFixed(0), heldMb.toFixed(0)]],
    ),
  )
  return row
}

/** Memory and ledger while requests go on, plain and streamed in turn. */
async function soak() {
  const minutes = Number(options['soak-minutes'])
  const steps = 6
  const rows = []
  let total = 0
  const calls = [caller('understudy'), caller('understudy', { stream: true })]
  for (let step = 1; step <= steps; step++) {
    const { timesMs, failedCount } = await closedLoop(i => calls[i % 2](i), {
      connections: 16,
      seconds: (60 * minutes) / steps,
    })
    total += timesMs.length
    const { health, unrecordedCount } = await clients.understudy.json('/understudy/v1/status')
    rows.push({
      minute: (minutes * step) / steps,
      total,
      failedCount,
      mb: residentMb(gateway.pid),
      lagCount: health.lagCount,
      unrecordedCount,
    })
  }
  console.log(`\nSoak, 16 connections\n`)
  console.log(
    table(
      ['minute', 'requests so far', 'failed', 'memory MB', 'records behind', 'unrecorded'],
      rows.map(({ minute, total: so, failedCount, mb, lagCount, unrecordedCount }) => [
        minute.toFixed(1),
        so,
        failedCount,
        mb.toFixed(0),
        lagCount,
        unrecordedCount,
      ]),
    ),
  )
  return rows
}
