/** Fine-tunes an encoder with a head on rows of texts and targets. Knows no classes by name, no traffic and no certificate. */

import {
  adamW,
  constantSchedule,
  cosineSchedule,
  linearSchedule,
  type MicroBatch,
  openTrainer,
  type Schedule,
  type Trainer,
  type TrainingRuntime,
} from '../engine/index.ts'
import { UnderstudyError } from '../errors.ts'
import { type EncoderConfig, type EncoderWeights, padBatch, WORDS } from '../models/index.ts'
import { createRng } from '../util/index.ts'
import { type Checkpoint, readCheckpoint, writeCheckpoint } from './checkpoint.ts'
import {
  BATCH,
  type ClassifierGraph,
  classifierGraph,
  HEAD_BIAS,
  HEAD_WEIGHT,
} from './classifier-graph.ts'
import type { Pace } from './pace.ts'
import { computePrefix, type PrefixCache, prefixBytes } from './prefix-cache.ts'
import type { Recipe } from './recipe.ts'
import { type TrainableEncoder, trainableEncoder } from './trainable-encoder.ts'
import { planEpoch } from './training-batches.ts'

/** Rows to learn from. */
export interface TrainingRows {
  /** Token numbers with special tokens. */
  readonly sequences: readonly (readonly number[])[]
  readonly classCount: number
  /** Probabilities wanted, [rows, classCount]: one-hot, or those of a teacher. */
  readonly targets: Float32Array
  /** How much each row counts, mean 1. */
  readonly weights: Float32Array
  /** Rows that train; all without. */
  readonly subset?: readonly number[]
}

export interface FineTuneOptions {
  readonly config: EncoderConfig
  readonly weights: EncoderWeights
  readonly rows: TrainingRows
  readonly recipe: Recipe
  /** Start of the head, [hidden, classCount] and [classCount]; small random numbers without. */
  readonly head?: { readonly weights: Float32Array; readonly bias: Float32Array }
  readonly runtime: TrainingRuntime
  readonly pace: Pace
  /** Largest cache of frozen layers; beyond it they are computed in every step. */
  readonly memoryBytes?: number
  /** Already computed states of the frozen layers. */
  readonly prefix?: PrefixCache
  /** Where to keep the state of the run, and how often; a run with the same `runId` goes on from there. */
  readonly checkpoint?: {
    readonly path: string
    readonly runId: string
    readonly everySteps: number
  }
  readonly onStep?: (progress: StepProgress) => void
}

export interface StepProgress {
  readonly step: number
  readonly stepCount: number
  readonly loss: number
  /** Rows trained on since the start of this process. */
  readonly rowCount: number
}

export interface FineTuned {
  readonly recipe: Recipe
  readonly firstLayer: number
  /** Trained tensors by name, matrices `[in, out]`, adapters as PEFT has them. */
  readonly tensors: ReadonlyMap<string, Float32Array>
  readonly head: { readonly weights: Float32Array; readonly bias: Float32Array }
  /** Trained word embeddings, [vocabulary, hidden]. */
  readonly words?: Float32Array
  /** Mean loss of each epoch. */
  readonly epochLosses: readonly number[]
}

/** Rows of a batch at most, beside `batchTokens`. */
const MAX_ROWS = 32
/** Of frozen states kept; a gigabyte is 45,000 requests of 16 tokens. */
const MEMORY_BYTES = 1 << 30

/**
 * Deterministic by `recipe.seed` at an equal number of threads.
 * @throws training-diverged, cancelled, request-invalid, runtime-failed
 */
export async function fineTune(options: FineTuneOptions): Promise<FineTuned> {
  const { recipe, rows, config, weights } = options
  checkRows(rows)
  const rng = createRng(`fine-tune/${recipe.seed}`)
  const encoder = trainableEncoder({ config, weights, recipe, rng: rng.fork('adapters') })
  const prefix = await prefixOf(encoder, options)
  const head = options.head ?? randomHead(config.hiddenSize, rows.classCount, rng.fork('head'))
  const graph = classifierGraph({
    config,
    encoder,
    classCount: rows.classCount,
    scale: recipe.scale,
    head,
    isPrefixCached: prefix !== null,
  })
  const trainer = await openTrainer({
    graph,
    parameters: graph.specs.map(spec => ({ ...spec, ...rateOf(spec.input.name, recipe) })),
    rows: encoder.rows,
    optimizer: adamW(),
    runtime: options.runtime,
  })
  try {
    const epochLosses = await runEpochs(trainer, { ...options, prefix })
    return collect(trainer, { encoder, graph, recipe, epochLosses })
  } finally {
    await trainer.close()
  }
}

/** The head's own learning rate, as a factor of the encoder's. */
function rateOf(name: string, { learningRate, headLearningRate }: Recipe) {
  const isHead = name === HEAD_WEIGHT || name === HEAD_BIAS
  return isHead ? { learningRateScale: headLearningRate / learningRate } : {}
}

function prefixOf(
  encoder: TrainableEncoder,
  options: FineTuneOptions,
): Promise<PrefixCache | null> {
  const { config, rows, runtime, pace, prefix, memoryBytes = MEMORY_BYTES } = options
  if (prefix !== undefined) return Promise.resolve(prefix)
  const isWorthwhile = encoder.firstLayer > 0 && options.recipe.epochCount > 1
  const bytes = prefixBytes(rows.sequences, config.hiddenSize)
  if (!isWorthwhile || bytes > memoryBytes) return Promise.resolve(null)
  const { modules, firstLayer: layerCount } = encoder
  return computePrefix({ config, modules, layerCount, sequences: rows.sequences, runtime, pace })
}

interface Run extends Omit<FineTuneOptions, 'prefix'> {
  readonly prefix: PrefixCache | null
}

async function runEpochs(trainer: Trainer, run: Run): Promise<number[]> {
  const { recipe, rows, pace, checkpoint, onStep } = run
  const subset = rows.subset ?? [...rows.sequences.keys()]
  const lengths = subset.map(row => (rows.sequences[row] as readonly number[]).length)
  const planOptions = { lengths, batchTokens: recipe.batchTokens, maxRows: MAX_ROWS }
  const epochs = Array.from({ length: recipe.epochCount }, (_, epoch) => {
    const plan = planEpoch(planOptions, createRng(`fine-tune/${recipe.seed}/epoch/${epoch}`))
    const batches = plan.map(batch => batch.map(i => subset[i] as number))
    return groupsOf(batches, recipe.accumulationSteps)
  })
  const stepCount = epochs.reduce((sum, epoch) => sum + epoch.length, 0)
  const rate = scheduleOf(recipe, stepCount)
  const resumed = checkpoint && (await readCheckpoint(checkpoint.path, checkpoint.runId))
  if (resumed) trainer.restore(resumed.state)
  const lossSums = (resumed?.progress.lossSums as number[] | undefined) ?? epochs.map(() => 0)
  let rowCount = 0
  let start = 0
  for (const [epoch, steps] of epochs.entries()) {
    for (const [i, group] of steps.entries()) {
      const step = start + i
      if (step < trainer.step) continue
      await pace.breathe()
      const { loss } = await trainer.train(
        group.map(batch => microBatch(batch, group, run)),
        {
          learningRate: recipe.learningRate * rate(step),
          weightDecay: recipe.weightDecay,
          maxGradientNorm: recipe.maxGradientNorm,
        },
      )
      lossSums[epoch] = (lossSums[epoch] as number) + loss / steps.length
      rowCount += group.reduce((sum, batch) => sum + batch.length, 0)
      onStep?.({ step: step + 1, stepCount, loss, rowCount })
      if (checkpoint && (step + 1) % checkpoint.everySteps === 0) {
        const { path, runId } = checkpoint
        const progress: Checkpoint['progress'] = { lossSums }
        await writeCheckpoint(path, { runId, state: trainer.state(), progress })
      }
    }
    start += steps.length
  }
  return lossSums
}

function groupsOf(batches: number[][], size: number): number[][][] {
  const groups: number[][][] = []
  for (let at = 0; at < batches.length; at += size) groups.push(batches.slice(at, at + size))
  return groups
}

/** The first step already moves: a warm-up counts from 1. */
function scheduleOf({ schedule, warmupShare }: Recipe, stepCount: number): Schedule {
  const warmupCount = Math.round(warmupShare * stepCount)
  const options = { stepCount: stepCount + 1, warmupCount }
  const shape = { linear: linearSchedule, cosine: cosineSchedule, constant: constantSchedule }
  const rate = shape[schedule](options)
  return step => rate(step + 1)
}

/** One batch as the graph wants it; weighted so that the step's loss is the mean over its rows. */
function microBatch(batch: readonly number[], group: readonly number[][], run: Run): MicroBatch {
  const { rows, prefix } = run
  const { classCount } = rows
  const total = group.reduce((sum, one) => sum + one.length, 0)
  const { ids, mask } = padBatch(
    batch.map(row => rows.sequences[row] as readonly number[]),
    0,
  )
  const [count, length] = ids.dims as [number, number]
  const targets = new Float32Array(count * classCount)
  const weights = new Float32Array(count)
  batch.forEach((row, i) => {
    targets.set(rows.targets.subarray(row * classCount, (row + 1) * classCount), i * classCount)
    weights[i] = (rows.weights[row] as number) / count
  })
  const common = {
    [BATCH.mask]: mask,
    [BATCH.targets]: { type: 'float32', dims: [count, classCount], data: targets },
    [BATCH.weights]: { type: 'float32', dims: [count], data: weights },
  } as const
  const share = count / total
  if (prefix !== null) {
    return { feeds: { ...common, [BATCH.hidden]: prefix.batch(batch, length) }, share }
  }
  const { recipe } = run
  if (recipe.method !== 'full' || recipe.layerCount !== null) {
    return { feeds: { ...common, [BATCH.ids]: ids }, share }
  }
  const { local, words } = localIds(ids.data as BigInt64Array)
  return {
    feeds: { ...common, [BATCH.ids]: { ...ids, data: local } },
    rows: { [`${WORDS}.weight`]: words },
    share,
  }
}

/** Ids counted along the distinct ones, which are the rows of the table that this batch trains. */
function localIds(ids: BigInt64Array): { local: BigInt64Array; words: Int32Array } {
  const positions = new Map<bigint, bigint>()
  const local = ids.map(id => {
    const known = positions.get(id) ?? BigInt(positions.size)
    positions.set(id, known)
    return known
  })
  return { local, words: Int32Array.from(positions.keys(), Number) }
}

function collect(
  trainer: Trainer,
  {
    encoder,
    recipe,
    epochLosses,
  }: {
    encoder: TrainableEncoder
    graph: ClassifierGraph
    recipe: Recipe
    epochLosses: readonly number[]
  },
): FineTuned {
  const tensors = new Map([...trainer.values].map(([name, values]) => [name, values.slice()]))
  const head = {
    weights: tensors.get(HEAD_WEIGHT) as Float32Array,
    bias: tensors.get(HEAD_BIAS) as Float32Array,
  }
  tensors.delete(HEAD_WEIGHT)
  tensors.delete(HEAD_BIAS)
  const [words] = encoder.rows
  return {
    recipe,
    firstLayer: encoder.firstLayer,
    tensors,
    head,
    ...(words && { words: words.table }),
    epochLosses,
  }
}

function randomHead(hiddenSize: number, classCount: number, rng: { normal(): number }) {
  return {
    weights: Float32Array.from({ length: hiddenSize * classCount }, () => 0.02 * rng.normal()),
    bias: new Float32Array(classCount),
  }
}

function checkRows({ sequences, classCount, targets, weights }: TrainingRows): void {
  const wrong = (what: string, help: string) =>
    new UnderstudyError('request-invalid', `These rows cannot be trained on: ${what}.`, { help })
  if (sequences.length === 0) throw wrong('there are none', 'Give at least one labelled row.')
  if (classCount < 2) {
    throw wrong(`they have ${classCount} class`, 'Give examples of at least two labels.')
  }
  if (targets.length !== sequences.length * classCount || weights.length !== sequences.length) {
    throw wrong(
      `${sequences.length} rows of ${classCount} classes have ${targets.length} targets and ${weights.length} weights`,
      'Give one target per row and class, and one weight per row.',
    )
  }
  if (!targets.every(Number.isFinite) || !weights.every(Number.isFinite)) {
    throw wrong('a target or weight is not a number', 'Check where the targets come from.')
  }
}
