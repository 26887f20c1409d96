/**
 * Latency of each tier in process and through the gateway, on inputs of 16 tokens: the bare ONNX Runtime call, the
 * specialist, the gateway in process, and `understudy up` over HTTP, taking turns in one run.
 *
 *   npm run build && node bench/latency.mjs [--rounds 40] [--data ../shared/data] [--out FILE]
 *
 * Learns an encoder and a reflex specialist from Banking77 on the first run, and keeps them below `.cache/bench`.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { openUnderstudy } from '../dist/gateway/index.js'
import { createEncoder, ensureModel } from '../dist/models/index.js'
import { chatOf, openClient, sideBySide } from './lib/load.mjs'
import { startGateway } from './lib/processes.mjs'
import { folderWith, readTexts, requireLive, TASK } from './lib/specialists.mjs'
import { ms, summary, surroundings, surroundingsLine, table } from './lib/table.mjs'

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '40' },
    data: { type: 'string', default: '../shared/data' },
    out: { type: 'string' },
  },
})
const ROUNDS = Number(options.rounds)
const TOKENS = 16
const TEXTS = 50
/** As in the worker pool, see `bench/inference-threads.mjs`. */
const SESSION = {
  executionProviders: ['cpu'],
  intraOpNumThreads: 2,
  interOpNumThreads: 1,
  graphOptimizationLevel: 'all',
  logSeverityLevel: 3,
  extra: { session: { intra_op: { allow_spinning: '1', spin_duration_us: '20' } } },
}

const scratch = mkdtempSync(join(tmpdir(), 'understudy-bench-'))
const around = surroundings()
console.log(surroundingsLine(around))
try {
  const bare = await openBare()
  const texts = bare.only16(readTexts(options.data).map(({ text }) => text))
  const tiers = {}
  for (const tier of ['encoder', 'reflex']) tiers[tier] = await measureTier(tier, bare, texts)
  if (options.out !== undefined) {
    writeFileSync(options.out, `${JSON.stringify({ ...around, tiers }, null, 2)}\n`)
  }
} finally {
  rmSync(scratch, { recursive: true, force: true })
}
process.exit(0)

/** The encoder's graph in a session of its own: the floor that nothing can go below. */
async function openBare() {
  const { dir } = await ensureModel('all-minilm-l6-v2')
  let graph
  const keeper = {
    load: async (_, model) => {
      graph = model
    },
  }
  const encoder = await createEncoder({ name: 'bench', source: dir, runtime: keeper })
  const session = await InferenceSession.create(graph, SESSION)
  const feedsOf = text =>
    Object.fromEntries(
      Object.entries(encoder.feeds([text])).map(([name, { type, data, dims }]) => [
        name,
        new Tensor(type, data, dims),
      ]),
    )
  return {
    feedsOf,
    run: feeds => session.run(feeds),
    only16: texts =>
      texts.filter(text => Object.values(encoder.feeds([text]))[0].dims[1] === TOKENS),
  }
}

async function measureTier(tier, bare, texts) {
  const here = await openUnderstudy({
    dataDir: folderWith({ tier, data: options.data, into: join(scratch, `${tier}-here`) }),
    lead: null,
  })
  const there = await startGateway(
    folderWith({ tier, data: options.data, into: join(scratch, `${tier}-there`) }),
  )
  const client = openClient(there.address)
  try {
    const [task] = here.cascade.live()
    await requireLive(client, tier)
    const served = await servedTexts(client, tier, texts)
    const feeds = served.map(bare.feedsOf)
    const calls = served.map(text => chatOf(text, { task: TASK }))
    const bodies = calls.map(({ body }) => JSON.stringify(body))
    const at = i => i % served.length
    const timesMs = await sideBySide(
      {
        ...(tier === 'encoder' ? { 'bare ONNX Runtime call': i => bare.run(feeds[at(i)]) } : {}),
        'specialist, in process': i => task.specialist.answer(served[at(i)]),
        'gateway, in process': async i => {
          const init = { method: 'POST', body: bodies[at(i)], headers: calls[at(i)].headers }
          await (await here.gateway.request('/v1/chat/completions', init)).text()
        },
        'gateway, HTTP': i => client.chat(calls[at(i)]),
      },
      { rounds: ROUNDS },
    )
    return report(tier, timesMs)
  } finally {
    await client.close()
    await there.stop()
    await here.close()
  }
}

/** Texts that the specialist is sure of; learning made sure that most are. */
async function servedTexts(client, tier, texts) {
  const served = []
  for (const text of texts) {
    if (served.length === TEXTS) break
    const { status, headers } = await client.chat(chatOf(text, { task: TASK }))
    if (status === 200 && headers['x-understudy-served-by'] === tier) served.push(text)
  }
  if (served.length < TEXTS)
    throw new Error(`only ${served.length} texts are served by the ${tier}`)
  return served
}

function report(tier, timesMs) {
  const rows = Object.entries(timesMs).map(([name, times]) => ({ name, ...summary(times) }))
  const base = rows[0]
  console.log(`\n${tier}, ${TOKENS} tokens, ${base.count} calls each\n`)
  console.log(
    table(
      ['', 'p50 ms', 'p95 ms', 'p99 ms', `p50 beyond the first row, ms`, 'ratio'],
      rows.map(({ name, p50, p95, p99 }) => [
        name,
        ...[p50, p95, p99, p50 - base.p50].map(ms),
        (p50 / base.p50).toFixed(2),
      ]),
    ),
  )
  return rows
}
