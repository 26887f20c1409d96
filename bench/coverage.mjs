/**
 * Certified coverage and accuracy on public sets, ours and the peers', on the same splits under one certifier.
 *
 *   node bench/coverage.mjs [--data ../shared/data] [--sets banking77,rt_polarity] [--seeds 10] [--first-seed 0] [--held-out]
 *                           [--budget SECONDS]
 *                           [--peers tfidf-lr,minilm-lr,setfit,shad0w] [--peer-seeds 10] [--python PYTHON] [--out FILE]
 *
 * A seed salts the split of `learn` (80 % training, 20 % certification, by input group). Coverage is the certificate's, at
 * confidence 90 %, first look. `--held-out` first sets a fifth of the groups aside, learns from the rest, and reports the
 * realised risk and coverage there, tested one-sided against the target. Results are added to FILE, run by run, and the
 * tables show all of it; `--seeds 0` runs peers alone.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { certifyTable, serves, thresholdGrid } from '../dist/evals/index.js'
import { createClosedSetLearner, learnTask, openEncoderParts } from '../dist/learn/index.js'
import { openInProcessRuntime } from '../dist/runtimes/index.js'
import { binomialSf, deltaOfLook } from '../dist/stats/index.js'
import { splitInputs } from '../dist/tasks/index.js'
import { createRng, quantile } from '../dist/util/index.js'
import { DATASETS, readDataset } from './datasets.mjs'

const RISKS = [0.01, 0.02, 0.05, 0.1]
const DELTA = deltaOfLook(0.1, 1)
const HELD_OUT_SHARE = 0.2

const { values: options } = parseArgs({
  options: {
    data: { type: 'string', default: '../shared/data' },
    sets: { type: 'string', default: Object.keys(DATASETS).join(',') },
    seeds: { type: 'string', default: '10' },
    'held-out': { type: 'boolean', default: false },
    peers: { type: 'string', default: '' },
    budget: { type: 'string', default: '180' },
    'first-seed': { type: 'string', default: '0' },
    'peer-seeds': { type: 'string', default: '10' },
    python: { type: 'string', default: 'python3' },
    out: { type: 'string', default: '.cache/bench/coverage.json' },
  },
})

/** Texts are embedded once for all splits; what serves still embeds each request itself. */
function remembering(encoder) {
  const memory = new Map()
  return {
    ...encoder,
    async embed(texts, embedOptions) {
      const missing = [...new Set(texts.filter(text => !memory.has(text)))]
      const fresh = await encoder.embed(missing, embedOptions)
      missing.forEach((text, i) => {
        memory.set(text, fresh.slice(i * encoder.dimension, (i + 1) * encoder.dimension))
      })
      const all = new Float32Array(texts.length * encoder.dimension)
      for (const [i, text] of texts.entries()) all.set(memory.get(text), i * encoder.dimension)
      return all
    },
  }
}

const toExample = ({ text, label }, i) => ({
  id: `row_${String(i).padStart(6, '0')}`,
  input: text,
  answer: { kind: 'text', text: label },
  time: null,
})

async function ours(rows, seed, learner) {
  const startMs = performance.now()
  const outcome = await learnTask({
    examples: rows.map(toExample),
    learner,
    targetRisk: 0.05,
    delta: DELTA,
    promise: 'selective',
    seed,
    budgetMs: 1000 * Number(options.budget),
    signal: new AbortController().signal,
  })
  if (!outcome.learnable) throw new Error(outcome.reason)
  for (const { name, estimatedCoverage, isChosen } of outcome.candidates) {
    console.error(`${isChosen ? '→' : ' '} ${name}: ${percent(estimatedCoverage)} % by estimate`)
  }
  return { outcome, seconds: (performance.now() - startMs) / 1000 }
}

const summary = (method, seed, { scores, losses, table, seconds }) => ({
  method,
  seed,
  seconds,
  n: scores.length,
  accuracy: 1 - losses.reduce((a, b) => a + b, 0) / losses.length,
  coverage: table.map(claim => (claim.claimed ? claim.coverage : 0)),
  thresholds: table.map(claim => (claim.claimed ? claim.threshold : null)),
})

async function runOurs(rows, seed, learner) {
  const { outcome, seconds } = await ours(rows, seed, learner)
  await outcome.candidate.specialist.close()
  const row = summary('understudy', seed, {
    scores: outcome.rows.map(each => each.score),
    losses: outcome.rows.map(each => each.loss),
    table: outcome.table.map(each => each.selective),
    seconds,
  })
  return { ...row, candidate: outcome.candidate.name }
}

/** Learns from four fifths and looks at the rest, which no part of learning has seen. */
async function runHeldOut(rows, seed, learner) {
  const { ofInput } = splitInputs({
    inputs: rows.map(row => row.text),
    salt: `held-out/${seed}`,
    certificationShare: HELD_OUT_SHARE,
  })
  const isHeld = i => ofInput[i].side === 'certification'
  const { outcome, seconds } = await ours(
    rows.filter((_, i) => !isHeld(i)),
    seed,
    learner,
  )
  const { specialist } = outcome.candidate
  const groups = new Map()
  rows.forEach((row, i) => {
    if (isHeld(i)) groups.set(ofInput[i].group, [...(groups.get(ofInput[i].group) ?? []), row])
  })
  const rng = createRng(`held-out/${seed}`)
  const held = [...groups.values()].map(group => rng.pick(group))
  const answers = await specialist.answerBatch(held.map(row => row.text))
  await specialist.close()
  const table = outcome.table.map(each => each.selective)
  return {
    method: 'understudy, held out',
    seed,
    seconds,
    n: held.length,
    accuracy: answers.filter((answer, i) => answer.output === held[i].label).length / held.length,
    realised: table.map((claim, j) => {
      if (!claim.claimed) return null
      const served = answers
        .map((answer, i) => ({ ...answer, expected: held[i].label }))
        .filter(answer => serves(answer.score, claim.threshold))
      const wrong = served.filter(answer => answer.output !== answer.expected).length
      return { served: served.length, wrong, p: binomialSf(wrong - 1, served.length, RISKS[j]) }
    }),
  }
}

/** The split of `learn`, with three folds by group for the peers' out-of-fold scores. */
function peerSplit(rows, seed) {
  const { ofInput } = splitInputs({ inputs: rows.map(row => row.text), salt: String(seed) })
  const rng = createRng(`peers/${seed}`)
  const byGroup = new Map()
  const train = []
  ofInput.forEach((row, i) => {
    if (row.side === 'training') train.push(i)
    else byGroup.set(row.group, [...(byGroup.get(row.group) ?? []), i])
  })
  const foldOf = new Map()
  for (const i of train) if (!foldOf.has(ofInput[i].group)) foldOf.set(ofInput[i].group, rng.int(3))
  return {
    seed,
    train,
    fold: train.map(i => foldOf.get(ofInput[i].group)),
    certification: [...byGroup.values()].map(group => rng.pick(group)),
  }
}

function runPeers(name, rows) {
  const labels = [...new Set(rows.map(row => row.label))].sort()
  const splits = Array.from({ length: Number(options['peer-seeds']) }, (_, seed) =>
    peerSplit(rows, seed),
  )
  const file = join('.cache', 'bench', `${name}-splits.json`)
  mkdirSync(join('.cache', 'bench'), { recursive: true })
  const numbers = rows.map(row => labels.indexOf(row.label))
  writeFileSync(file, JSON.stringify({ texts: rows.map(row => row.text), labels: numbers, splits }))
  const script = join('bench', 'baselines', 'baselines.py')
  const { stdout, status } = spawnSync(
    options.python,
    [script, file, '--methods', options.peers, '--seeds', options['peer-seeds']],
    { stdio: ['ignore', 'pipe', 'inherit'], encoding: 'utf8', maxBuffer: 2 ** 30 },
  )
  if (status !== 0)
    throw new Error(
      `the peers failed; is bench/baselines/requirements.txt installed in ${options.python}?`,
    )
  return stdout
    .trim()
    .split('\n')
    .map(line => JSON.parse(line))
    .map(peer => {
      const losses = splits[peer.seed].certification.map((row, i) =>
        numbers[row] === peer.predictions[i] ? 0 : 1,
      )
      const input = {
        scores: peer.scores,
        losses,
        grid: thresholdGrid(peer.gridScores),
        delta: DELTA,
        promise: 'selective',
      }
      return summary(peer.method, peer.seed, {
        scores: peer.scores,
        losses,
        table: certifyTable(input, RISKS),
        seconds: peer.seconds,
      })
    })
}

const percent = value => (100 * value).toFixed(1)
const spread = values =>
  `${percent(quantile(values, 0.5))} (${percent(Math.min(...values))}–${percent(Math.max(...values))})`

/** Median and range over seeds, one line per method. */
function table(set, results) {
  const lines = [
    `| ${set} | accuracy | α = 1 % | 2 % | 5 % | 10 % | no claim at 1 % | fit, s |`,
    '|---|---|---|---|---|---|---|---|',
  ]
  for (const method of new Set(results.map(row => row.method))) {
    const rows = results.filter(row => row.method === method && row.coverage)
    if (rows.length === 0) continue
    const columns = RISKS.map((_, j) => spread(rows.map(row => row.coverage[j])))
    const none = rows.filter(row => row.coverage[0] === 0).length
    const seconds = quantile(
      rows.map(row => row.seconds),
      0.5,
    ).toFixed(0)
    lines.push(
      `| ${method} | ${spread(rows.map(row => row.accuracy))} | ${columns.join(' | ')} | ${none}/${rows.length} | ${seconds} |`,
    )
  }
  const held = results.filter(row => row.realised)
  for (const [j, risk] of RISKS.entries()) {
    const looks = held.map(row => row.realised[j]).filter(look => look !== null)
    if (looks.length === 0) continue
    const risks = looks.map(look => look.wrong / look.served)
    const worst = Math.min(...looks.map(look => look.p))
    lines.push(
      `| held out, α = ${percent(risk)} % | realised risk ${spread(risks)} | coverage ${spread(looks.map((look, i) => look.served / held[i].n))} | ${looks.length}/${held.length} claims | smallest one-sided p ${worst.toFixed(3)} |||`,
    )
  }
  return lines.join('\n')
}

const runtime = await openInProcessRuntime({ threads: 2 })
const { parts, notice } = await openEncoderParts({ openRuntime: async () => runtime })
if (notice !== null) console.error(notice)
const learner = createClosedSetLearner({
  ...parts,
  encoder: parts.encoder && remembering(parts.encoder),
})
const everything = existsSync(options.out) ? JSON.parse(readFileSync(options.out, 'utf8')) : {}

/** Newer rows replace those of the same method and seed. */
function keep(set, rows) {
  const isNewer = old => rows.some(row => row.method === old.method && row.seed === old.seed)
  everything[set] = [...(everything[set] ?? []).filter(old => !isNewer(old)), ...rows]
  mkdirSync(join(options.out, '..'), { recursive: true })
  writeFileSync(options.out, JSON.stringify(everything))
}

for (const set of options.sets.split(',')) {
  const rows = readDataset(set, options.data)
  const results = []
  const first = Number(options['first-seed'])
  for (let seed = first; seed < first + Number(options.seeds); seed++) {
    results.push(await (options['held-out'] ? runHeldOut : runOurs)(rows, seed, learner))
    const { accuracy, coverage, realised, seconds } = results.at(-1)
    console.error(
      set,
      'seed',
      seed,
      percent(accuracy),
      coverage?.map(percent).join(' ') ?? JSON.stringify(realised),
      `${seconds.toFixed(0)} s`,
    )
  }
  if (options.peers !== '') results.push(...runPeers(set, rows))
  keep(set, results)
  console.log(`${table(set, everything[set])}\n`)
}
console.error(`peak memory ${(process.resourceUsage().maxRSS / 1024).toFixed(0)} MB`)
await runtime.close()
