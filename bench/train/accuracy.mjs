/**
 * Accuracy after the same LoRA run here and in PyTorch with PEFT, seed by seed: the same rows, batches, initial tensors and learning
 * rates, judged by the same rows of Banking77 that neither trained on.
 *
 *   npm run build && node bench/train/accuracy.mjs --python PYTHON --model FOLDER [--data ../shared/data] [--seeds 0,1,2]
 *     [--rows 3200] [--evaluation 2000] [--epochs 3] [--threads 2]
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
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
    seeds: { type: 'string', default: '0,1,2' },
    rows: { type: 'string', default: '3200' },
    evaluation: { type: 'string', default: '2000' },
    epochs: { type: 'string', default: '3' },
    threads: { type: 'string', default: '2' },
  },
})
if (options.model === undefined)
  throw new Error('--model FOLDER: the encoder, as understudy models list shows it')
const here = name => fileURLToPath(new URL(name, import.meta.url))
const scratch = mkdtempSync(join(tmpdir(), 'understudy-accuracy-'))
const SIDES = {
  ours: [process.execPath, here('./ours.mjs')],
  torch: [options.python, here('./peer.py')],
}

function writeJob(seed) {
  const { sequences, labels, classCount } = tokenised({
    dataFolder: options.data,
    modelFolder: options.model,
    seed,
  })
  const [held, taught] = [Number(options.evaluation), Number(options.rows)]
  const part = (from, to) => ({
    sequences: sequences.slice(from, to),
    labels: labels.slice(from, to),
  })
  const training = part(held, held + taught)
  const batchesOf = epoch => bucketedBatches(training, { batchSize: 32, seed: `${seed}/${epoch}` })
  return writeStepsJob(join(scratch, String(seed)), {
    method: 'lora',
    learningRate: 1e-3,
    modelFolder: resolve(options.model),
    classCount,
    batches: Array.from({ length: Number(options.epochs) }, (_, epoch) => batchesOf(epoch)).flat(),
    evaluation: bucketedBatches(part(0, held), { batchSize: 64 }),
    seed,
  })
}

function run(side, path) {
  const out = `${path}-${side}`
  const threads = ['--threads', options.threads]
  const args = side === 'ours' ? [path, out, ...threads] : [...threads, 'steps', path, out]
  const [command, script] = SIDES[side]
  const done = spawnSync(command, [script, ...args], { encoding: 'utf8' })
  if (done.status !== 0) throw new Error(`${side}: ${done.stderr}`)
  return JSON.parse(readFileSync(join(out, 'result.json'), 'utf8')).evaluation.accuracy
}

console.log(surroundingsLine(surroundings()))
try {
  const rows = options.seeds.split(',').map(seed => {
    const path = writeJob(seed)
    const result = [run('ours', path), run('torch', path)]
    console.error(seed, ...result)
    return result
  })
  const mean = side => rows.reduce((sum, row) => sum + row[side], 0) / rows.length
  const percent = value => (100 * value).toFixed(2)
  const lineOf = (name, [ours, torch]) => [
    name,
    percent(ours),
    percent(torch),
    percent(ours - torch),
  ]
  console.log(
    table(
      ['seed', 'ours, %', 'PyTorch, %', 'difference, points'],
      [
        ...rows.map((row, i) => lineOf(options.seeds.split(',')[i], row)),
        lineOf('mean', [mean(0), mean(1)]),
      ],
    ),
  )
} finally {
  rmSync(scratch, { recursive: true, force: true })
}
