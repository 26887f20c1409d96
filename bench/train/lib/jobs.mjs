/** Jobs for peer.py that the training engine can run as well: the same batches, initial tensors and learning rates. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { writeSafetensors } from '../../../dist/formats/index.js'
import { createTokenizer } from '../../../dist/models/index.js'
import { createRng } from '../../../dist/util/index.js'
import { readNumbered } from '../../datasets.mjs'

/** PEFT's names of the two linear layers, and how to find them in BERT. */
const TARGETS = { query: 'attention.self.query', value: 'attention.self.value' }

/** `{ sequences, labels, classCount }`: a public set as token numbers, in an order decided by the seed. */
export function tokenised({
  dataset = 'banking77',
  dataFolder,
  modelFolder,
  seed = 0,
  maxTokens = 64,
}) {
  const { texts, labels, classes } = readNumbered(dataset, dataFolder)
  const read = name => readFileSync(join(modelFolder, name), 'utf8')
  const tokenizer = createTokenizer({
    tokenizer: read('tokenizer.json'),
    config: read('tokenizer_config.json'),
    maxTokens,
  })
  const order = createRng(`rows ${seed}`).shuffle([...texts.keys()])
  return {
    sequences: order.map(row => tokenizer.encode(texts[row])),
    labels: order.map(row => labels[row]),
    classCount: classes.length,
  }
}

/**
 * Batches of `batchSize` rows `{ ids, mask, labels }`, each padded to its own longest row. Rows are sorted by length within
 * pools of `poolBatches` batches, so that little is padded and the order is still random.
 */
export function bucketedBatches({ sequences, labels }, { batchSize, seed = 0, poolBatches = 50 }) {
  const rng = createRng(`batches ${seed}`)
  const rows = rng.shuffle([...sequences.keys()])
  const batches = []
  const pool = batchSize * poolBatches
  for (let at = 0; at < rows.length; at += pool) {
    const sorted = rows
      .slice(at, at + pool)
      .sort((a, b) => sequences[a].length - sequences[b].length || a - b)
    const own = []
    for (let i = 0; i < sorted.length; i += batchSize) own.push(sorted.slice(i, i + batchSize))
    batches.push(...rng.shuffle(own))
  }
  return batches.map(batch => padded(batch, { sequences, labels }))
}

function padded(rows, { sequences, labels }) {
  const longest = Math.max(...rows.map(row => sequences[row].length))
  const fill = (row, value) => {
    const own = sequences[row].map(value)
    return [...own, ...new Array(longest - own.length).fill(0)]
  }
  return {
    ids: rows.map(row => fill(row, id => id)),
    mask: rows.map(row => fill(row, () => 1)),
    labels: rows.map(row => labels[row]),
  }
}

/** Linear warm-up from 0 to the peak, then linearly down to 0: one learning rate per step. */
export function linearSchedule({ peak, stepCount, warmupShare = 0.1 }) {
  const warm = Math.max(1, Math.round(warmupShare * stepCount))
  return Array.from({ length: stepCount }, (_, step) =>
    step < warm ? (peak * (step + 1)) / warm : (peak * (stepCount - step)) / (stepCount - warm),
  )
}

/** Writes `job.json` and `initial.safetensors` for `peer.py steps`; returns the path of the job. */
export function writeStepsJob(folder, { batches, evaluation = [], classCount, ...given }) {
  const job = {
    method: 'lora',
    rank: 8,
    alpha: 16,
    targetModules: ['query', 'value'],
    layers: null,
    scale: 16,
    labelSmoothing: 0,
    learningRate: 5e-5,
    headLearningRate: 1e-3,
    weightDecay: 0.01,
    noDecay: ['bias', 'LayerNorm'],
    betas: [0.9, 0.999],
    eps: 1e-8,
    maxGradientNorm: 1,
    seed: 0,
    ...given,
  }
  const { learningRate, headLearningRate, seed, ...rest } = job
  const rates = peak => linearSchedule({ peak, stepCount: batches.length })
  const config = JSON.parse(readFileSync(join(job.modelFolder, 'config.json'), 'utf8'))
  mkdirSync(folder, { recursive: true })
  writeFileSync(
    join(folder, 'initial.safetensors'),
    writeSafetensors(initialTensors({ config, job, classCount, seed })),
  )
  const path = join(folder, 'job.json')
  const whole = {
    ...rest,
    learningRates: rates(learningRate),
    headLearningRates: rates(headLearningRate),
    initial: 'initial.safetensors',
    batches,
    evaluation,
  }
  writeFileSync(path, JSON.stringify(whole))
  return path
}

/** As PyTorch and PEFT begin: A and head uniform in ±1/√inputs, B zero. */
function initialTensors({ config, job, classCount, seed }) {
  const hidden = config.hidden_size
  const tensors = new Map()
  const add = (name, shape, fill) => {
    const values = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, fill)
    tensors.set(name, { type: 'F32', shape, bytes: new Uint8Array(values.buffer) })
  }
  const uniform = name => {
    const rng = createRng(`${seed} ${name}`)
    return () => (2 * rng.next() - 1) / Math.sqrt(hidden)
  }
  add('classifier.weight', [classCount, hidden], uniform('classifier'))
  add('classifier.bias', [classCount], () => 0)
  if (job.method !== 'lora') return tensors
  const layers = job.layers ?? [...new Array(config.num_hidden_layers).keys()]
  for (const layer of layers) {
    for (const target of job.targetModules) {
      const module = `base_model.model.encoder.layer.${layer}.${TARGETS[target]}`
      add(`${module}.lora_A.weight`, [job.rank, hidden], uniform(module))
      add(`${module}.lora_B.weight`, [hidden, job.rank], () => 0)
    }
  }
  return tensors
}
