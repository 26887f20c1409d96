/**
 * The training engine against PyTorch, PEFT and transformers on Banking77 in length-bucketed batches of 32: the same batches,
 * initial tensors and learning rates. Sides and cases take turns; the rate is that of the fastest round of every single step,
 * which other work on the machine disturbs least. `--loss` compares the losses of 100 steps instead.
 *
 *   npm run build && node bench/train/speed.mjs --python PYTHON --model FOLDER [--data ../shared/data] [--steps 40]
 *     [--rounds 3] [--threads 2] [--cases full,lora,top] [--loss] [--out FILE]
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
    cases: { type: 'string', default: 'full,lora,top' },
    loss: { type: 'boolean', default: false },
    out: { type: 'string' },
  },
})
if (options.model === undefined)
  throw new Error('--model FOLDER: the encoder, as understudy models list shows it')
const here = name => fileURLToPath(new URL(name, import.meta.url))
const BATCH_SIZE = 32
const CASES = {
  full: { name: 'full fine-tuning', job: { method: 'full', learningRate: 5e-5 } },
  lora: { name: 'LoRA, q and v of all layers', job: { method: 'lora', learningRate: 1e-3 } },
  top: {
    name: 'LoRA, q and v of the top three, ours with cached states',
    job: { method: 'lora', layers: [3, 4, 5], learningRate: 1e-3 },
    isCached: true,
  },
}
const scratch = mkdtempSync(join(tmpdir(), 'understudy-speed-'))

function writeJob(key, stepCount) {
  const { sequences, labels, classCount } = tokenised({
    dataFolder: options.data,
    modelFolder: options.model,
  })
  const all = bucketedBatches({ sequences, labels }, { batchSize: BATCH_SIZE })
  return writeStepsJob(join(scratch, key), {
    ...CASES[key].job,
    modelFolder: resolve(options.model),
    classCount,
    batches: all.slice(0, stepCount),
  })
}

function runSide(side, path, key) {
  const out = join(scratch, `${key}-${side}`)
  const threads = ['--threads', options.threads]
  const command =
    side === 'ours'
      ? [process.execPath, here('./ours.mjs'), path, out, ...threads]
      : [options.python, here('./peer.py'), ...threads, 'steps', path, out]
  if (side === 'ours' && CASES[key].isCached) command.push('--cached')
  const done = spawnSync(command[0], command.slice(1), { encoding: 'utf8' })
  if (done.status !== 0) throw new Error(`${side}, ${key}: ${done.stderr}`)
  return JSON.parse(readFileSync(join(out, 'result.json'), 'utf8'))
}

/** Examples a second when every step goes as it went in its fastest round. */
function undisturbedRate(rounds) {
  const [{ stepSeconds, warmUpSteps }] = rounds
  const fastest = stepSeconds.map((_, step) =>
    Math.min(...rounds.map(one => one.stepSeconds[step])),
  )
  const seconds = fastest.slice(warmUpSteps).reduce((a, b) => a + b, 0)
  return (BATCH_SIZE * (fastest.length - warmUpSteps)) / seconds
}

function measureSpeed() {
  const keys = options.cases.split(',')
  const jobs = Object.fromEntries(keys.map(key => [key, writeJob(key, Number(options.steps))]))
  const results = Object.fromEntries(keys.map(key => [key, { ours: [], torch: [] }]))
  for (let round = 0; round < Number(options.rounds); round++) {
    for (const key of keys) {
      for (const side of round % 2 === 0 ? ['ours', 'torch'] : ['torch', 'ours']) {
        results[key][side].push(runSide(side, jobs[key], key))
        console.error(round, key, side, results[key][side].at(-1).examplesPerSecond.toFixed(1))
      }
    }
  }
  const rows = keys.map(key => {
    const { ours, torch } = results[key]
    const rates = [undisturbedRate(ours), undisturbedRate(torch)]
    const megabytes = rounds =>
      (Math.min(...rounds.map(one => one.peakMemoryBytes)) / 1e6).toFixed(0)
    return [
      CASES[key].name,
      ...rates.map(rate => rate.toFixed(0)),
      `${(rates[0] / rates[1]).toFixed(2)} ×`,
      megabytes(ours),
      megabytes(torch),
    ]
  })
  console.log(
    table(['', 'ours, examples/s', 'PyTorch', 'ratio', 'ours, peak MB', 'PyTorch, peak MB'], rows),
  )
  return results
}

function compareLosses() {
  return Object.fromEntries(options.cases.split(',').map(key => [key, compareLoss(key)]))
}

function compareLoss(key) {
  const path = writeJob(key, 100)
  const [ours, torch] = [runSide('ours', path, key), runSide('torch', path, key)]
  const differences = ours.losses.map((loss, i) => Math.abs(loss / torch.losses[i] - 1))
  const rows = [1, 10, 25, 50, 75, 100].map(step => [
    step,
    ours.losses[step - 1].toFixed(6),
    torch.losses[step - 1].toFixed(6),
    differences[step - 1].toExponential(1),
  ])
  console.log(CASES[key].name)
  console.log(table(['step', 'loss, ours', 'PyTorch', 'relative difference'], rows))
  console.log(`largest of 100 steps: ${Math.max(...differences).toExponential(2)}`)
  return { ours, torch }
}

console.log(surroundingsLine(surroundings()))
try {
  const results = options.loss ? compareLosses() : measureSpeed()
  if (options.out !== undefined) {
    writeFileSync(options.out, `${JSON.stringify({ ...surroundings(), results }, null, 2)}\n`)
  }
} finally {
  rmSync(scratch, { recursive: true, force: true })
}
