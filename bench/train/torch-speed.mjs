/**
 * Speed and memory of PyTorch on Banking77 in length-bucketed batches of 32: full fine-tuning, LoRA on all layers, LoRA on
 * the top three. The cases take turns. Beside the rate of each round stands one made of the fastest round of every single
 * step, which other work on the machine disturbs less.
 *
 *   npm run build && node bench/train/torch-speed.mjs --python PYTHON --model FOLDER [--data ../shared/data] [--steps 40]
 *     [--rounds 3] [--threads 2] [--out FILE]
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { surroundings, surroundingsLine, table } from '../lib/table.mjs'
import { bucketedBatches, tokenised, writeStepsJob } from './lib/jobs.mjs'

const { values: options } = parseArgs({
  options: {
    python: { type: 'string', default: 'python3' },
    model: { type: 'string' },
    data: { type: 'string', default: '../shared/data' },
    steps: { type: 'string', default: '40' },
    rounds: { type: 'string', default: '3' },
    threads: { type: 'string', default: '2' },
    out: { type: 'string' },
  },
})
if (options.model === undefined)
  throw new Error('--model FOLDER: the encoder, as understudy models list shows it')
const PEER = fileURLToPath(new URL('./peer.py', import.meta.url))
const BATCH_SIZE = 32
const CASES = {
  'full fine-tuning': { method: 'full', learningRate: 5e-5 },
  'LoRA, q and v of all layers': { method: 'lora', learningRate: 1e-3 },
  'LoRA, q and v of the top three': { method: 'lora', layers: [3, 4, 5], learningRate: 1e-3 },
}

const scratch = mkdtempSync(join(tmpdir(), 'understudy-torch-'))
const around = surroundings()
console.log(surroundingsLine(around))
try {
  const results = measure()
  const rows = Object.entries(results).map(([name, rounds]) => {
    const rates = rounds.map(one => one.examplesPerSecond.toFixed(0)).join(', ')
    const mb = Math.min(...rounds.map(one => one.peakMemoryBytes)) / 1e6
    const last = rounds[0].losses.at(-1)
    const rate = undisturbedRate(rounds, 'stepSeconds').toFixed(1)
    const cpuRate = undisturbedRate(rounds, 'stepCpuSeconds').toFixed(1)
    return [name, rate, cpuRate, rates, mb.toFixed(0), last.toFixed(4)]
  })
  console.log(
    table(
      [
        '',
        'examples/s, fastest of each step',
        'examples per CPU second',
        'each round',
        'peak MB',
        'last loss',
      ],
      rows,
    ),
  )
  if (options.out !== undefined) {
    writeFileSync(options.out, `${JSON.stringify({ ...around, results }, null, 2)}\n`)
  }
} finally {
  rmSync(scratch, { recursive: true, force: true })
}

function measure() {
  const modelFolder = resolve(options.model)
  const data = tokenised({ dataFolder: options.data, modelFolder })
  const batches = bucketedBatches(data, { batchSize: BATCH_SIZE }).slice(0, Number(options.steps))
  const results = {}
  for (let round = 0; round < Number(options.rounds); round++) {
    for (const [name, changes] of Object.entries(CASES)) {
      const job = { modelFolder, classCount: data.classCount, batches, ...changes }
      const path = writeStepsJob(join(scratch, 'job'), job)
      results[name] = [...(results[name] ?? []), runPeer(path)]
    }
  }
  return results
}

/** Examples per second if every step had taken what it took in its fastest round; without the steps that warm up. */
function undisturbedRate(rounds, clock) {
  const [{ warmUpSteps, [clock]: first }] = rounds
  const seconds = first
    .map((_, step) => Math.min(...rounds.map(one => one[clock][step])))
    .slice(warmUpSteps)
  return (BATCH_SIZE * seconds.length) / seconds.reduce((a, b) => a + b, 0)
}

function runPeer(job) {
  const out = join(scratch, 'out')
  const args = [PEER, '--threads', options.threads, 'steps', job, out]
  const { status, stderr } = spawnSync(options.python, args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(stderr)
  return JSON.parse(readFileSync(join(out, 'result.json'), 'utf8'))
}
