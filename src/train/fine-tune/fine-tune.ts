/** Fine-tunes an encoder with a head on rows of texts and targets. Knows no classes by name, no traffic and no certificate. */

import {
  adamW,
  type Feeds,
  openTrainer,
  type Trainer,
  type TrainingRuntime,
} from '../../engine/index.ts'
import { assert } from '../../errors.ts'
import type { EncoderConfig, EncoderWeights } from '../../models/index.ts'
import { type Clock, createRng } from '../../util/index.ts'
import {
  checkRows,
  classesOf,
  type LayOutOptions,
  microBatches,
  type TrainingRows,
  unitStarts,
} from '../model/training-rows.ts'
import type { Pace } from '../pace.ts'
import { openBest } from './best-epoch.ts'
import { planClassEpoch } from './class-batches.ts'
import {
  type ClassifierGraph,
  classifierGraph,
  HEAD_BIAS,
  HEAD_WEIGHT,
} from './classifier-graph.ts'
import { dropoutMask } from './dropout.ts'
import { type Forward, openForward } from './forward.ts'
import { type CheckpointOptions, openKeeper } from './keeper.ts'
import { scheduleOf } from './learning-rate.ts'
import { computePrefix, type PrefixCache, prefixBytes } from './prefix-cache.ts'
import type { Recipe } from './recipe.ts'
import { dropTokens } from './token-dropout.ts'
import { type TrainableEncoder, trainableEncoder } from './trainable-encoder.ts'
import { planEpoch } from './training-batches.ts'

export type { TrainingRows } from '../model/training-rows.ts'

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
  /** Already computed states of the frozen layers; null: they are computed in every step. */
  readonly prefix?: PrefixCache | null
  /**
   * Where to keep the state of the run, and how often; a run with the same `runId` goes on from there. The state is also kept
   * when the run is cancelled.
   */
  readonly checkpoint?: CheckpointOptions
  readonly onStep?: (progress: StepProgress) => void
  /** Rows held back, looked at after every epoch: training ends once they stop improving, with the weights of the best epoch. */
  readonly heldBack?: HeldBack
  /** Asked before every step, with the epochs done: true ends training there, with the weights of the best epoch where one was looked at. */
  readonly stopWhen?: (doneEpochs: number) => boolean
  readonly clock?: Clock
}

export interface HeldBack {
  /** Which of the rows: others than those that train. */
  readonly subset: readonly number[]
  /** How bad these logits [units, classCount], filled for the rows held back, are for each of them; the lower their mean, the better. */
  readonly judge: (logits: Float32Array) => Float64Array
  /** Epochs without improvement before training ends. */
  readonly patience: number
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
  /** Mean loss of each epoch that was run. */
  readonly epochLosses: readonly number[]
  /** Mean of what `heldBack.judge` said after each epoch. */
  readonly heldBackLosses: readonly number[]
  /** The last whole epoch, from 1, that the weights hold; 0 where `stopWhen` ended training before any was done. */
  readonly bestEpoch: number
  /** False where `stopWhen` ended training. */
  readonly isComplete: boolean
  /** Logits of the rows held back under these weights, [units, classCount], others 0. */
  readonly heldBackLogits: Float32Array | null
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
  const { recipe, rows, config, weights, runtime } = options
  checkRows(rows)
  const rng = createRng(`fine-tune/${recipe.seed}`)
  const { classCount, kind = 'single-label' } = rows
  const encoder = trainableEncoder({
    config,
    weights,
    recipe,
    rng: rng.fork('adapters'),
    usesPooler: config.pooling === 'pooler' && kind !== 'tokens',
  })
  const prefix = await prefixOf(encoder, options)
  const head = options.head ?? randomHead(config.hiddenSize, classCount, rng.fork('head'))
  const graph = classifierGraph({
    config,
    encoder,
    classCount,
    kind,
    temperature: recipe.temperature,
    scale: recipe.scale,
    head,
    isPrefixCached: prefix !== null,
    hasDropout: recipe.dropout > 0,
    ...(recipe.method === 'contrastive' && {
      contrast: { share: recipe.contrastShare, temperature: recipe.contrastTemperature },
    }),
  })
  const trainer = await openTrainer({
    graph,
    parameters: graph.specs.map(spec => ({ ...spec, ...rateOf(spec.input.name, recipe) })),
    rows: encoder.rows,
    optimizer: adamW({ beta2: recipe.beta2 }),
    runtime,
  })
  let forward: Forward | null = null
  try {
    if (options.heldBack) forward = await openForward(graph, { classCount, runtime })
    const ended = await runEpochs(trainer, { ...options, prefix, encoder, graph, forward })
    return { ...collect(trainer, { encoder, recipe }), ...ended }
  } finally {
    await forward?.close()
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
  // States kept of whole texts would show the layers above what this step is not to see.
  if (options.recipe.tokenDropout > 0) return Promise.resolve(null)
  if (prefix !== undefined) return Promise.resolve(prefix)
  const isWorthwhile = encoder.firstLayer > 0 && options.recipe.epochCount > 1
  const bytes = prefixBytes(rows.sequences, config.hiddenSize)
  if (!isWorthwhile || bytes > memoryBytes) return Promise.resolve(null)
  const { modules, firstLayer: layerCount } = encoder
  return computePrefix({ config, modules, layerCount, sequences: rows.sequences, runtime, pace })
}

interface Run extends Omit<FineTuneOptions, 'prefix'> {
  readonly prefix: PrefixCache | null
  readonly encoder: TrainableEncoder
  readonly graph: ClassifierGraph
  readonly forward: Forward | null
}

type Ended = Pick<
  FineTuned,
  'epochLosses' | 'heldBackLosses' | 'bestEpoch' | 'heldBackLogits' | 'isComplete'
>

async function runEpochs(trainer: Trainer, run: Run): Promise<Ended> {
  const { recipe, heldBack } = run
  const epochs = planEpochs(run)
  const rate = scheduleOf(recipe, epochs.flat().length)
  const layOut = layOutOptions(run)
  const best = openBest(trainer)
  const keeper = await openKeeper(trainer, {
    ...run,
    best,
    epochCount: epochs.length,
  })
  const { lossSums, heldBackLosses } = keeper
  const last = Math.min(recipe.stopAfterEpoch ?? epochs.length, epochs.length)
  const progress = startProgress(run, epochs.slice(0, last).flat().length)
  let start = 0
  let doneCount = 0
  let isComplete = true
  for (const [epoch, steps] of epochs.slice(0, last).entries()) {
    for (const [i, group] of steps.entries()) {
      if (start + i < trainer.step) continue
      if (run.stopWhen?.(doneCount)) {
        isComplete = false
        break
      }
      await keeper.orKeep(() => run.pace.breathe())
      const drawn = { drawMasks: masksOfStep(start + i, run), ...tokensOfStep(start + i, run) }
      const { loss } = await trainer.train(microBatches(group, { ...layOut, ...drawn }), {
        learningRate: recipe.learningRate * rate(start + i),
        weightDecay: recipe.weightDecay,
        maxGradientNorm: recipe.maxGradientNorm,
      })
      lossSums[epoch] = (lossSums[epoch] as number) + loss / steps.length
      progress(trainer.step, loss, group)
      await keeper.afterStep()
    }
    if (!isComplete) break
    start += steps.length
    doneCount++
    if (heldBack === undefined) continue
    if (heldBackLosses.length <= epoch) {
      const logits = await keeper.orKeep(() => logitsNow(trainer, run))
      const losses = heldBack.judge(logits)
      heldBackLosses.push(losses.reduce((a, b) => a + b, 0) / losses.length)
      best.look(epoch + 1, losses)
    }
    if (epoch + 1 - best.progress().epoch >= heldBack.patience) break
  }
  best.restore()
  const bestEpoch = heldBack === undefined ? doneCount : best.progress().epoch
  const isLookedAt = heldBack !== undefined && bestEpoch > 0
  return {
    epochLosses: lossSums.slice(0, heldBack === undefined ? doneCount : heldBackLosses.length),
    heldBackLosses,
    bestEpoch,
    heldBackLogits: isLookedAt ? await logitsNow(trainer, run) : null,
    isComplete,
  }
}

function layOutOptions({ rows, prefix, encoder, recipe }: Run): LayOutOptions {
  return {
    rows,
    starts: unitStarts(rows),
    prefix,
    trainsWords: encoder.rows.length > 0,
    comparesRows: recipe.method === 'contrastive',
  }
}

/** The masks depend on the step alone, so that a run which goes on later draws what it would have drawn. */
function masksOfStep(step: number, { recipe, graph, config }: Run): (tokenCount: number) => Feeds {
  const rng = createRng(`fine-tune/${recipe.seed}/dropout/${step}`)
  return tokenCount =>
    Object.fromEntries(
      graph.masks.map(({ name }) => {
        const dims = [tokenCount, config.hiddenSize]
        const data = dropoutMask(tokenCount * config.hiddenSize, recipe.dropout, rng)
        return [name, { type: 'float32', dims, data }]
      }),
    )
}

/** What takes tokens out of a step, by the step alone as the masks are. */
function tokensOfStep(step: number, { recipe }: Run): Pick<LayOutOptions, 'dropTokens'> {
  if (recipe.tokenDropout === 0) return {}
  const rng = createRng(`fine-tune/${recipe.seed}/tokens/${step}`)
  return {
    dropTokens: (mask, length) => dropTokens(mask, { length, share: recipe.tokenDropout, rng }),
  }
}

/** Batches by epoch and step. */
function planEpochs({ recipe, rows }: Run): number[][][][] {
  const subset = rows.subset ?? [...rows.sequences.keys()]
  const lengths = subset.map(row => (rows.sequences[row] as readonly number[]).length)
  const options = { lengths, batchTokens: recipe.batchTokens, maxRows: MAX_ROWS }
  const classes = recipe.method === 'contrastive' ? classesOf(rows, subset) : null
  return Array.from({ length: recipe.epochCount }, (_, epoch) => {
    const rng = createRng(`fine-tune/${recipe.seed}/epoch/${epoch}`)
    const plan =
      classes === null
        ? planEpoch(options, rng)
        : planClassEpoch({ ...options, classes, rowsPerClass: recipe.rowsPerClass }, rng)
    const batches = plan.map(batch => batch.map(i => subset[i] as number))
    return groupsOf(batches, recipe.accumulationSteps)
  })
}

function startProgress({ onStep }: Run, stepCount: number) {
  let rowCount = 0
  return (step: number, loss: number, group: readonly number[][]): void => {
    rowCount += group.reduce((sum, batch) => sum + batch.length, 0)
    onStep?.({ step, stepCount, loss, rowCount })
  }
}

function logitsNow(trainer: Trainer, run: Run): Promise<Float32Array> {
  const { heldBack, forward, encoder, rows, prefix, pace } = run
  assert(heldBack !== undefined && forward !== null, 'rows held back are looked at')
  const valuesOf = (name: string) => {
    const table = encoder.rows.find(one => one.input.name === name)?.table
    return trainer.values.get(name) ?? table ?? new Float32Array(0)
  }
  return forward.logits({ ...rows, subset: heldBack.subset }, { valuesOf, prefix, pace })
}

function groupsOf(batches: number[][], size: number): number[][][] {
  const groups: number[][][] = []
  for (let at = 0; at < batches.length; at += size) groups.push(batches.slice(at, at + size))
  return groups
}

function collect(
  trainer: Trainer,
  { encoder, recipe }: { readonly encoder: TrainableEncoder; readonly recipe: Recipe },
): Omit<FineTuned, keyof Ended> {
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
  }
}

function randomHead(hiddenSize: number, classCount: number, rng: { normal(): number }) {
  return {
    weights: Float32Array.from({ length: hiddenSize * classCount }, () => 0.02 * rng.normal()),
    bias: new Float32Array(classCount),
  }
}
