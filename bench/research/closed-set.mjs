/**
 * Accuracy and certified coverage of the closed-set classifier over resplits, beside a linear head alone:
 * node bench/research/closed-set.mjs --model FOLDER --data FOLDER [--sets a,b] [--seeds 10] [--first-seed 0] [--reflex]
 * [--cache FOLDER] embeds each set once and keeps the embeddings there; without it each split embeds anew, for timing.
 * Needs `npm run build`.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { emit, float32, Gather, input } from '../../dist/engine/index.js'
import { certify, thresholdGrid } from '../../dist/evals/index.js'
import { createEncoder, loadClassifier } from '../../dist/models/index.js'
import { openRuntimePool } from '../../dist/runtimes/index.js'
import { foldsByGroup } from '../../dist/train/closed-set/folds.js'
import { openHeadFitter } from '../../dist/train/head/fit-head.js'
import { fitClassifier } from '../../dist/train/index.js'
import { createRng, normaliseText, quantile } from '../../dist/util/index.js'
import { readNumbered } from '../datasets.mjs'

const { values: args } = parseArgs({
  options: {
    model: { type: 'string' },
    data: { type: 'string' },
    sets: { type: 'string', default: 'banking77' },
    seeds: { type: 'string', default: '10' },
    'first-seed': { type: 'string', default: '0' },
    reflex: { type: 'boolean', default: false },
    cache: { type: 'string' },
  },
})
const RISKS = [0.05, 0.02, 0.01]
const DELTA = 0.1

/**
 * An encoder that looks embeddings up, through a graph of its own, so that everything behind it runs as it serves.
 * Embeddings are kept in the cache folder between runs.
 */
async function recorded(encoder, texts, path) {
  const { dimension, runtime, weightsHash, name } = encoder
  if (!existsSync(path)) writeFileSync(path, await encoder.embed(texts))
  const vectors = new Float32Array(Uint8Array.from(readFileSync(path)).buffer)
  const positions = new Map(texts.map((text, i) => [text, i]))
  const session = `recorded ${path}`
  const index = input('index', 'int64', ['batch'])
  const known = float32('known', vectors, [texts.length, dimension])
  await runtime.load(
    session,
    emit('recorded', { inputs: [index], outputs: { embedding: Gather(known, index) } }),
  )
  const at = text => positions.get(text)
  return {
    dimension,
    name,
    runtime,
    session,
    weightsHash,
    output: 'embedding',
    feeds: asked => ({
      index: {
        type: 'int64',
        dims: [asked.length],
        data: BigInt64Array.from(asked, text => BigInt(at(text))),
      },
    }),
    async embed(asked) {
      const all = new Float32Array(asked.length * dimension)
      asked.forEach((text, i) => {
        all.set(vectors.subarray(at(text) * dimension, (at(text) + 1) * dimension), i * dimension)
      })
      return all
    },
    close: () => runtime.unload(session),
  }
}

function resplit({ texts, labels, classes }, seed) {
  const groupOf = new Map()
  const groups = Int32Array.from(texts, text => {
    const key = normaliseText(text)
    if (!groupOf.has(key)) groupOf.set(key, groupOf.size)
    return groupOf.get(key)
  })
  const { folds } = foldsByGroup(groups, 5, createRng(`resplit ${seed}`))
  const side = isTraining => {
    const rows = [...texts.keys()].filter(row => (folds[row] !== 0) === isTraining)
    return {
      inputs: rows.map(row => texts[row]),
      labels: Int32Array.from(rows, row => labels[row]),
      groups: Int32Array.from(rows, row => groups[row]),
    }
  }
  // One row per group on the certification side.
  const all = side(false)
  const first = [...all.groups.keys()].filter(i => all.groups.indexOf(all.groups[i]) === i)
  return {
    training: { ...side(true), classCount: classes.length },
    held: { inputs: first.map(i => all.inputs[i]), labels: first.map(i => all.labels[i]) },
  }
}

/** Accuracy and certificates from scores, with the grid taken from out-of-fold scores. */
function judge(outOfFold, scores, got, labels) {
  const losses = labels.map((label, i) => (got[i] === label ? 0 : 1))
  const grid = thresholdGrid(outOfFold)
  const certificates = RISKS.map(targetRisk =>
    certify({ scores, losses, grid, targetRisk, delta: DELTA, promise: 'selective' }),
  )
  return {
    accuracy: 1 - losses.reduce((a, b) => a + b, 0) / losses.length,
    coverage: certificates.map(one => (one.claimed ? one.coverage : 0)),
    risk: certificates.map(one => (one.claimed ? one.lossSum / one.servedCount : null)),
  }
}

/** Frozen encoder and logistic regression, scored by its top probability. */
async function linearHead(encoder, { training, held }) {
  const embed = async texts => encoder.embed(texts)
  const { inputs, labels, groups, classCount } = training
  const { dimension } = encoder
  const embeddings = await embed(inputs)
  const fitter = await openHeadFitter(encoder.runtime, {
    embeddings,
    labels,
    dimension,
    classCount,
  })
  const { folds } = foldsByGroup(groups, 5, createRng('baseline'))
  const signal = new AbortController().signal
  const heads = await Promise.all(
    [-1, 0, 1, 2, 3, 4].map(fold =>
      fitter.fit(
        Float32Array.from(folds, other => (other === fold ? 0 : 1)),
        { maxEvaluations: 150, signal },
      ),
    ),
  )
  await fitter.close()
  const tops = (head, vectors, rows) =>
    rows.map(row => top(head, vectors.subarray(row * dimension, (row + 1) * dimension)))
  const outOfFold = new Float64Array(inputs.length)
  for (let fold = 0; fold < 5; fold++) {
    const rows = [...inputs.keys()].filter(row => folds[row] === fold)
    tops(heads[fold + 1], embeddings, rows).forEach(({ score }, i) => {
      outOfFold[rows[i]] = score
    })
  }
  const results = tops(heads[0], await embed(held.inputs), [...held.inputs.keys()])
  return judge(
    outOfFold,
    results.map(one => one.score),
    results.map(one => one.label),
    held.labels,
  )
}

function top({ weights, bias, classCount }, vector) {
  const logits = Float64Array.from(bias)
  vector.forEach((value, d) => {
    for (let k = 0; k < classCount; k++) logits[k] += value * weights[d * classCount + k]
  })
  const label = logits.indexOf(Math.max(...logits))
  return { label, score: 1 / logits.reduce((sum, z) => sum + Math.exp(z - logits[label]), 0) }
}

const percent = value => (100 * value).toFixed(1)
const describe = ({ accuracy, coverage }) =>
  `${percent(accuracy)} ${coverage.map(percent).join('/')}`

function summary(name, runs) {
  const column = pick => runs.map(pick)
  const spread = values =>
    `${percent(quantile(values, 0.5))} [${percent(Math.min(...values))}, ${percent(Math.max(...values))}]`
  const risks = RISKS.map((risk, j) => {
    const covered = column(run => run.coverage[j])
    const none = covered.filter(value => value === 0).length
    return `${100 * risk} %: ${spread(covered)}, no claim ${none}/${runs.length}`
  })
  console.log(
    `  ${name.padEnd(8)} accuracy ${spread(column(run => run.accuracy))} | ${risks.join(' | ')}`,
  )
}

const runtime = openRuntimePool({ workers: 2 })
const encoder = args.reflex
  ? null
  : await createEncoder({ name: 'all-minilm-l6-v2', source: args.model, runtime })
for (const set of args.sets.split(',')) {
  const data = readNumbered(set, args.data)
  const warm =
    encoder === null || args.cache === undefined
      ? encoder
      : await recorded(encoder, data.texts, join(args.cache, `${set}.f32`))
  const runs = {}
  for (let i = 0; i < Number(args.seeds); i++) {
    const seed = Number(args['first-seed']) + i
    const split = resplit(data, seed)
    const startMs = performance.now()
    const candidates = await fitClassifier({
      ...split.training,
      encoder: warm,
      runtime: encoder === null ? null : runtime,
      rng: createRng(seed),
      signal: new AbortController().signal,
      budgetMs: 180_000,
      onProgress: () => {},
    })
    const fitS = ((performance.now() - startMs) / 1000).toFixed(1)
    const line = []
    for (const { name, manifest, blobs, outOfFoldScores } of candidates) {
      const classifier = await loadClassifier(manifest, blobs, { encoder: warm, runtime })
      const heldMs = performance.now()
      const { scores, labels } = await classifier.predict(split.held.inputs)
      const eachMs = (performance.now() - heldMs) / split.held.inputs.length
      await classifier.close()
      const result = judge(outOfFoldScores, scores, labels, split.held.labels)
      runs[name] = [...(runs[name] ?? []), result]
      line.push(`${name} ${describe(result)} (${eachMs.toFixed(2)} ms each)`)
    }
    if (warm !== null) {
      const result = await linearHead(warm, split)
      runs.linear = [...(runs.linear ?? []), result]
      line.push(`linear ${describe(result)}`)
    }
    const memory = Math.round(process.memoryUsage.rss() / 2 ** 20)
    console.log(`${set} seed ${seed}: fitted in ${fitS} s, ${memory} MiB; ${line.join('; ')}`)
  }
  for (const [name, results] of Object.entries(runs)) summary(name, results)
}
await runtime.close()
