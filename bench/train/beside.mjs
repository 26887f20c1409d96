/**
 * Pass-through latency with and without a training job of the same server: an open loop at a fixed rate, in turns.
 *
 *   npm run build && node bench/train/beside.mjs --model FOLDER [--data ../shared/data] [--rounds 4] [--seconds 10] [--rate 100]
 *     [--delay 50]
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { readDataset } from '../datasets.mjs'
import { chatOf, openClient, openLoop } from '../lib/load.mjs'
import { startGateway, startStub } from '../lib/processes.mjs'
import { ms, summary, surroundings, surroundingsLine, table } from '../lib/table.mjs'

const { values: options } = parseArgs({
  options: {
    model: { type: 'string' },
    data: { type: 'string', default: '../shared/data' },
    rounds: { type: 'string', default: '4' },
    seconds: { type: 'string', default: '10' },
    rate: { type: 'string', default: '100' },
    delay: { type: 'string', default: '50' },
  },
})
if (options.model === undefined)
  throw new Error('--model FOLDER: the encoder, as understudy models list shows it')
const [ROUNDS, SECONDS, RATE] = [options.rounds, options.seconds, options.rate].map(Number)

const scratch = mkdtempSync(join(tmpdir(), 'understudy-beside-'))
const stub = await startStub()
const gateway = await startGateway(join(scratch, 'data'), { lead: `${stub.address}/v1` })
const clients = Object.fromEntries(
  [stub, gateway].map(({ address }, i) => [
    i === 0 ? 'direct' : 'through',
    openClient(address, { connections: 256 }),
  ]),
)
console.log(surroundingsLine(surroundings()))
try {
  const rows = readDataset('banking77', options.data)
  const file = join(scratch, 'rows.jsonl')
  writeFileSync(file, rows.map(row => `${JSON.stringify(row)}\n`).join(''))
  const timesMs = {}
  for (let round = 0; round < ROUNDS; round++) {
    await measure(rows, timesMs, 'alone')
    const id = await startTraining(file, join(scratch, `model-${round}`))
    await measure(rows, timesMs, 'beside train')
    await stopTraining(id)
  }
  print(timesMs)
} finally {
  for (const client of Object.values(clients)) await client.close()
  await gateway.stop()
  await stub.stop()
  rmSync(scratch, { recursive: true, force: true })
}

async function measure(rows, timesMs, when) {
  for (const [way, client] of Object.entries(clients)) {
    const call = i =>
      client.chat(chatOf(rows[i % rows.length].text, { model: `stub-${options.delay}` }))
    await openLoop(call, { perSecond: RATE, seconds: 1 })
    const measured = await openLoop(call, { perSecond: RATE, seconds: SECONDS })
    if (measured.failedCount > 0) throw new Error(`${measured.failedCount} calls failed`)
    const name = `${way}, ${when}`
    timesMs[name] = [...(timesMs[name] ?? []), ...measured.timesMs]
  }
}

/** Starts full fine-tuning through the API and waits until it computes. */
async function startTraining(file, output) {
  const params = { file, output, base: resolve(options.model), method: 'full', budgetMs: 600_000 }
  const { id } = await clients.through.json('/understudy/v1/jobs', {
    method: 'POST',
    body: { kind: 'train', params },
  })
  for (;;) {
    const job = await clients.through.json(`/understudy/v1/jobs/${id}`)
    if (job.state !== 'running') throw new Error(`training ended early: ${JSON.stringify(job)}`)
    if (job.event !== null && !/^(waiting|read)/.test(job.event.stage)) return id
    await sleep(100)
  }
}

async function stopTraining(id) {
  const { state } = await clients.through.json(`/understudy/v1/jobs/${id}`)
  if (state !== 'running') throw new Error('training ended before the measurement did')
  await clients.through.json(`/understudy/v1/jobs/${id}`, { method: 'DELETE' })
  while ((await clients.through.json(`/understudy/v1/jobs/${id}`)).state === 'running') {
    await sleep(100)
  }
}

function print(timesMs) {
  const lines = Object.entries(timesMs).map(([name, times]) => {
    const { count, p50, p95, p99 } = summary(times)
    return [name, count, ...[p50, p95, p99].map(ms)]
  })
  console.log(table(['way', 'calls', 'p50 ms', 'p95 ms', 'p99 ms'], lines))
  const p99 = when => summary(timesMs[`through, ${when}`]).p99
  console.log(`\np99 beside train / alone: ${(p99('beside train') / p99('alone')).toFixed(2)}`)
}
