/**
 * What the gateway costs: time added to a direct call of the lead, requests per second, and latency at 200 requests per
 * second, also while `learn` runs on the same data folder.
 *
 *   npm run build && node bench/gateway.mjs [--rounds 30] [--seconds 5] [--rate 200] [--data ../shared/data]
 *                                           [--parts overhead,throughput,rate] [--out FILE]
 *
 * The lead is a stub in a process of its own that answers at once or after 50 ms; every request takes the way through
 * HTTP, once to the stub and once to `understudy up` before it, taking turns.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { chatOf, closedLoop, openClient, openLoop, sideBySide } from './lib/load.mjs'
import { startGateway, startStub } from './lib/processes.mjs'
import { folderWith, readTexts, requireLive, TASK } from './lib/specialists.mjs'
import { ms, summary, surroundings, surroundingsLine, table } from './lib/table.mjs'

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '30' },
    seconds: { type: 'string', default: '5' },
    rate: { type: 'string', default: '200' },
    data: { type: 'string', default: '../shared/data' },
    parts: { type: 'string', default: 'overhead,throughput,rate' },
    out: { type: 'string' },
  },
})
const ROUNDS = Number(options.rounds)
const SECONDS = Number(options.seconds)
const RATE = Number(options.rate)
const CONNECTIONS = 32
const PARTS = { overhead, throughput, rate }

const scratch = mkdtempSync(join(tmpdir(), 'understudy-bench-'))
const around = surroundings()
console.log(surroundingsLine(around))
const stub = await startStub()
const gateways = {}
const clients = { direct: openClient(stub.address, { connections: 256 }) }
try {
  for (const tier of ['encoder', 'reflex']) {
    const into = join(scratch, tier)
    gateways[tier] = await startGateway(folderWith({ tier, data: options.data, into }), {
      lead: `${stub.address}/v1`,
    })
    clients[tier] = openClient(gateways[tier].address, { connections: 256 })
    await requireLive(clients[tier], tier)
  }
  const texts = readTexts(options.data).map(({ text }) => text)
  const inputs = {
    encoder: await sortTexts('encoder', texts),
    reflex: await sortTexts('reflex', texts),
  }
  const results = {}
  for (const part of options.parts.split(',')) results[part] = await PARTS[part](inputs)
  if (options.out !== undefined) {
    writeFileSync(options.out, `${JSON.stringify({ ...around, ...results }, null, 2)}\n`)
  }
} finally {
  for (const client of Object.values(clients)) await client.close()
  for (const gateway of Object.values(gateways)) await gateway.stop()
  await stub.stop()
  rmSync(scratch, { recursive: true, force: true })
}

/** Texts by what becomes of them: `served` here, or `abstained` and sent on. */
async function sortTexts(tier, texts) {
  const sorted = { served: [], abstained: [] }
  for (let at = 0; sorted.served.length < 50 || sorted.abstained.length < 20; at += 37) {
    if (at > 37 * texts.length) throw new Error(`too few texts that the ${tier} abstains from`)
    const text = texts[at % texts.length]
    const { headers } = await clients[tier].chat(chatOf(text, { task: TASK }))
    const kind = headers['x-understudy-served-by'] === tier ? 'served' : 'abstained'
    if (sorted[kind].length < 50 && !sorted[kind].includes(text)) sorted[kind].push(text)
  }
  return sorted
}

/** Added latency where the lead answers: no specialist for the task, and specialists that abstained. */
async function overhead(inputs) {
  const rows = []
  for (const delayMs of [0, 50]) {
    for (const stream of [false, true]) {
      const model = `stub-${delayMs}`
      const call = (client, text, task) =>
        clients[client].chat(chatOf(text, { task, model, stream }))
      const pick = (list, i) => list[i % list.length]
      const { encoder, reflex } = inputs
      const timesMs = await sideBySide(
        {
          direct: i => call('direct', pick(encoder.abstained, i)),
          'no specialist': i => call('encoder', pick(encoder.abstained, i)),
          'reflex abstained': i => call('reflex', pick(reflex.abstained, i), TASK),
          'encoder abstained': i => call('encoder', pick(encoder.abstained, i), TASK),
        },
        { rounds: delayMs === 0 ? ROUNDS : Math.ceil(ROUNDS / 2) },
      )
      const own = {
        'reflex abstained': await ownTime('reflex', reflex.abstained, model),
        'encoder abstained': await ownTime('encoder', encoder.abstained, model),
      }
      const base = summary(timesMs.direct)
      for (const [name, times] of Object.entries(timesMs)) {
        const figures = summary(times)
        rows.push({
          lead: `${delayMs} ms, ${stream ? 'streamed' : 'plain'}`,
          name,
          ...figures,
          addedP50: figures.p50 - base.p50,
          specialistP50: own[name] ?? null,
        })
      }
    }
  }
  console.log(`\nOverhead against a direct call, ${rows[0].count} calls each at 0 ms\n`)
  console.log(
    table(
      [
        'lead',
        'way',
        'p50 ms',
        'p95 ms',
        'p99 ms',
        'added at p50',
        'specialist’s own p50',
        'added beyond it',
      ],
      rows.map(({ lead, name, p50, p95, p99, addedP50, specialistP50 }) => [
        lead,
        name,
        ...[p50, p95, p99, addedP50].map(ms),
        specialistP50 === null ? '' : ms(specialistP50),
        specialistP50 === null ? '' : ms(addedP50 - specialistP50),
      ]),
    ),
  )
  return rows
}

/** The median time that the specialist took for such requests, as the gateway recorded it. */
async function ownTime(tier, texts, model) {
  const times = []
  for (const text of texts) {
    const { headers } = await clients[tier].chat(chatOf(text, { task: TASK, model }))
    const id = headers['x-understudy-decision']
    const { decision } = await clients[tier].json(`/understudy/v1/decisions/${id}`)
    times.push(decision.tiers[0].latencyMs)
  }
  return summary(times).p50
}

/** The ways whose load is measured. */
function ways({ encoder, reflex }) {
  const cycle = (client, texts, task) => i =>
    clients[client].chat(chatOf(texts[i % texts.length], { task }))
  return {
    'stub, direct': cycle('direct', encoder.abstained),
    'to the lead': cycle('encoder', encoder.abstained),
    reflex: cycle('reflex', reflex.served, TASK),
    encoder: cycle('encoder', encoder.served, TASK),
  }
}

/** Closed loop: what goes through at most. */
async function throughput(inputs) {
  const rows = []
  for (const [name, call] of Object.entries(ways(inputs))) {
    await closedLoop(call, { connections: CONNECTIONS, seconds: 1 })
    const { perSecond, timesMs, failedCount } = await closedLoop(call, {
      connections: CONNECTIONS,
      seconds: SECONDS,
    })
    rows.push({ name, perSecond, failedCount, ...summary(timesMs) })
  }
  console.log(`\nClosed loop, ${CONNECTIONS} connections, ${SECONDS} s each\n`)
  const heading = ['way', 'requests/s', 'ratio', 'p50 ms', 'p99 ms', 'failed']
  const base = rows[0].perSecond
  console.log(
    table(
      heading,
      rows.map(({ name, perSecond, failedCount, p50, p99 }) => [
        name,
        perSecond.toFixed(0),
        (perSecond / base).toFixed(2),
        ms(p50),
        ms(p99),
        failedCount,
      ]),
    ),
  )
  return rows
}

/** Open loop at a fixed rate, alone and beside a learning job of the same server. */
async function rate(inputs) {
  const rows = await rateRows(inputs, 'alone')
  for (const tier of ['encoder', 'reflex']) {
    const job = await startLearning(tier)
    rows.push(...(await rateRows(inputs, `beside learn (${tier})`, tier)))
    await stopLearning(tier, job)
  }
  console.log(
    `\nOpen loop, ${RATE} requests/s, ${SECONDS} s each; latency from the moment a request was due\n`,
  )
  console.log(
    table(
      ['', 'way', 'requests/s', 'p50 ms', 'p95 ms', 'p99 ms', 'failed'],
      rows.map(({ when, name, perSecond, p50, p95, p99, failedCount }) => [
        when,
        name,
        perSecond.toFixed(0),
        ...[p50, p95, p99].map(ms),
        failedCount,
      ]),
    ),
  )
  return rows
}

async function rateRows(inputs, when, tier) {
  const all = ways(inputs)
  const chosen =
    tier === undefined ? Object.keys(all) : tier === 'encoder' ? ['to the lead', tier] : [tier]
  const rows = []
  for (const name of chosen) {
    await openLoop(all[name], { perSecond: RATE, seconds: 1 })
    const measured = await openLoop(all[name], { perSecond: RATE, seconds: SECONDS })
    const { perSecond, failedCount, timesMs } = measured
    rows.push({ when, name, perSecond, failedCount, ...summary(timesMs) })
  }
  return rows
}

/** Starts a learning job through the API and waits until it computes. */
async function startLearning(tier) {
  const order = { kind: 'learn', params: { budgetMs: 300_000 } }
  const { id } = await clients[tier].json('/understudy/v1/jobs', { method: 'POST', body: order })
  for (;;) {
    const job = await clients[tier].json(`/understudy/v1/jobs/${id}`)
    if (job.state !== 'running') throw new Error(`learning ended early: ${JSON.stringify(job)}`)
    if (job.event !== null && job.event.stage !== 'read') return id
    await sleep(100)
  }
}

async function stopLearning(tier, id) {
  const job = await clients[tier].json(`/understudy/v1/jobs/${id}`)
  if (job.state !== 'running') throw new Error('learning ended before the measurement did')
  await clients[tier].json(`/understudy/v1/jobs/${id}`, { method: 'DELETE' })
}
