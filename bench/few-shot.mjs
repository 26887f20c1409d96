/**
 * Ten labelled rows per class of Banking77: `understudy train` beside a linear head on the frozen encoder and SetFit, on the same
 * seeded draws and judged by the same rows, none of which is in a draw.
 *
 *   npm run build && node bench/few-shot.mjs --model FOLDER [--data ../shared/data] [--dataset banking77] [--draws 0,1,2,3,4]
 *     [--per-class 10] [--evaluation 2000] [--threads 2] [--methods head,auto] [--budget 3m] [--cache .cache/few-shot] [--out FILE]
 *     [--python PYTHON [--setfit-iterations 20] [--setfit-device cpu]]
 *
 * `head` is logistic regression on frozen embeddings; `auto` is what a user gets who asks for nothing.
 *
 * SetFit is run where --python names one with bench/train/requirements.txt, draw after draw, and its results are kept in the
 * cache folder. `--setfit-iterations 20` is the paper's setting (Tunstall et al. 2022): 40 pairs for each row, 1,925 steps. 0 asks for
 * what setfit 1.2 does when it is told nothing: each pair of unlike rows once, as many of like ones, 36,600 steps.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { fewShot } from './lib/few-shot-draws.mjs'
import { surroundings, surroundingsLine, table } from './lib/table.mjs'
import { accuracyOf, train, writeCsv } from './lib/trained.mjs'

const { values: options } = parseArgs({
  options: {
    model: { type: 'string' },
    data: { type: 'string', default: '../shared/data' },
    dataset: { type: 'string', default: 'banking77' },
    draws: { type: 'string', default: '0,1,2,3,4' },
    'per-class': { type: 'string', default: '10' },
    evaluation: { type: 'string', default: '2000' },
    threads: { type: 'string', default: '2' },
    methods: { type: 'string', default: 'head,auto' },
    budget: { type: 'string', default: '3m' },
    cache: { type: 'string', default: '.cache/few-shot' },
    out: { type: 'string' },
    python: { type: 'string' },
    'setfit-iterations': { type: 'string', default: '20' },
    'setfit-device': { type: 'string', default: 'cpu' },
  },
})
if (options.model === undefined)
  throw new Error('--model FOLDER: the encoder, as understudy models list shows it')
const PEER = fileURLToPath(new URL('./train/peer.py', import.meta.url))

const around = surroundings()
console.log(surroundingsLine(around))
const source = fewShot(options.dataset, options.data, {
  evaluationCount: Number(options.evaluation),
})
const named = ({ texts, labels }) =>
  texts.map((text, i) => ({ text, label: source.classes[labels[i]] }))
const scratch = mkdtempSync(join(tmpdir(), 'understudy-few-shot-'))
const draws = []
try {
  for (const seed of options.draws.split(',').map(Number)) {
    const result = await ours(seed, named(source.draw(seed, Number(options['per-class']))))
    draws.push(result)
    console.log(line(result))
  }
} finally {
  rmSync(scratch, { recursive: true, force: true })
}
if (options.python !== undefined) {
  for (const result of draws) {
    result.setfit = setfit(result.seed)
    console.log(line(result))
  }
}
console.log(summary())
if (options.out !== undefined)
  writeFileSync(options.out, `${JSON.stringify({ ...around, options, draws }, null, 2)}\n`)

/** `{ accuracy, seconds }` of each method on one draw, everything from the start of the process to the folder. */
async function ours(seed, rows) {
  const file = join(scratch, `${seed}.csv`)
  writeCsv(file, rows)
  const result = { seed, rowCount: rows.length }
  for (const method of options.methods.split(',')) {
    const output = join(scratch, `${seed}-${method}`)
    const { model, budget } = options
    const how = { output, base: resolve(model), data: join(scratch, 'data'), budget, method }
    const seconds = train(file, how)
    const accuracy = await accuracyOf(output, named(source.evaluation))
    result[method] = { accuracy, seconds, chosen: chosenOf(output) }
  }
  return result
}

/** What the search settled for. */
function chosenOf(folder) {
  const { recipe } = JSON.parse(readFileSync(join(folder, 'recipe.json'), 'utf8'))
  return recipe.method
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
  writeCsv(evaluation, named(source.evaluation))
  const draw = named(source.draw(seed, Number(options['per-class'])))
  const job = {
    modelFolder: resolve(options.model),
    draws: [draw],
    evaluation: 'evaluation.csv',
    device: options['setfit-device'],
    arguments: iterations > 0 ? { num_iterations: iterations } : {},
  }
  writeFileSync(path, JSON.stringify(job))
}

function line({ seed, rowCount, ...methods }) {
  const parts = Object.entries(methods).map(
    ([name, { accuracy, seconds, chosen }]) =>
      `${name}${chosen === undefined ? '' : ` (${chosen})`} ${percent(accuracy)} in ${seconds.toFixed(1)} s`,
  )
  return `draw ${seed}, ${rowCount} rows: ${parts.join('; ')}`
}

function summary() {
  const mean = values => values.reduce((a, b) => a + b, 0) / values.length
  const rows = [...options.methods.split(','), 'setfit'].flatMap(name => {
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
