/**
 * The training engine on the jobs of peer.py, in a process of its own: the same batches, initial tensors and learning rates.
 *
 *   node bench/train/ours.mjs JOB OUT [--threads 2] [--cached] [--spin N]
 *
 * `--cached`: states of the frozen layers are computed first; `--spin`: microseconds that threads wait awake for the next operator
 *
 * Writes OUT/result.json in the form of peer.py. Needs `npm run build`.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { adamW, openTrainer } from '../../dist/engine/index.js'
import { float32Values, readSafetensors } from '../../dist/formats/index.js'
import {
  parseEncoderConfig,
  readEncoderFiles,
  readEncoderWeights,
  transpose,
} from '../../dist/models/index.js'
import { openInProcessRuntime } from '../../dist/runtimes/index.js'
import { classifierGraph } from '../../dist/train/fine-tune/classifier-graph.js'
import { openForward } from '../../dist/train/fine-tune/forward.js'
import { computePrefix } from '../../dist/train/fine-tune/prefix-cache.js'
import { trainableEncoder } from '../../dist/train/fine-tune/trainable-encoder.js'
import { startPace } from '../../dist/train/pace.js'
import { createRng } from '../../dist/util/index.js'

const WARM_UP_STEPS = 3
const WORDS = 'embeddings.word_embeddings.weight'

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    threads: { type: 'string', default: '2' },
    cached: { type: 'boolean', default: false },
    spin: { type: 'string' },
  },
})
const [jobPath, out] = positionals
const job = JSON.parse(readFileSync(jobPath, 'utf8'))
const initial = readSafetensors(readFileSync(resolve(dirname(jobPath), job.initial))).tensors
let files = await readEncoderFiles(job.modelFolder)
const config = parseEncoderConfig(files)
let weights = readEncoderWeights(readSafetensors(files.weights), config)
const runtime = await openInProcessRuntime({
  threads: Number(options.threads),
  ...(options.spin !== undefined && { spinMicroseconds: Number(options.spin) }),
})
const classCount = initial.get('classifier.bias').shape[0]

/** PEFT's A and B of the job instead of our own. */
function withInitial(spec) {
  const tensor = initial.get(`base_model.model.${spec.input.name}`)
  return tensor === undefined
    ? spec
    : { ...spec, initial: float32Values(spec.input.name, tensor).slice() }
}

function openEncoder() {
  const layerCount = job.layers === null ? null : config.layerCount - Math.min(...job.layers)
  const { method, rank, alpha, targetModules } = job
  const encoder = trainableEncoder({
    config,
    weights,
    recipe: { method, rank, alpha, targetModules, layerCount },
    rng: createRng('unused'),
  })
  return { ...encoder, parameters: encoder.parameters.map(withInitial) }
}

const int64 = rows => ({
  type: 'int64',
  dims: [rows.length, rows[0].length],
  data: BigInt64Array.from(rows.flat(), BigInt),
})

function commonFeeds({ mask, labels }) {
  const targets = new Float32Array(labels.length * classCount)
  labels.forEach((label, i) => {
    targets[i * classCount + label] = 1
  })
  return {
    attentionMask: int64(mask),
    targets: { type: 'float32', dims: [labels.length, classCount], data: targets },
    weights: {
      type: 'float32',
      dims: [labels.length],
      data: new Float32Array(labels.length).fill(1 / labels.length),
    },
  }
}

/** Ids counted along the distinct ones of the batch, where word embeddings train. */
function idFeeds(rowsTrain, ids) {
  if (!rowsTrain) return { feeds: { inputIds: int64(ids) } }
  const positions = new Map()
  const local = ids.map(row =>
    row.map(id => {
      if (!positions.has(id)) positions.set(id, positions.size)
      return positions.get(id)
    }),
  )
  return {
    feeds: { inputIds: int64(local) },
    rows: { [WORDS]: Int32Array.from(positions.keys()) },
  }
}

async function main() {
  const startMs = performance.now()
  let encoder = openEncoder()
  const head = {
    weights: transpose(
      float32Values('classifier', initial.get('classifier.weight')),
      classCount,
      config.hiddenSize,
    ),
    bias: float32Values('classifier', initial.get('classifier.bias')).slice(),
  }
  let graph = classifierGraph({
    config,
    encoder,
    classCount,
    scale: job.scale,
    head,
    isPrefixCached: options.cached,
  })
  const scale = job.headLearningRates[1] / job.learningRates[1]
  const isHead = name => name.startsWith('classifier.')
  const trainer = await openTrainer({
    graph,
    parameters: graph.specs.map(spec =>
      isHead(spec.input.name) ? { ...spec, learningRateScale: scale } : spec,
    ),
    rows: encoder.rows,
    optimizer: adamW({ beta1: job.betas[0], beta2: job.betas[1], epsilon: job.eps }),
    runtime,
  })
  const prefix = options.cached ? await cache(encoder) : null
  const rowsTrain = encoder.rows.length > 0
  const forward =
    job.evaluation.length > 0 ? await openForward(graph, { classCount, runtime }) : null
  // The runtime has its own copy by now.
  files = weights = encoder = graph = null
  const losses = []
  const gradientNorms = []
  const stepSeconds = []
  let at = 0
  for (const [step, batch] of job.batches.entries()) {
    const from = performance.now()
    const { feeds, rows } =
      prefix === null
        ? idFeeds(rowsTrain, batch.ids)
        : {
            feeds: {
              hidden: prefix.batch(
                batch.ids.map((_, i) => at + i),
                batch.ids[0].length,
              ),
            },
          }
    at += batch.ids.length
    const result = await trainer.train(
      [{ feeds: { ...commonFeeds(batch), ...feeds }, ...(rows && { rows }) }],
      {
        learningRate: job.learningRates[step],
        weightDecay: job.weightDecay,
        ...(job.maxGradientNorm !== null && { maxGradientNorm: job.maxGradientNorm }),
      },
    )
    stepSeconds.push((performance.now() - from) / 1000)
    losses.push(result.loss)
    gradientNorms.push(result.gradientNorm)
  }
  const evaluation = forward && (await evaluate(forward, name => trainer.values.get(name)))
  const measured = stepSeconds.slice(WARM_UP_STEPS)
  const examples = job.batches.slice(WARM_UP_STEPS).reduce((sum, { ids }) => sum + ids.length, 0)
  mkdirSync(out, { recursive: true })
  writeFileSync(
    join(out, 'result.json'),
    JSON.stringify({
      losses,
      gradientNorms,
      stepSeconds,
      warmUpSteps: WARM_UP_STEPS,
      examplesPerSecond: examples / measured.reduce((a, b) => a + b, 0),
      totalSeconds: (performance.now() - startMs) / 1000,
      peakMemoryBytes: process.resourceUsage().maxRSS * 1024,
      evaluation,
    }),
  )
}

/** Share of the rows of `job.evaluation` whose likeliest class is right. */
async function evaluate(forward, valuesOf) {
  const sequences = sequencesOf(job.evaluation)
  const labels = job.evaluation.flatMap(batch => batch.labels)
  const logits = await forward.logits({ sequences }, { valuesOf, prefix: null, pace: pace() })
  await forward.close()
  const right = labels.filter((label, row) => {
    const own = logits.subarray(row * classCount, (row + 1) * classCount)
    return own.indexOf(Math.max(...own)) === label
  })
  return { count: labels.length, accuracy: right.length / labels.length }
}

const pace = () => startPace(3_600_000, new AbortController().signal)

/** Token numbers of every row of the batches, in order, without padding. */
function sequencesOf(batches) {
  return batches.flatMap(({ ids, mask }) =>
    ids.map((row, i) => row.slice(0, mask[i].filter(one => one === 1).length)),
  )
}

/** Frozen states of every row of every batch, in order. */
function cache(encoder) {
  return computePrefix({
    config,
    modules: encoder.modules,
    layerCount: encoder.firstLayer,
    sequences: sequencesOf(job.batches),
    runtime,
    pace: pace(),
  })
}

await main()
await runtime.close()
