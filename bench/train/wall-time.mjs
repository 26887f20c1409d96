/**
 * `understudy train` against the recipe that every tutorial shows (transformers' Trainer with its defaults), on one 80/20 split of
 * Banking77: wall time from the start of the process to the last evaluation, and accuracy on the rows neither has seen.
 *
 *   npm run build && node bench/train/wall-time.mjs --python PYTHON --model FOLDER [--data ../shared/data] [--budgets 30s,3m]
 *     [--epochs 3] [--threads 2] [--seed 0]
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { openCompressedClassifier, readModelFolder } from '../../dist/models/index.js'
import { openInProcessRuntime } from '../../dist/runtimes/index.js'
import { createRng } from '../../dist/util/index.js'
import { readDataset } from '../datasets.mjs'
import { surroundings, surroundingsLine, table } from '../lib/table.mjs'

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
  const cell = value => `"${value.replaceAll('"', '""')}"`
  const csv = part =>
    `text,label\n${part.map(({ text, label }) => `${cell(text)},${cell(label)}\n`).join('')}`
  const held = rows.slice(0, rows.length / 5)
  writeFileSync(at('evaluation.csv'), csv(held))
  writeFileSync(at('training.csv'), csv(rows.slice(held.length)))
  return held
}

function run(command, args) {
  const started = performance.now()
  const { status, stderr } = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 2 ** 28 })
  if (status !== 0) throw new Error(`${command} ended with ${status}: ${stderr}`)
  return (performance.now() - started) / 1000
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
  const cli = here('../../bin/understudy.js')
  const folder = at(`model-${budget}`)
  const base = ['--base', resolve(options.model), '--data', at(`data-${budget}`)]
  const seconds = run(process.execPath, [
    ...[cli, 'train', at('training.csv'), '--output', folder, '--budget', budget, ...base],
  ])
  const started = performance.now()
  const accuracy = await accuracyOf(folder, held)
  const all = seconds + (performance.now() - started) / 1000
  return { name: `understudy train --budget ${budget}`, seconds: all, accuracy }
}

async function accuracyOf(folder, held) {
  const { onnx, labels, config, tokenizer } = await readModelFolder(folder)
  const runtime = await openInProcessRuntime({ threads: Number(options.threads) })
  const classCount = labels.length
  const handle = await openCompressedClassifier({
    name: 'trained',
    graph: onnx,
    precision: 'float32',
    config,
    tokenizer: new TextDecoder().decode(tokenizer.get('tokenizer.json')),
    classCount,
    runtime,
  })
  const logits = await handle.logits(held.map(({ text }) => text))
  await runtime.close()
  const right = held.filter(({ label }, row) => {
    const own = logits.subarray(row * classCount, (row + 1) * classCount)
    return labels[own.indexOf(Math.max(...own))] === label
  })
  return right.length / held.length
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
