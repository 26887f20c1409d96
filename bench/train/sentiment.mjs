/**
 * Sentiment (rt_polarity), where a frozen sentence encoder knows little: `understudy train` within a budget, the frozen head alone,
 * and PyTorch's full fine-tuning of the same encoder by the Hugging Face Trainer, all judged by the same rows.
 *
 *   npm run build && node bench/train/sentiment.mjs --model FOLDER [--data ../shared/data] [--budget 12m] [--threads 2] [--seed 0]
 *     [--rows N] [--cache .cache/sentiment] [--out FILE] [--python PYTHON [--rates 2e-5,5e-5,1e-4] [--epochs 3] [--batch-size 16]]
 *
 * A seeded fifth of the texts judges; nothing is chosen on it. The Trainer's learning rate, where several are named, is chosen on the inner split
 * that `train` would hold back of the other four fifths, then it is trained on all of them. Of the fifth, a quarter gives, without labels,
 * the grid of thresholds, and the rest certifies the two models of ours, each at δ = 10 %, first look. `--rows` takes
 * fewer rows to train on, for a try. What is done already is kept in the cache folder.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { certify, thresholdGrid } from '../../dist/evals/index.js'
import { createTokenizer, padBatch, readModelFolder } from '../../dist/models/index.js'
import { openInProcessRuntime } from '../../dist/runtimes/index.js'
import { deltaOfLook } from '../../dist/stats/index.js'
import { splitInner } from '../../dist/train/model/inner-split.js'
import { createRng, normaliseText } from '../../dist/util/index.js'
import { readDataset } from '../datasets.mjs'
import { surroundings, surroundingsLine, table } from '../lib/table.mjs'

const { values: options } = parseArgs({
  options: {
    model: { type: 'string' },
    data: { type: 'string', default: '../shared/data' },
    budget: { type: 'string', default: '12m' },
    threads: { type: 'string', default: '2' },
    seed: { type: 'string', default: '0' },
    rows: { type: 'string' },
    cache: { type: 'string', default: '.cache/sentiment' },
    out: { type: 'string' },
    python: { type: 'string' },
    rates: { type: 'string', default: '2e-5,5e-5,1e-4' },
    epochs: { type: 'string', default: '3' },
    'batch-size': { type: 'string', default: '16' },
  },
})
if (options.model === undefined)
  throw new Error('--model FOLDER: the encoder, as understudy models list shows it')
const BIN = fileURLToPath(new URL('../../bin/understudy.js', import.meta.url))
const PEER = fileURLToPath(new URL('./peer.py', import.meta.url))
const RISKS = [0.05, 0.1, 0.15]
const TEST_SHARE = 0.2
const GRID_SHARE = 0.25
const BATCH = 32
const seed = Number(options.seed)
const model = resolve(options.model)

const around = surroundings()
console.log(surroundingsLine(around))
const { training, test } = split()
const folder = resolve(options.cache, `seed-${seed}-rows-${training.length}`)
mkdirSync(folder, { recursive: true })
const files = {
  training: writeCsv('training.csv', training),
  test: writeCsv('test.csv', test),
}
const runs = {
  tuned: await ours('tuned', ['--budget', options.budget]),
  frozen: await ours('frozen', ['--method', 'head']),
  ...(options.python !== undefined && { trainer: trainer() }),
}
console.log(`${training.length} rows to train on, ${test.length} to judge`)
console.log(summary())
if (options.out !== undefined)
  writeFileSync(options.out, `${JSON.stringify({ ...around, options, runs }, null, 2)}\n`)

/** Texts that are the same once normalised are one row. */
function split() {
  const rows = new Map()
  for (const row of readDataset('rt_polarity', options.data)) {
    const key = normaliseText(row.text)
    if (!rows.has(key)) rows.set(key, row)
  }
  const all = createRng(`sentiment ${seed}`).shuffle([...rows.values()])
  const testCount = Math.round(TEST_SHARE * all.length)
  return {
    test: all.slice(0, testCount),
    training: all.slice(testCount).slice(0, options.rows && Number(options.rows)),
  }
}

/** One model by the command that a user would type, then its accuracy and what it could be certified for. */
async function ours(name, args) {
  const output = join(folder, `${name}-${args.at(-1)}`)
  const result = `${output}.json`
  if (!existsSync(result)) {
    rmSync(output, { recursive: true, force: true })
    const common = ['--base', model, '--output', output, '--data', join(folder, 'data'), '--json']
    const started = performance.now()
    const { status, stdout } = spawnSync(
      process.execPath,
      [BIN, 'train', files.training, ...common, ...args],
      { encoding: 'utf8', maxBuffer: 1e9, stdio: ['ignore', 'pipe', 'inherit'] },
    )
    if (status !== 0) throw new Error(`training ended with ${status}`)
    const wallSeconds = (performance.now() - started) / 1000
    const { record } = JSON.parse(stdout)
    const judged = judge(await probabilities(output))
    writeFileSync(result, JSON.stringify({ wallSeconds, record, ...judged }))
  }
  return JSON.parse(readFileSync(result, 'utf8'))
}

/** [rows][labels] of the test rows. */
async function probabilities(output) {
  const { onnx, labels, tokenizer: tokenizerFiles, config } = await readModelFolder(output)
  const text = name => new TextDecoder().decode(tokenizerFiles.get(name))
  const tokenizer = createTokenizer({
    tokenizer: text('tokenizer.json'),
    config: text('tokenizer_config.json'),
    maxTokens: config.maxTokens,
  })
  const runtime = await openInProcessRuntime({ threads: Number(options.threads) })
  await runtime.load('model', onnx)
  const all = []
  for (let at = 0; at < test.length; at += BATCH) {
    const rows = test.slice(at, at + BATCH)
    const { ids, mask } = padBatch(
      rows.map(row => tokenizer.encode(row.text)),
      0,
    )
    const { logits } = await runtime.run([
      { session: 'model', feeds: { inputIds: ids, attentionMask: mask } },
    ])
    rows.forEach((_, i) => {
      const own = [...logits.data.slice(i * labels.length, (i + 1) * labels.length)]
      const exp = own.map(value => Math.exp(value - Math.max(...own)))
      const total = exp.reduce((a, b) => a + b, 0)
      all.push(Object.fromEntries(labels.map((label, k) => [label, exp[k] / total])))
    })
  }
  await runtime.close()
  return all
}

function judge(all) {
  const answers = all.map(one => Object.entries(one).sort((a, b) => b[1] - a[1])[0])
  const losses = answers.map(([label], i) => (label === test[i].label ? 0 : 1))
  const scores = answers.map(([, score]) => Math.round(score * 1e4) / 1e4)
  const gridCount = Math.round(GRID_SHARE * test.length)
  const grid = thresholdGrid(Float64Array.from(scores.slice(0, gridCount)))
  const certified = RISKS.map(targetRisk => {
    const certificate = certify({
      scores: scores.slice(gridCount),
      losses: losses.slice(gridCount),
      grid,
      targetRisk,
      delta: deltaOfLook(0.1, 1),
      promise: 'selective',
    })
    return certificate.claimed ? certificate.coverage : 0
  })
  return { accuracy: 1 - losses.reduce((a, b) => a + b, 0) / losses.length, certified }
}

/** The Trainer at the best of the rates on all rows. */
function trainer() {
  const rates = options.rates.split(',')
  const tried = rates.length > 1 ? tryRates(rates) : []
  const untried = { rate: rates[0], accuracy: -1 }
  const best = tried.reduce((a, b) => (b.accuracy > a.accuracy ? b : a), untried)
  const result = peer(`all-${best.rate}`, {
    training: files.training,
    evaluation: files.test,
    learningRate: Number(best.rate),
  })
  return { ...result, tried, rate: best.rate }
}

/** Each rate without the inner split, which judges. */
function tryRates(rates) {
  const { training: taught, selection } = splitInner('label', training, seed)
  const inner = {
    training: writeCsv(
      'inner-training.csv',
      taught.map(row => training[row]),
    ),
    evaluation: writeCsv(
      'inner-selection.csv',
      selection.map(row => training[row]),
    ),
  }
  return rates.map(rate => {
    const { accuracy } = peer(`inner-${rate}`, { ...inner, learningRate: Number(rate) })
    console.log(`Trainer at ${rate}: ${percent(accuracy)} % on the inner split`)
    return { rate, accuracy }
  })
}

function peer(name, given) {
  const epochs = Number(options.epochs)
  const batchSize = Number(options['batch-size'])
  const out = join(folder, `trainer-${name}-${epochs}-${batchSize}`)
  const result = join(out, 'result.json')
  if (!existsSync(result)) {
    mkdirSync(out, { recursive: true })
    const job = join(out, 'job.json')
    writeFileSync(job, JSON.stringify({ modelFolder: model, epochs, batchSize, ...given }))
    const args = [PEER, '--threads', options.threads, 'trainer', job, out]
    const { status } = spawnSync(options.python, args, { stdio: ['ignore', 'ignore', 'inherit'] })
    if (status !== 0) throw new Error(`the Trainer ended with ${status}`)
  }
  return JSON.parse(readFileSync(result, 'utf8'))
}

function writeCsv(name, rows) {
  const cell = value => `"${value.replaceAll('"', '""')}"`
  const path = join(folder, name)
  const lines = rows.map(({ text, label }) => `${cell(text)},${cell(label)}\n`)
  writeFileSync(path, `text,label\n${lines.join('')}`)
  return path
}

function summary() {
  const heading = [
    '',
    'accuracy',
    ...RISKS.map(risk => `certified at ${100 * risk} %`),
    'seconds',
    'what',
  ]
  const rows = Object.entries(runs).map(([name, run]) => [
    name,
    percent(run.accuracy),
    ...RISKS.map((_, i) => (run.certified === undefined ? '–' : percent(run.certified[i]))),
    run.wallSeconds.toFixed(0),
    run.record === undefined ? `full, ${options.epochs} epochs at ${run.rate}` : described(run),
  ])
  return table(heading, rows)
}

function described({ record: { recipe, rowsUsed, tried } }) {
  const chosen = tried.find(one => one.recipe.method === recipe.method && one.metrics !== null)
  const epochs = recipe.stopAfterEpoch ?? recipe.epochCount
  return `${chosen?.name ?? recipe.method}, ${epochs} epochs, rows: ${rowsUsed}`
}

function percent(value) {
  return (100 * value).toFixed(2)
}
