/** Fits one recipe on rows that are at hand, with what fits have in common computed once. Knows no search and no files of rows. */
import type { TrainingRuntime } from '../../engine/index.ts'
import {
  type EncoderConfig,
  type EncoderWeights,
  frozenModules,
  type LinearHead,
} from '../../models/index.ts'
import type { InferenceRuntime } from '../../runtimes/index.ts'
import { type Clock, createRng } from '../../util/index.ts'
import { checkComparable } from '../fine-tune/contrastive.ts'
import { embedRows } from '../fine-tune/embed-rows.ts'
import {
  type FineTuned,
  type FineTuneOptions,
  fineTune,
  type StepProgress,
} from '../fine-tune/fine-tune.ts'
import type { CheckpointOptions } from '../fine-tune/keeper.ts'
import { measureMsPerRow, PROBE_ROWS } from '../fine-tune/measure-pace.ts'
import { computePrefix, type PrefixCache, prefixBytes } from '../fine-tune/prefix-cache.ts'
import type { Recipe } from '../fine-tune/recipe.ts'
import { tunedWeights } from '../fine-tune/tuned-weights.ts'
import { applyHead } from '../head/apply-head.ts'
import { type HeadFitter, openHeadFitter } from '../head/fit-head.ts'
import type { Pace } from '../pace.ts'
import { type EncodedRows, trainingRows, withNames } from './encode-rows.ts'
import { unscaledHead } from './export-model.ts'
import { type InnerSplit, likeliest } from './inner-split.ts'
import { cooledRowLosses } from './log-loss.ts'
import type { RunRecord } from './run-record.ts'
import type { TrainProgress } from './train-model.ts'
import { measure, type TrainingMetrics } from './training-metrics.ts'

export interface FitContextOptions {
  readonly config: EncoderConfig
  readonly weights: EncoderWeights
  readonly encoded: EncodedRows
  readonly split: InnerSplit
  readonly memoryBytes: number
  readonly runtime: InferenceRuntime & TrainingRuntime
  readonly signal: AbortSignal
  readonly pace: Pace
  readonly clock: Clock
  readonly checkpoint: (recipe: Recipe, rowsUsed: RunRecord['rowsUsed']) => CheckpointOptions
  readonly onProgress?: (progress: TrainProgress) => void
}

/** What fits of one run share. */
export interface FitContext extends FitContextOptions {
  /** States before a layer, of all rows; null where they do not fit into memory. */
  prefixOf(firstLayer: number): Promise<PrefixCache | null>
  /** What the states took to compute, milliseconds; 0 before. */
  prefixMs(): number
  /** Logistic regression on frozen embeddings of some rows; null for tasks that it does not suit. */
  headOf(firstLayer: number, subset: readonly number[]): Promise<FrozenHead | null>
  close(): Promise<void>
}

export interface FrozenHead {
  readonly head: LinearHead
  /** [rows, hidden]. */
  readonly embeddings: Float32Array
}

export interface RecipeFit {
  readonly parts: {
    readonly weights: EncoderWeights
    readonly head: { readonly weights: Float32Array; readonly bias: Float32Array }
    readonly tensors: FineTuned['tensors']
  }
  /** On the inner split; null where it was trained on, or not looked at. */
  readonly metrics: TrainingMetrics | null
  readonly epochLosses: readonly number[]
  readonly heldBackLosses: readonly number[]
  /** 0 where a head was solved for, or `stopWhen` ended the fit before an epoch was looked at. */
  readonly bestEpoch: number
  /** False where `stopWhen` ended the fit. */
  readonly isComplete: boolean
}

/** Half of the memory is for states, the rest for weights, moments and the batch at hand. */
const CACHE_SHARE = 0.5
const MAX_EVALUATIONS = 80
/** Epochs without improvement before a fit ends: a quarter of them, at least this many. */
const PATIENCE = 2
const PROGRESS_MS = 200

/** Only the states and embeddings of the layer asked for last are kept: memory is bounded by one cache. */
export async function openFitContext(options: FitContextOptions): Promise<FitContext> {
  const { config, weights, encoded, runtime, pace, memoryBytes, onProgress, clock } = options
  const modules = frozenModules(config, weights)
  const { sequences } = encoded
  const total = sequences.length
  let prefixMs = 0
  let prefix: { firstLayer: number; cache: PrefixCache | null } | null = null
  let heads: { firstLayer: number; embeddings: Float32Array; fitter: HeadFitter } | null = null

  async function prefixOf(firstLayer: number): Promise<PrefixCache | null> {
    // Where all layers train there is nothing to keep; what is kept for other recipes stays.
    if (firstLayer === 0) return null
    if (prefix?.firstLayer === firstLayer) return prefix.cache
    prefix = null
    const startMs = clock.monotonic()
    const fits = prefixBytes(sequences, config.hiddenSize) <= CACHE_SHARE * memoryBytes
    const cache = fits
      ? await computePrefix({
          config,
          modules,
          layerCount: firstLayer,
          sequences,
          runtime,
          pace,
          onProgress: done => onProgress?.({ stage: 'frozen layers', done, total }),
        })
      : null
    if (cache !== null) prefixMs = clock.monotonic() - startMs
    prefix = { firstLayer, cache }
    return cache
  }

  async function headsOf(firstLayer: number) {
    if (heads?.firstLayer === firstLayer) return heads
    await heads?.fitter.close()
    heads = null
    const cache = await prefixOf(firstLayer)
    const embeddings = await embedRows({
      config,
      modules,
      sequences,
      prefix: cache && { cache, layerCount: firstLayer },
      runtime,
      pace,
      onProgress: done => onProgress?.({ stage: 'embeddings', done, total }),
    })
    const labels = Int32Array.from(encoded.rows, row => encoded.labels.indexOf(likeliest(row)))
    const fitter = await openHeadFitter(runtime, {
      embeddings,
      labels,
      dimension: config.hiddenSize,
      classCount: encoded.outputs.length,
    })
    heads = { firstLayer, embeddings, fitter }
    return heads
  }

  return {
    ...options,
    prefixOf,
    prefixMs: () => prefixMs,
    async headOf(firstLayer, subset) {
      if (encoded.kind !== 'single-label') return null
      const { embeddings, fitter } = await headsOf(firstLayer)
      const isTaught = new Float32Array(total)
      for (const row of subset) isTaught[row] = 1
      onProgress?.({ stage: 'frozen head', done: 0, total: 0 })
      const head = await fitter.fit(isTaught, {
        maxEvaluations: MAX_EVALUATIONS,
        signal: options.signal,
      })
      return { head, embeddings }
    },
    close: async () => heads?.fitter.close().catch(() => {}),
  }
}

export interface FitRecipeOptions {
  readonly recipe: Recipe
  readonly rowsUsed: RunRecord['rowsUsed']
  /** For people. */
  readonly stage: string
  /** Asked before every step of gradient descent, with the epochs done: true ends the fit. */
  readonly stopWhen?: (doneEpochs: number) => boolean
}

/** Layers that a head on frozen embeddings leaves to be computed again, so that it shares cached states with the usual recipes. */
const HEAD_LAYERS = 2

/** Where the embeddings of the frozen encoder begin: below what the recipe trains, if anything is cached there. */
function embeddingsFrom(firstLayer: number, { layerCount }: EncoderConfig): number {
  const usual = Math.max(0, layerCount - HEAD_LAYERS)
  return firstLayer === 0 ? usual : Math.min(firstLayer, usual)
}

/** First layer that a recipe trains. */
function firstLayerOf({ method, layerCount }: Recipe, config: EncoderConfig): number {
  if (method === 'head') return config.layerCount
  return config.layerCount - Math.min(layerCount ?? config.layerCount, config.layerCount)
}

/** @throws training-diverged, cancelled, runtime-failed */
export async function fitRecipe(
  context: FitContext,
  { recipe, rowsUsed, stage, stopWhen }: FitRecipeOptions,
): Promise<RecipeFit> {
  const { config, weights, encoded, split, runtime, pace, clock } = context
  const subset = withNames(encoded, rowsUsed === 'all' ? 'all' : split.training, recipe)
  const firstLayer = firstLayerOf(recipe, config)
  const frozen = await context.headOf(embeddingsFrom(firstLayer, config), subset)
  if (recipe.method === 'head' && frozen !== null) {
    const isDone = isPlain(encoded, recipe)
    const solved = isDone ? frozen : await solveHead(context, frozen, { recipe, subset })
    return frozenFit(context, solved, rowsUsed)
  }
  const isScaled = config.pooling !== 'pooler' && encoded.kind !== 'tokens'
  const scale = isScaled ? recipe.scale : 1
  const holdsBack =
    rowsUsed === 'training' && recipe.stopAfterEpoch === null && split.selection.length > 0
  const job: FineTuneOptions = {
    config,
    weights,
    rows: trainingRows(encoded, recipe, subset),
    recipe,
    ...(frozen && {
      head: { weights: frozen.head.weights.map(value => value / scale), bias: frozen.head.bias },
    }),
    runtime,
    pace,
    prefix: await context.prefixOf(firstLayer),
    checkpoint: context.checkpoint(recipe, rowsUsed),
    clock,
    onStep: showSteps(stage, context),
    ...(stopWhen && { stopWhen }),
    ...(holdsBack && {
      heldBack: {
        subset: split.selection,
        judge: (logits: Float32Array) =>
          cooledRowLosses(encoded, { logits, subset: split.selection }),
        patience: Math.max(PATIENCE, Math.ceil(recipe.epochCount / 4)),
      },
    }),
  }
  if (recipe.method === 'contrastive') checkComparable(job.rows, config)
  const fitted = await fineTune(job)
  const { heldBackLogits: logits } = fitted
  return {
    parts: {
      weights: tunedWeights(weights, fitted),
      head: unscaledHead(fitted.head, { scale: recipe.scale, isScaled }),
      tensors: fitted.tensors,
    },
    metrics: logits && measure(encoded, { logits, subset: split.selection }),
    epochLosses: fitted.epochLosses,
    heldBackLosses: fitted.heldBackLosses,
    bestEpoch: fitted.bestEpoch,
    isComplete: fitted.isComplete,
  }
}

/** Logistic regression on what the recipe makes of the targets. */
async function solveHead(
  { config, encoded, runtime, signal }: FitContext,
  { embeddings }: FrozenHead,
  { recipe, subset }: { readonly recipe: Recipe; readonly subset: readonly number[] },
): Promise<FrozenHead> {
  const { targets, weights, classCount } = trainingRows(encoded, recipe, subset)
  const fitter = await openHeadFitter(runtime, {
    embeddings,
    labels: new Int32Array(encoded.rows.length),
    targets,
    dimension: config.hiddenSize,
    classCount,
  })
  const rowWeights = new Float32Array(encoded.rows.length)
  for (const row of subset) rowWeights[row] = weights[row] as number
  const solved = await fitter
    .fit(rowWeights, { maxEvaluations: MAX_EVALUATIONS, signal })
    .finally(() => fitter.close())
  // Softened targets are those of logits divided by the temperature.
  const warm = (values: Float32Array) => values.map(value => value * recipe.temperature)
  return { embeddings, head: { ...solved, weights: warm(solved.weights), bias: warm(solved.bias) } }
}

/** Whether plain logistic regression says all there is to say: labels as they are, each row counting the same. */
function isPlain({ isSoft }: EncodedRows, { labelSmoothing, classWeights }: Recipe): boolean {
  return labelSmoothing === 0 && classWeights === 'none' && !isSoft.includes(1)
}

function frozenFit(
  { weights, encoded, split, config }: FitContext,
  { head, embeddings }: FrozenHead,
  rowsUsed: RunRecord['rowsUsed'],
): RecipeFit {
  const { selection } = split
  const looked = { logits: applyHead(head, embeddings, selection), subset: selection }
  const isMeasured = rowsUsed === 'training' && selection.length > 0
  return {
    parts: {
      weights,
      head: unscaledHead(head, { scale: 1, isScaled: config.pooling !== 'pooler' }),
      tensors: new Map(),
    },
    metrics: isMeasured ? measure(encoded, looked) : null,
    epochLosses: [],
    heldBackLosses: [],
    bestEpoch: 0,
    isComplete: true,
  }
}

/** Steps as progress, a few times a second, with loss and pace; the time left is told from the steps by who shows them. */
export function showSteps(
  stage: string,
  { onProgress, clock }: Pick<FitContextOptions, 'onProgress' | 'clock'>,
) {
  const startMs = clock.monotonic()
  let shownMs = Number.NEGATIVE_INFINITY
  let smoothed: number | null = null
  return ({ step, stepCount, loss, rowCount }: StepProgress): void => {
    smoothed = smoothed === null ? loss : 0.9 * smoothed + 0.1 * loss
    const nowMs = clock.monotonic()
    if (nowMs - shownMs < PROGRESS_MS && step < stepCount) return
    shownMs = nowMs
    const seconds = Math.max(1e-3, (nowMs - startMs) / 1000)
    onProgress?.({
      stage,
      done: step,
      total: stepCount,
      note: `loss ${smoothed.toFixed(3)}, ${Math.round(rowCount / seconds)} examples/s`,
    })
  }
}

/** Milliseconds that one row of one epoch takes, by a few steps that are thrown away. */
export async function measurePace(context: FitContext, recipe: Recipe): Promise<number> {
  const { config, weights, encoded, split, runtime, pace, clock } = context
  const prefix = await context.prefixOf(firstLayerOf(recipe, config))
  const subset = createRng('probe')
    .shuffle([...split.training])
    .slice(0, PROBE_ROWS)
  const job: FineTuneOptions = {
    config,
    weights,
    rows: trainingRows(encoded, recipe, subset),
    recipe: { ...recipe, epochCount: 1, stopAfterEpoch: null },
    runtime,
    pace,
    prefix,
  }
  return measureMsPerRow(job, clock)
}
