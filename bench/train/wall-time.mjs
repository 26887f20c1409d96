/**
 * `understudy train` against the recipe that every tutorial shows (transformers' Trainer with its defaults), on one 80/20 split of
 * Banking77: wall time from the start of the process to the last evaluation, and accuracy on the rows neither has seen.
 *
 *   npm run build && node bench/train/wall-time.mjs --python PYTHON --model FOLDER [--data ../shared/data] [--budgets 30s,3m]
 *     [--epochs 3] [--threads 2] [--seed 0]
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { createRng } from '../../dist/util/index.js'
import { readDataset } from '../datasets.mjs'
import { surroundings, surroundingsLine, table } from '../lib/table.mjs'
import { accuracyOf, run, train, writeCsv } from '../lib/trained.mjs'

const { values: options } = parseArgs({
  options: {
    python: { type: 'string', default: 'python3' },
    model: { type: 'string' },
    data: { type: 'string', default: '../shared/data' },
    budgets: { type: 'string', default: '30s,3m' },
    epochs: { type: 'string', default: '3' },
    threads: { type: 'string', default: '2' },
    seed: { type: 'string', default: '0' },
  },
})
if (options.model === undefined)
  throw new Error('--model FOLDER: the encoder, as understudy models list shows it')
const here = name => fileURLToPath(new URL(name, import.meta.url))
const scratch = mkdtempSync(join(tmpdir(), 'understudy-wall-time-'))
const at = name => join(scratch, name)

function writeRows() {
  const rows = createRng(`wall time ${options.seed}`).shuffle([
    ...readDataset('banking77', options.data),
  ])
  const held = rows.slice(0, rows.length / 5)
  writeCsv(at('evaluation.csv'), held)
  writeCsv(at('training.csv'), rows.slice(held.length))
  return held
}

function trainer() {
  const [job, out] = [at('job.json'), at('trainer')]
  const { epochs, threads, python } = options
  const modelFolder = resolve(options.model)
  writeFileSync(
    job,
    JSON.stringify({
      modelFolder,
      training: 'training.csv',
      evaluation: 'evaluation.csv',
      epochs: Number(epochs),
    }),
  )
  run(python, [here('./peer.py'), '--threads', threads, 'trainer', job, out])
  const { wallSeconds, accuracy } = JSON.parse(readFileSync(join(out, 'result.json'), 'utf8'))
  return { name: `Trainer, ${epochs} epochs`, seconds: wallSeconds, accuracy }
}

/** Its evaluation counts as well. */
async function understudy(budget, held) {
  const output = at(`model-${budget}`)
  const base = resolve(options.model)
  const seconds = train(at('training.csv'), { output, base, budget, data: at(`data-${budget}`) })
  const started = performance.now()
  const accuracy = await accuracyOf(output, held)
  const all = seconds + (performance.now() - started) / 1000
  return { name: `understudy train --budget ${budget}`, seconds: all, accuracy }
}

console.log(surroundingsLine(surroundings()))
try {
  const held = writeRows()
  const results = []
  for (const budget of options.budgets.split(',')) results.push(await understudy(budget, held))
  results.push(trainer())
  const last = results.at(-1)
  console.log(
    table(
      ['', 'seconds', 'of the Trainer', 'accuracy, %'],
      results.map(({ name, seconds, accuracy }) => [
        name,
        seconds.toFixed(0),
        `${(seconds / last.seconds).toFixed(2)} ×`,
        (100 * accuracy).toFixed(1),
      ]),
    ),
  )
} finally {
  rmSync(scratch, { recursive: true, force: true })
}
