/**
 * Marking spans of a text (Restaurant-8k: people, date, time, names): `understudy train --task-kind spans` within a budget, F1 of whole
 * spans by field and exact match of whole rows on texts that training never saw.
 *
 *   npm run build && node bench/train/spans.mjs --model FOLDER [--data ../shared/data] [--budget 6m] [--rows N] [--seed 0] [--threads 2]
 *     [--method auto] [--cache .cache/spans] [--out FILE]
 *
 * A seeded fifth of the distinct texts of train_0.json judges; nothing is chosen on it. `--rows` trains on fewer rows.
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { createTokenizer, padBatch, readModelFolder } from '../../dist/models/index.js'
import { openInProcessRuntime } from '../../dist/runtimes/index.js'
import { encodeRows } from '../../dist/train/model/encode-rows.js'
import { measure } from '../../dist/train/model/training-metrics.js'
import { createRng, normaliseText } from '../../dist/util/index.js'
import { surroundings, surroundingsLine, table } from '../lib/table.mjs'

const { values: options } = parseArgs({
  options: {
    model: { type: 'string' },
    data: { type: 'string', default: '../shared/data' },
    budget: { type: 'string', default: '6m' },
    rows: { type: 'string' },
    seed: { type: 'string', default: '0' },
    threads: { type: 'string', default: '2' },
    method: { type: 'string', default: 'auto' },
    cache: { type: 'string', default: '.cache/spans' },
    out: { type: 'string' },
  },
})
if (options.model === undefined)
  throw new Error('--model FOLDER: the encoder, as understudy models list shows it')
const BIN = fileURLToPath(new URL('../../bin/understudy.js', import.meta.url))
const TEST_SHARE = 0.2
const BATCH = 32

const around = surroundings()
console.log(surroundingsLine(around))
const { training, test } = split()
const folder = resolve(options.cache)
mkdirSync(folder, { recursive: true })
const { record, output } = train()
const { scores, labels } = await judge(output)
const percent = value => (100 * value).toFixed(1)
console.log(
  `${training.length} rows to train on, ${test.length} to judge; chosen: ${chosen()}, ${record.seconds} s`,
)
console.log(
  table(
    ['field', 'spans', 'precision', 'recall', 'F1'],
    [
      ...labels.map(one => [
        one.label,
        one.support,
        ...[one.precision, one.recall, one.f1].map(percent),
      ]),
      [
        'all',
        labels.reduce((sum, one) => sum + one.support, 0),
        ...[scores.precision, scores.recall, scores.entityF1].map(percent),
      ],
    ],
  ),
)
console.log(`rows with all spans right: ${percent(scores.exactMatch)} %`)
if (options.out !== undefined)
  writeFileSync(options.out, `${JSON.stringify({ ...around, options, record, scores, labels })}\n`)

function chosen() {
  const { method, layerCount } = record.recipe
  return method === 'head' ? method : `${method}, ${layerCount ?? 'all'} layers`
}

/** Texts that are the same once normalised are one row. */
function split() {
  const file = join(options.data, 'restaurant8k/train_0.json')
  const rows = new Map()
  for (const { userInput, labels = [] } of JSON.parse(readFileSync(file, 'utf8'))) {
    const { text } = userInput
    const key = normaliseText(text)
    if (key === '' || rows.has(key)) continue
    const spans = labels.map(({ slot, valueSpan: { startIndex = 0, endIndex } }) => ({
      start: startIndex,
      end: endIndex,
      label: slot,
    }))
    rows.set(key, { text, spans })
  }
  const all = createRng(`spans ${options.seed}`).shuffle([...rows.values()])
  const testCount = Math.round(TEST_SHARE * all.length)
  return {
    test: all.slice(0, testCount),
    training: all.slice(testCount).slice(0, options.rows && Number(options.rows)),
  }
}

function train() {
  const file = join(folder, 'training.jsonl')
  writeFileSync(file, training.map(row => `${JSON.stringify(row)}\n`).join(''))
  const output = join(folder, 'model')
  rmSync(output, { recursive: true, force: true })
  const where = [
    '--base',
    resolve(options.model),
    '--output',
    output,
    '--data',
    join(folder, 'data'),
  ]
  const how = ['--task-kind', 'spans', '--method', options.method, '--budget', options.budget]
  const { status, stdout } = spawnSync(
    process.execPath,
    [BIN, 'train', file, ...where, ...how, '--json'],
    { encoding: 'utf8', maxBuffer: 1e9, stdio: ['ignore', 'pipe', 'inherit'] },
  )
  if (status !== 0) throw new Error(`training ended with ${status}`)
  return { output, record: JSON.parse(stdout).record }
}

/** By the written graph, with the same measure as training has. */
async function judge(output) {
  const { onnx, tokenizer: tokenizerFiles, config } = await readModelFolder(output)
  const text = name => new TextDecoder().decode(tokenizerFiles.get(name))
  const tokenizer = createTokenizer({
    tokenizer: text('tokenizer.json'),
    config: text('tokenizer_config.json'),
    maxTokens: config.maxTokens,
  })
  const encoded = await encodeRows(test, {
    task: 'spans',
    labels: record.labels,
    tokenizer,
    breathe: async () => {},
  })
  const size = encoded.outputs.length
  const starts = [0]
  for (const sequence of encoded.sequences) starts.push(starts.at(-1) + sequence.length)
  const logits = new Float32Array(starts.at(-1) * size)
  const runtime = await openInProcessRuntime({ threads: Number(options.threads) })
  await runtime.load('model', onnx)
  for (let at = 0; at < test.length; at += BATCH) {
    const sequences = encoded.sequences.slice(at, at + BATCH)
    const { ids, mask } = padBatch(sequences, 0)
    const feeds = { inputIds: ids, attentionMask: mask }
    const result = await runtime.run([{ session: 'model', feeds }])
    const width = ids.dims[1] * size
    sequences.forEach((sequence, i) => {
      const own = result.logits.data.subarray(i * width, i * width + sequence.length * size)
      logits.set(own, starts[at + i] * size)
    })
  }
  await runtime.close()
  return measure(encoded, { logits, subset: [...test.keys()] })
}
