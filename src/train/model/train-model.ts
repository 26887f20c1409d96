/** From labelled rows to a trained model: search among recipes, early stopping, the last fit. Knows no files of rows and no HTTP. */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { TrainingRuntime } from '../../engine/index.ts'
import { hasCode, UnderstudyError } from '../../errors.ts'
import { readSafetensors } from '../../formats/index.ts'
import {
  createTokenizer,
  type EncoderConfig,
  type EncoderFiles,
  type EncoderWeights,
  parseEncoderConfig,
  readEncoderWeights,
} from '../../models/index.ts'
import { sha256 } from '../../platform/index.ts'
import type { InferenceRuntime } from '../../runtimes/index.ts'
import { type Clock, canonicalJson, systemClock } from '../../util/index.ts'
import type { Recipe } from '../fine-tune/recipe.ts'
import { startPace } from '../pace.ts'
import { type EncodedRows, encodeRows } from './encode-rows.ts'
import { cooledHead, type TrainedParts } from './export-model.ts'
import { type FitContext, fitRecipe, openFitContext, type RecipeFit } from './fit-recipe.ts'
import { type InnerSplit, splitInner } from './inner-split.ts'
import { labelNameRows } from './label-names.ts'
import {
  type CheckedRows,
  checkLabelledRows,
  type LabelledRow,
  type TrainTask,
  textsHash,
} from './labelled-rows.ts'
import { type RunIdentity, type RunRecord, runId, type Tried } from './run-record.ts'
import { openRunState } from './run-state.ts'
import type { SearchMethod } from './search-plan.ts'
import { leftOfBudget, type SearchResult, searchRecipe } from './search-recipe.ts'

/** How far training is. */
export interface TrainProgress {
  readonly stage: string
  readonly done: number
  /** 0 where unknown. */
  readonly total: number
  readonly note?: string
}

export interface TrainModelOptions {
  readonly task: TrainTask
  readonly rows: readonly LabelledRow[]
  readonly base: { readonly name: string; readonly files: EncoderFiles }
  /** Search for a recipe, or repeat a run that is written down. */
  readonly plan:
    | {
        readonly kind: 'search'
        readonly method: SearchMethod
        /** For all fitting together, milliseconds. */
        readonly budgetMs: number
        /** Fields that the search leaves as they are given. */
        readonly fixed: Partial<Recipe>
        readonly seed: number
        /** Bounds caches and batches. */
        readonly memoryBytes: number
      }
    | { readonly kind: 'repeat'; readonly record: RunRecord }
  readonly runtime: InferenceRuntime & TrainingRuntime
  /** Of the runtime, for the record. */
  readonly threads: number
  /** Folder for what a broken-off run needs to go on; a run with the same order goes on from there. */
  readonly stateDir: string
  /** Training between two checkpoints, milliseconds. */
  readonly checkpointMs?: number
  readonly signal: AbortSignal
  readonly clock?: Clock
  readonly onProgress?: (progress: TrainProgress) => void
  readonly versions: Readonly<Record<string, string>>
}

export interface TrainedModel {
  readonly parts: TrainedParts
  readonly record: RunRecord
  readonly notices: readonly string[]
  /** Deletes what a broken-off run goes on from: for when the model is on disk. */
  readonly discardState: () => Promise<void>
}

const CHECKPOINT_MS = 10_000

/**
 * Trains. Its state stays until `discardState`, so that a run killed while its model is written comes to the same.
 * @throws request-invalid, training-diverged, cancelled, model-corrupt, runtime-failed, file-unreadable
 */
export async function trainModel(options: TrainModelOptions): Promise<TrainedModel> {
  const { task, plan, base, clock = systemClock } = options
  const startMs = clock.monotonic()
  const checked = checkLabelledRows(task, options.rows)
  const { config, weights, weightsHash, readingHash } = readBase(base.files)
  const known = plan.kind === 'repeat' ? plan.record : null
  if (known !== null) requireSame(known, { dataHash: checked.dataHash, weightsHash, readingHash })
  const { seed, memoryBytes } = plan.kind === 'repeat' ? plan.record : plan
  const split = splitInner(task, checked.rows, seed)
  const budgetMs = plan.kind === 'search' ? plan.budgetMs : Number.POSITIVE_INFINITY
  const pace = startPace(budgetMs, options.signal, clock)
  const encoded = await encodeRows(checked.rows, {
    task,
    labels: checked.labels,
    tokenizer: tokenizerOf(base.files, config),
    names: task === 'label' ? labelNameRows(checked.labels) : [],
    breathe: pace.breathe,
  })
  const order = { task, weightsHash, readingHash, dataHash: checked.dataHash, ...orderOf(options) }
  const state = await openRunState(options.stateDir, order)
  const earlierMs = state.search.spentMs
  const identity = {
    weightsHash,
    // A run from before it was kept is repeated under its own name.
    ...((known === null || known.readingHash) && { readingHash }),
    dataHash: checked.dataHash,
    seed,
    memoryBytes,
  }
  const context = await openFitContext({
    ...options,
    config,
    weights,
    encoded,
    split,
    memoryBytes,
    pace,
    clock,
    checkpoint: (recipe, rowsUsed) => ({
      path: join(state.folder, 'checkpoint.safetensors'),
      runId: runId({ recipe, rowsUsed, ...identity }),
      everyMs: options.checkpointMs ?? CHECKPOINT_MS,
    }),
  })
  try {
    const { fit, ...chosen } =
      plan.kind === 'repeat'
        ? await lastFit(context, {
            recipe: plan.record.recipe,
            rowsUsed: plan.record.rowsUsed,
            tried: plan.record.tried,
            fit: null,
            instead: null,
          })
        : await lastFit(context, await searchRecipe({ ...plan, context, state }), () =>
            leftOfBudget({ context, state }),
          )
    const record = recordOf({ options, checked, split, encoded, chosen, identity, known, fit })
    const seconds = Math.round((earlierMs + clock.monotonic() - startMs) / 100) / 10
    return {
      parts: {
        task,
        config,
        outputs: encoded.outputs,
        recipe: chosen.recipe,
        ...fit.parts,
        head: cooledHead(fit.parts.head, record.metrics?.temperature ?? 1),
      },
      record: { ...record, seconds, time: new Date(clock.now()).toISOString() },
      notices: [...checked.notices, ...noticesOf(options, split, chosen)],
      discardState: () => rm(state.folder, { recursive: true, force: true }),
    }
  } finally {
    await context.close()
  }
}

interface Base {
  readonly config: EncoderConfig
  readonly weights: EncoderWeights
  readonly weightsHash: string
  readonly readingHash: string
}

/** @throws model-corrupt */
function readBase(files: EncoderFiles): Base {
  const config = parseEncoderConfig(files)
  const weights = readEncoderWeights(readSafetensors(files.weights), config)
  return { config, weights, weightsHash: sha256(files.weights), readingHash: readingHash(files) }
}

/** Of all files of a base but its weights: the same weights behind another tokenizer or pooling are another base. */
export function readingHash({ weights: _, ...files }: EncoderFiles): string {
  return sha256(canonicalJson(files))
}

function tokenizerOf(files: EncoderFiles, config: EncoderConfig) {
  const { maxTokens, vocabularySize } = config
  const tokenizer = createTokenizer({
    tokenizer: files.tokenizer,
    config: files.tokenizerConfig,
    maxTokens,
  })
  if (tokenizer.maxId < vocabularySize) return tokenizer
  throw new UnderstudyError(
    'model-corrupt',
    `tokenizer.json numbers tokens up to ${tokenizer.maxId}, config.json has ${vocabularySize}`,
    { help: 'Use the tokenizer, the weights and the configuration of the same model.' },
  )
}

/** What makes two orders the same, so that one goes on where the other broke off. */
function orderOf({ plan, threads }: TrainModelOptions): Record<string, unknown> {
  return plan.kind === 'repeat' ? { repeat: plan.record.id, threads } : { ...plan, threads }
}

/** @throws request-invalid where a run that is to be repeated learned from something else */
export function requireSame(
  record: RunRecord,
  {
    dataHash,
    weightsHash,
    readingHash,
  }: Pick<RunRecord, 'dataHash' | 'weightsHash'> & { readonly readingHash: string },
): void {
  const what =
    record.dataHash !== dataHash
      ? 'other rows'
      : record.weightsHash !== weightsHash
        ? `other weights of ${record.base}`
        : record.readingHash !== undefined && record.readingHash !== readingHash
          ? `another configuration or tokenizer of ${record.base}`
          : null
  if (what === null) return
  throw new UnderstudyError('request-invalid', `Run ${record.id} was of ${what}.`, {
    help: 'Give the same file and base as then, or train without --recipe.',
  })
}

type Chosen = Pick<RunRecord, 'recipe' | 'rowsUsed' | 'tried'>

/**
 * The fit whose weights are kept. One on all rows that is not done in time is given up for the one of the search, where this
 * process still has it.
 */
async function lastFit(
  context: FitContext,
  { recipe, rowsUsed, tried, fit, instead }: SearchResult,
  leftMs?: () => number,
): Promise<Chosen & { readonly fit: RecipeFit }> {
  if (fit !== null) return { recipe, rowsUsed, tried, fit }
  const canStop = instead !== null && leftMs !== undefined
  const last = await fitRecipe(context, {
    recipe,
    rowsUsed,
    stage: rowsUsed === 'all' ? 'fit on all rows' : 'fit',
    ...(canStop && { stopWhen: () => leftMs() <= 0 }),
  }).catch(error => {
    if (instead === null || !hasCode(error, 'training-diverged')) throw error
    return null
  })
  if (instead === null || last?.isComplete) {
    return { recipe, rowsUsed, tried, fit: last as RecipeFit }
  }
  // Else who comes after a kill would try again what was given up.
  await instead.choose()
  return { recipe: instead.recipe, fit: instead.fit, rowsUsed: 'training', tried }
}

function recordOf({
  options,
  checked,
  split,
  encoded,
  chosen,
  identity,
  known,
  fit,
}: {
  options: TrainModelOptions
  checked: CheckedRows
  split: InnerSplit
  encoded: EncodedRows
  chosen: Chosen
  identity: Omit<RunIdentity, 'recipe' | 'rowsUsed'>
  known: RunRecord | null
  fit: RecipeFit
}): Omit<RunRecord, 'seconds' | 'time'> {
  const { recipe, rowsUsed, tried } = chosen
  const best = tried.find(one => isSameRun(one.recipe, recipe))
  return {
    version: 1,
    id: runId({ recipe, rowsUsed, ...identity }),
    task: options.task,
    base: options.base.name,
    ...identity,
    textsHash: textsHash(checked.rows.map(({ text }) => text)),
    recipe,
    rowsUsed,
    threads: options.threads,
    labels: encoded.labels,
    rowCounts: {
      training: rowsUsed === 'all' ? checked.rows.length : split.training.length,
      selection: split.selection.length,
    },
    metrics: known?.metrics ?? best?.metrics ?? fit.metrics,
    epochLosses: fit.epochLosses,
    heldBackLosses: known?.heldBackLosses ?? best?.heldBackLosses ?? [],
    tried,
    versions: options.versions,
  }
}

/** Equal but for where early stopping ended. */
function isSameRun(a: Recipe, b: Recipe): boolean {
  return (
    JSON.stringify({ ...a, stopAfterEpoch: null }) ===
    JSON.stringify({ ...b, stopAfterEpoch: null })
  )
}

function noticesOf(
  { plan }: TrainModelOptions,
  { selection }: InnerSplit,
  { tried, rowsUsed, recipe }: Chosen,
): string[] {
  const notices: string[] = []
  if (selection.length === 0) {
    notices.push(
      'There are too few rows to hold any back: nothing was measured, and the recipe is a guess.',
    )
  } else if (plan.kind === 'search' && !tried.some(one => isSameRun(one.recipe, recipe))) {
    notices.push(
      'A label has few rows: the recipe comes from experience and was fitted on all of them. Measure the model on rows that it has not seen.',
    )
  } else if (rowsUsed !== 'all') {
    notices.push('There was no time to fit again with the rows held back; give more with --budget.')
  }
  const isOutOfTime = (one: Tried) => one.ended === 'out of time'
  if (tried.some(one => isOutOfTime(one) && one.recipe.method === 'contrastive')) {
    notices.push(
      'There was no time for the recipe that does best where a label has few rows (contrastive); give more with --budget.',
    )
  } else if (
    plan.kind === 'search' &&
    plan.method !== 'head' &&
    selection.length > 0 &&
    tried.every(one => isOutOfTime(one) || one.recipe.method === 'head') &&
    recipe.method === 'head'
  ) {
    notices.push(
      plan.method === 'auto'
        ? 'There was no time to fine-tune: only the head was fitted; give more with --budget.'
        : `There was no time for the method ${plan.method}: only a head was fitted, and no layer was changed; give more with --budget.`,
    )
  }
  return notices
}
