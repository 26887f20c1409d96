/** Fine-tuned upper layers with a head, cross-fitted: which recipe, and how it does on rows it did not see. Knows no other part. */
import type { TrainingRuntime } from '../../engine/index.ts'
import {
  type EncoderBase,
  frozenModules,
  headOpinion,
  type LinearHead,
  type Opinion,
  type TunedLayers,
  tunedGraph,
} from '../../models/index.ts'
import type { InferenceRuntime } from '../../runtimes/index.ts'
import { newId } from '../../util/index.ts'
import { fineTune, type TrainingRows } from '../fine-tune/fine-tune.ts'
import { runLogits } from '../fine-tune/forward.ts'
import { computePrefix, type PrefixCache, prefixBytes } from '../fine-tune/prefix-cache.ts'
import { completeRecipe, type Recipe } from '../fine-tune/recipe.ts'
import { tunedWeights } from '../fine-tune/tuned-weights.ts'
import { type HeadFitter, openHeadFitter } from '../head/fit-head.ts'
import {
  allRows,
  type ClassifierData,
  type CrossFitContext,
  type Folds,
  otherRows,
  rowsOfFold,
} from './cross-fit.ts'
import { foldsByGroup, rowsWhere } from './folds.ts'

export interface TunedModel {
  readonly tuned: TunedLayers
  readonly head: LinearHead
  readonly recipe: Recipe
}

export interface TunedFit {
  readonly model: TunedModel
  /** Opinion of the head on each row, out of fold. */
  readonly opinions: readonly Opinion[]
}

export interface TunedContext extends CrossFitContext {
  readonly base: EncoderBase
  /** Where heads are fitted. */
  readonly runtime: InferenceRuntime
  readonly training: TrainingRuntime
  /** Frozen embeddings of the inputs, [rows, dimension]: the head starts as logistic regression on them. */
  readonly embeddings: Float32Array
  /** How far opinions of the tuned head on some rows, which it did not see, leave the whole classifier from perfect; lower is better. */
  readonly judge: (opinionOf: (row: number) => Opinion, rows: Int32Array) => number
}

/** Layers that train: more of them gain nothing on the sets of docs/log.md, and cost their time. */
const TUNED_LAYERS = 2
/** The head starts as if fitted to embeddings of length 1, so its weights shrink by this. */
const SCALE = 20
/** Tried in this order as time allows; the later one must do better on the folds that both were tried on. */
const METHODS = [
  { method: 'full', learningRate: 2e-4 },
  { method: 'lora', learningRate: 2e-3 },
] as const
/** Of both, from the trials of docs/log.md. */
const COMMON = { headLearningRate: 5e-4, scale: SCALE, dropout: 0.1, beta2: 0.98 } as const
/**
 * Folds and epochs in order of preference; a plan costs about folds × epochs passes over the rows. With fewer folds than the
 * frozen encoder is judged by, the opinions come from fewer rows, and the candidate looks worse than it is.
 */
const PLANS = [
  { foldCount: 5, epochCount: 4 },
  { foldCount: 3, epochCount: 4 },
  { foldCount: 2, epochCount: 4 },
  { foldCount: 2, epochCount: 3 },
  { foldCount: 2, epochCount: 2 },
] as const
/** Share of the time left that a plan, or one more method, may take by estimate. */
const BUDGET_SHARE = 0.85
/** A row of training costs this many times a row through the lower layers: measured, docs/log.md. */
const COST_PER_PREFIX = 2.5
const MEMORY_BYTES = 1 << 30
const MAX_EVALUATIONS = 80

/**
 * Null where there is no time or memory for it, or fewer than two classes; what a slower machine does with a plan is looked at
 * after the first fold.
 * @throws cancelled, runtime-failed, training-diverged
 */
export async function crossFitTuned(
  data: ClassifierData,
  context: TunedContext,
): Promise<TunedFit | null> {
  const { base, training, pace, rng, onProgress } = context
  const { config, weights } = base
  const firstLayer = Math.max(0, config.layerCount - TUNED_LAYERS)
  const sequences = data.inputs.map(base.encode)
  if (data.classCount < 2 || config.pooling === 'pooler') return null
  if (prefixBytes(sequences, config.hiddenSize) > MEMORY_BYTES) return null
  const startMs = pace.leftMs()
  const prefix = await computePrefix({
    config,
    modules: frozenModules(config, weights),
    layerCount: firstLayer,
    sequences,
    runtime: training,
    pace,
    onProgress: done => onProgress('lower layers', done, sequences.length),
  })
  const epochMs = COST_PER_PREFIX * (startMs - pace.leftMs())
  const plan = PLANS.find(
    ({ foldCount, epochCount }) => foldCount * epochCount * epochMs < BUDGET_SHARE * pace.leftMs(),
  )
  if (plan === undefined) return null
  const split = foldsByGroup(data.groups, plan.foldCount, rng.fork('tuned folds'))
  if (split.foldCount < 2) return null
  const heads = await openHeads(data, context)
  try {
    return await fitFolds({ data, context, prefix, split, heads, sequences, plan })
  } finally {
    await heads.close().catch(() => {})
  }
}

interface Job {
  readonly data: ClassifierData
  readonly context: TunedContext
  readonly prefix: PrefixCache
  readonly split: Folds
  readonly heads: HeadFitter
  readonly sequences: readonly number[][]
  readonly plan: (typeof PLANS)[number]
}

/** Null where the first fold took so long that the rest would not end in time. */
async function fitFolds(job: Job): Promise<TunedFit | null> {
  const { data, split, context, plan } = job
  const { leftMs } = context.pace
  const recipeOf = (method: (typeof METHODS)[number]) =>
    completeRecipe({
      ...method,
      layerCount: TUNED_LAYERS,
      epochCount: plan.epochCount,
      ...COMMON,
      seed: context.rng.fork('recipe').int(2 ** 31),
    })
  const [first, second] = METHODS.map(method => ({
    recipe: recipeOf(method),
    logits: new Float32Array(data.labels.length * data.classCount),
  })) as [Attempt, Attempt]
  const { foldCount } = split
  const startMs = leftMs()
  await predictFold(job, 0, first)
  const foldMs = startMs - leftMs()
  // The folds after one, and all rows, which are foldCount / (foldCount − 1) times as many.
  const msAfter = (fold: number) => foldMs * (foldCount - 1 - fold + foldCount / (foldCount - 1))
  if (msAfter(0) > leftMs()) return null
  // One fold decides little, so both are tried on as many as there is time for.
  let comparedCount = 0
  for (let fold = 0; fold < foldCount; fold++) {
    const ownMs = fold === 0 ? foldMs : 2 * foldMs
    if (ownMs + msAfter(fold) > BUDGET_SHARE * leftMs()) break
    if (fold > 0) await predictFold(job, fold, first)
    await predictFold(job, fold, second)
    comparedCount++
  }
  const compared = rowsWhere(
    data.labels.length,
    row => (split.folds[row] as number) < comparedCount,
  )
  const lossOf = ({ logits }: Attempt) =>
    context.judge(row => opinionOf(job, logits, row), compared)
  const best = comparedCount > 0 && lossOf(second) < lossOf(first) ? second : first
  for (let fold = Math.max(1, comparedCount); fold < foldCount; fold++) {
    await predictFold(job, fold, best)
  }
  const model = await fitOn(job, allRows(data.labels.length), best.recipe, 'all rows')
  return { model, opinions: data.inputs.map((_, row) => opinionOf(job, best.logits, row)) }
}

/** A recipe, and what its models say of rows of the folds that they did not see. */
interface Attempt {
  readonly recipe: Recipe
  readonly logits: Float32Array
}

function opinionOf({ data: { classCount } }: Job, logits: Float32Array, row: number): Opinion {
  return headOpinion(logits.subarray(row * classCount, (row + 1) * classCount))
}

/** Fits without a fold, and writes logits of its rows. */
async function predictFold(job: Job, fold: number, { recipe, logits }: Attempt): Promise<void> {
  const { split } = job
  const stage = `fold ${fold + 1} of ${split.foldCount}, ${recipe.method}`
  const model = await fitOn(job, otherRows(split, fold), recipe, stage)
  await predictRows(job, model, rowsOfFold(split, fold), logits)
}

async function fitOn(
  job: Job,
  rows: Int32Array,
  recipe: Recipe,
  stage: string,
): Promise<TunedModel> {
  const { data, context, prefix, heads, sequences } = job
  const { base, training, pace, signal, onProgress } = context
  const { config, weights } = base
  const { labels, classCount } = data
  const subset = [...rows.filter(row => (labels[row] as number) >= 0)]
  const isTaught = new Float32Array(labels.length)
  for (const row of subset) isTaught[row] = 1
  const linear = await heads.fit(isTaught, { maxEvaluations: MAX_EVALUATIONS, signal })
  const fitted = await fineTune({
    config,
    weights,
    rows: { ...trainingRows(data, sequences), subset },
    recipe,
    head: { weights: linear.weights.map(value => value / recipe.scale), bias: linear.bias },
    runtime: training,
    pace,
    prefix,
    onStep: ({ step, stepCount }) => onProgress(`fine-tune: ${stage}`, step, stepCount),
  })
  const { layers } = tunedWeights(weights, fitted)
  const { firstLayer } = fitted
  return {
    tuned: { firstLayer, layers: layers.slice(firstLayer), scale: recipe.scale },
    head: { dimension: config.hiddenSize, classCount, ...fitted.head },
    recipe,
  }
}

function trainingRows(
  { labels, classCount }: ClassifierData,
  sequences: readonly number[][],
): TrainingRows {
  const targets = new Float32Array(labels.length * classCount)
  labels.forEach((label, row) => {
    if (label >= 0) targets[row * classCount + label] = 1
  })
  return { sequences, classCount, targets, weights: new Float32Array(labels.length).fill(1) }
}

/** Logits of some rows, from the cached states of the lower layers. */
async function predictRows(
  { data, context, prefix, sequences }: Job,
  { tuned, head }: TunedModel,
  rows: Int32Array,
  logits: Float32Array,
): Promise<void> {
  const { training, base, pace } = context
  const { classCount } = data
  const session = newId('job')
  await training.load(session, tunedGraph({ config: base.config, tuned, head }))
  try {
    const found = await runLogits(
      session,
      { sequences, kind: 'single-label', subset: [...rows] },
      { classCount, runtime: training, prefix, pace },
    )
    for (const row of rows) {
      const [from, to] = [row * classCount, (row + 1) * classCount]
      logits.set(found.subarray(from, to), from)
    }
  } finally {
    await training.unload(session)
  }
}

function openHeads(
  { labels, classCount }: ClassifierData,
  { base, runtime, embeddings }: TunedContext,
): Promise<HeadFitter> {
  const dimension = base.config.hiddenSize
  return openHeadFitter(runtime, { dimension, classCount, labels, embeddings })
}
