/**
 * Which thread count and spinning suit inference: p50 and p95 of one 16-token call through the worker pool, alone
 * and beside a process that burns one core, and texts per second in batches.
 *
 *   npm run build && node bench/inference-threads.mjs [--rounds 5] [--calls 40]
 *
 * Settings take turns within each round, so that a disturbance meets all of them; ratios are to the first.
 */
import { spawn } from 'node:child_process'
import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { createEncoder, ensureModel } from '../dist/models/index.js'
import { openRuntimePool } from '../dist/runtimes/index.js'
import { quantile } from '../dist/util/index.js'

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '5' }, calls: { type: 'string', default: '40' } },
})
const ROUNDS = Number(values.rounds)
const CALLS = Number(values.calls)
const SETTINGS = [
  { threads: 1, spinMicroseconds: 0 },
  ...[0, 10, 20, 50, 1000].map(spinMicroseconds => ({ threads: 2, spinMicroseconds })),
  { workers: 2, threads: 1, spinMicroseconds: 0 },
]
/** 14 word pieces and two special tokens. */
const TEXT = 'i am still waiting on my card to arrive please help me right now'
const BATCH = Array.from({ length: 256 }, (_, i) => `${TEXT.slice(0, 20 + (i % 38))}`)

const { dir } = await ensureModel('all-minilm-l6-v2')
const candidates = []
for (const setting of SETTINGS) {
  const runtime = openRuntimePool(setting)
  const encoder = await createEncoder({ name: 'bench', source: dir, runtime })
  candidates.push({ setting, runtime, encoder, feeds: encoder.feeds([TEXT]) })
}
console.log(
  `${cpus().length} × ${cpus()[0]?.model}, Node ${process.version}, ${new Date().toISOString()}`,
)
console.log(`tokens: ${candidates[0].feeds.inputIds.dims[1]}`)

report('alone', await measure())
const burner = spawn(process.execPath, ['-e', 'for (;;) {}'])
report('beside a process that burns one core', await measure())
burner.kill('SIGKILL')
await reportThroughput()
for (const { runtime } of candidates) await runtime.close()

/** Milliseconds of every call, by candidate. */
async function measure() {
  const timesMs = candidates.map(() => [])
  for (let round = 0; round < ROUNDS; round++) {
    for (const [i, { runtime, encoder, feeds }] of candidates.entries()) {
      for (let call = 0; call < CALLS; call++) {
        const startMs = performance.now()
        await runtime.run([{ session: encoder.session, feeds }])
        // The first calls after another candidate meet its caches.
        if (call >= 5) timesMs[i].push(performance.now() - startMs)
      }
    }
  }
  return timesMs
}

function report(title, timesMs) {
  const base = quantile(timesMs[0], 0.5)
  console.log(`\n${title}`)
  for (const [i, { setting }] of candidates.entries()) {
    const [p50, p95] = [0.5, 0.95].map(q => quantile(timesMs[i], q))
    console.log(
      `${name(setting)}  p50 ${p50.toFixed(2)} ms  p95 ${p95.toFixed(2)} ms  ratio ${(p50 / base).toFixed(2)}`,
    )
  }
}

async function reportThroughput() {
  const rates = candidates.map(() => [])
  for (let round = 0; round < Math.min(3, ROUNDS); round++) {
    for (const [i, { encoder }] of candidates.entries()) {
      const startMs = performance.now()
      await encoder.embed(BATCH)
      rates[i].push((BATCH.length * 1000) / (performance.now() - startMs))
    }
  }
  console.log(`\ntexts per second in batches (${BATCH.length} texts)`)
  const base = quantile(rates[0], 0.5)
  for (const [i, { setting }] of candidates.entries()) {
    const rate = quantile(rates[i], 0.5)
    console.log(`${name(setting)}  ${rate.toFixed(0)}/s  ratio ${(rate / base).toFixed(2)}`)
  }
}

function name({ workers = 1, threads, spinMicroseconds }) {
  return `workers ${workers}  threads ${threads}  spinning ${`${spinMicroseconds}`.padStart(4)} µs`
}
