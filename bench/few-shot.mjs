/**
 * Ten labelled rows per class of Banking77: few-shot contrastive fitting beside a head on the frozen encoder and SetFit, on the
 * same seeded draws and judged by the same rows, none of which is in a draw.
 *
 *   npm run build && node bench/few-shot.mjs --model FOLDER [--data ../shared/data] [--dataset banking77] [--draws 0,1,2,3,4]
 *     [--per-class 10] [--evaluation 2000] [--threads 2] [--recipe '{"epochCount":4}'] [--cache .cache/few-shot] [--out FILE]
 *     [--python PYTHON [--setfit-iterations 20]]
 *
 * SetFit is run where --python names one with bench/train/requirements.txt, draw after draw, and its results are kept in the
 * cache folder. `--setfit-iterations 20` is the paper's setting (Tunstall et al. 2022): 40 pairs for each row, 1,925 steps. 0 asks for
 * what setfit 1.2 does when it is told nothing: each pair of unlike rows once, as many of like ones, 36,600 steps.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { readSafetensors } from '../dist/formats/index.js'
import {
  createTokenizer,
  frozenModules,
  parseEncoderConfig,
  readEncoderFiles,
  readEncoderWeights,
} from '../dist/models/index.js'
import { openInProcessRuntime } from '../dist/runtimes/index.js'
import { fitFewShot } from '../dist/train/fine-tune/contrastive.js'
import { embedRows } from '../dist/train/fine-tune/embed-rows.js'
import { completeRecipe } from '../dist/train/fine-tune/recipe.js'
import { tunedWeights } from '../dist/train/fine-tune/tuned-weights.js'
import { applyHead } from '../dist/train/head/apply-head.js'
import { openHeadFitter } from '../dist/train/head/fit-head.js'
import { startPace } from '../dist/train/pace.js'
import { fewShot } from './lib/few-shot-draws.mjs'
import { surroundings, surroundingsLine, table } from './lib/table.mjs'

const { values: options } = parseArgs({
  options: {
    model: { type: 'string' },
    data: { type: 'string', default: '../shared/data' },
    dataset: { type: 'string', default: 'banking77' },
    draws: { type: 'string', default: '0,1,2,3,4' },
    'per-class': { type: 'string', default: '10' },
    evaluation: { type: 'string', default: '2000' },
    threads: { type: 'string', default: '2' },
    recipe: { type: 'string', default: '{}' },
    cache: { type: 'string', default: '.cache/few-shot' },
    out: { type: 'string' },
    python: { type: 'string' },
    'setfit-iterations': { type: 'string', default: '20' },
  },
})
if (options.model === undefined)
  throw new Error('--model FOLDER: the encoder, as understudy models list shows it')
const PEER = fileURLToPath(new URL('./train/peer.py', import.meta.url))
const MAX_TOKENS = 128
const { signal } = new AbortController()
const pace = startPace(Number.POSITIVE_INFINITY, signal)

const around = surroundings()
console.log(surroundingsLine(around))
const source = fewShot(options.dataset, options.data, {
  evaluationCount: Number(options.evaluation),
})
const model = await openModel(resolve(options.model))
const draws = []
for (const seed of options.draws.split(',').map(Number)) {
  const rows = source.draw(seed, Number(options['per-class']))
  const result = { seed, rowCount: rows.texts.length, ...(await ours(rows)) }
  draws.push(result)
  console.log(line(result))
}
await model.runtime.close()
if (options.python !== undefined) {
  for (const result of draws) {
    result.setfit = setfit(result.seed)
    console.log(line(result))
  }
}
console.log(summary())
if (options.out !== undefined)
  writeFileSync(options.out, `${JSON.stringify({ ...around, options, draws }, null, 2)}\n`)

async function openModel(folder) {
  const files = await readEncoderFiles(folder)
  const config = parseEncoderConfig(files)
  return {
    config,
    weights: readEncoderWeights(readSafetensors(files.weights), config),
    tokenizer: createTokenizer({
      tokenizer: files.tokenizer,
      config: files.tokenizerConfig,
      maxTokens: Math.min(MAX_TOKENS, config.maxTokens),
    }),
    runtime: await openInProcessRuntime({ threads: Number(options.threads) }),
  }
}

/** The frozen head and few-shot fitting on one draw: `{ accuracy, seconds }` of each, everything from texts to the fit. */
async function ours({ texts, labels }) {
  const { config, weights, tokenizer, runtime } = model
  const classCount = source.classes.length
  const started = performance.now()
  const sequences = texts.map(text => tokenizer.encode(text))
  const embeddings = await embed(weights, sequences)
  const dimension = config.hiddenSize
  const fitter = await openHeadFitter(runtime, { embeddings, labels, dimension, classCount })
  const isTaught = new Float32Array(labels.length).fill(1)
  const head = await fitter.fit(isTaught, { maxEvaluations: 80, signal })
  await fitter.close()
  const frozenSeconds = secondsSince(started)
  const targets = new Float32Array(labels.length * classCount)
  labels.forEach((label, row) => {
    targets[row * classCount + label] = 1
  })
  const recipe = completeRecipe({ method: 'contrastive', ...JSON.parse(options.recipe) })
  const again = performance.now()
  const fitted = await fitFewShot({
    config,
    weights,
    rows: { sequences, classCount, targets, weights: isTaught },
    recipe,
    runtime,
    pace,
    signal,
  })
  const seconds = secondsSince(again)
  const tuned = {
    ...head,
    weights: fitted.head.weights.map(value => value * recipe.scale),
    bias: fitted.head.bias,
  }
  return {
    frozen: { accuracy: await accuracy(weights, head), seconds: frozenSeconds },
    contrastive: { accuracy: await accuracy(tunedWeights(weights, fitted), tuned), seconds },
  }
}

function embed(weights, sequences) {
  const { config, runtime } = model
  const modules = frozenModules(config, weights)
  return embedRows({ config, modules, sequences, prefix: null, runtime, pace })
}

async function accuracy(weights, head) {
  const { texts, labels } = source.evaluation
  const embeddings = await embed(
    weights,
    texts.map(text => model.tokenizer.encode(text)),
  )
  const { classCount } = head
  const logits = applyHead(head, embeddings, [...labels.keys()])
  const right = labels.filter((label, row) => {
    const own = logits.subarray(row * classCount, (row + 1) * classCount)
    return own.indexOf(Math.max(...own)) === label
  })
  return right.length / labels.length
}

/** SetFit on one draw; null where it failed, which is said. */
function setfit(seed) {
  const cache = resolve(options.cache)
  const iterations = Number(options['setfit-iterations'])
  const name = [options.dataset, options['per-class'], options.evaluation, iterations, seed].join(
    '-',
  )
  const out = join(cache, name)
  const result = join(out, 'result.json')
  if (!existsSync(result)) {
    mkdirSync(out, { recursive: true })
    const job = join(out, 'job.json')
    writeJob(job, join(out, 'evaluation.csv'), { seed, iterations })
    const args = [PEER, '--threads', options.threads, 'setfit', job, out]
    const stdio = ['ignore', 'inherit', 'inherit']
    const { status } = spawnSync(options.python, args, { stdio })
    if (status !== 0) throw new Error(`SetFit ended with ${status}`)
  }
  const [{ accuracy, fitSeconds }] = JSON.parse(readFileSync(result, 'utf8')).draws
  return { accuracy, seconds: fitSeconds }
}

function writeJob(path, evaluation, { seed, iterations }) {
  const rowsOf = ({ texts, labels }) =>
    texts.map((text, i) => ({ text, label: source.classes[labels[i]] }))
  const cell = value => `"${value.replaceAll('"', '""')}"`
  const lines = rowsOf(source.evaluation).map(({ text, label }) => `${cell(text)},${cell(label)}\n`)
  writeFileSync(evaluation, `text,label\n${lines.join('')}`)
  const draw = rowsOf(source.draw(seed, Number(options['per-class'])))
  const job = {
    modelFolder: resolve(options.model),
    draws: [draw],
    evaluation: 'evaluation.csv',
    arguments: iterations > 0 ? { num_iterations: iterations } : {},
  }
  writeFileSync(path, JSON.stringify(job))
}

function line({ seed, rowCount, ...methods }) {
  const parts = Object.entries(methods).map(
    ([name, { accuracy, seconds }]) => `${name} ${percent(accuracy)} in ${seconds.toFixed(1)} s`,
  )
  return `draw ${seed}, ${rowCount} rows: ${parts.join('; ')}`
}

function summary() {
  const mean = values => values.reduce((a, b) => a + b, 0) / values.length
  const rows = ['frozen', 'contrastive', 'setfit'].flatMap(name => {
    const runs = draws.flatMap(draw => draw[name] ?? [])
    if (runs.length === 0) return []
    const accuracies = runs.map(run => run.accuracy)
    return [
      [
        name,
        runs.length,
        percent(mean(accuracies)),
        accuracies.map(percent).join(', '),
        mean(runs.map(run => run.seconds)).toFixed(1),
      ],
    ]
  })
  return table(['', 'draws', 'mean accuracy', 'each', 'seconds to fit'], rows)
}

function percent(value) {
  return (100 * value).toFixed(2)
}

function secondsSince(started) {
  return (performance.now() - started) / 1000
}
