/** Few-shot fitting: the encoder learns to tell rows apart, and logistic regression reads its embeddings. Knows no search. */
import type { TrainingRuntime } from '../../engine/index.ts'
import { UnderstudyError } from '../../errors.ts'
import { type EncoderWeights, frozenModules, type LinearHead } from '../../models/index.ts'
import type { InferenceRuntime } from '../../runtimes/index.ts'
import { applyHead } from '../head/apply-head.ts'
import { openHeadFitter } from '../head/fit-head.ts'
import { checkRows, classesOf } from '../model/training-rows.ts'
import { embedRows } from './embed-rows.ts'
import { type FineTuned, type FineTuneOptions, fineTune } from './fine-tune.ts'
import type { Recipe } from './recipe.ts'
import { tunedWeights } from './tuned-weights.ts'

export interface FewShotOptions extends FineTuneOptions {
  /** Of the method `contrastive`. */
  readonly recipe: Recipe
  /** Runs the training, and the fits of the head. */
  readonly runtime: TrainingRuntime & InferenceRuntime
  readonly signal: AbortSignal
}

const MAX_EVALUATIONS = 80

/**
 * Fine-tunes with pairs of rows in view, then fits the head anew on the embeddings that came of it, as SetFit does (Tunstall et al.
 * 2022), but with all rows of a batch as each other's pairs. The head that trains along starts as logistic regression on
 * frozen embeddings (Kumar et al. 2022) where none is given.
 *
 * What comes back is that of `fineTune`, but that its head and the logits of rows held back are those of the head fitted anew.
 * @throws training-diverged, cancelled, request-invalid, runtime-failed
 */
export async function fitFewShot(options: FewShotOptions): Promise<FineTuned> {
  const { recipe, weights, heldBack } = options
  checkFewShot(options)
  const head = options.head ?? (await fitHeadOn(weights, null, options)).scaled
  const fitted = await fineTune({ ...options, head })
  const after = await fitHeadOn(tunedWeights(weights, fitted), fitted.firstLayer, options)
  return {
    ...fitted,
    recipe,
    head: after.scaled,
    heldBackLogits: heldBack ? applyHead(after.head, after.embeddings, heldBack.subset) : null,
  }
}

/** @throws request-invalid where rows of a class cannot be compared: says why, and what to use instead */
export function checkFewShot({
  rows,
  recipe,
  config,
}: Pick<FewShotOptions, 'rows' | 'recipe' | 'config'>): void {
  checkRows(rows)
  const wrong = (what: string, help: string) =>
    new UnderstudyError('request-invalid', `These rows cannot be compared: ${what}.`, { help })
  if (recipe.method !== 'contrastive') {
    throw wrong(`the recipe's method is ${recipe.method}`, 'Use the method contrastive.')
  }
  if ((rows.kind ?? 'single-label') !== 'single-label') {
    throw wrong('they have several labels or label tokens', 'Use the method full or lora.')
  }
  if (config.pooling === 'pooler') {
    throw wrong('this encoder ends in a pooler', 'Use a sentence encoder, or the method full.')
  }
  const subset = rows.subset ?? [...rows.sequences.keys()]
  const classes = classesOf(rows, subset)
  if (new Set(classes).size === classes.length) {
    throw wrong('no two of them have the same label', 'Give two rows of at least one label.')
  }
}

/** Logistic regression on embeddings of the rows that train, by an encoder whose layers below `firstLayer` are the frozen ones. */
async function fitHeadOn(
  weights: EncoderWeights,
  firstLayer: number | null,
  { config, rows, recipe, prefix = null, runtime, pace, signal }: FewShotOptions,
): Promise<{ head: LinearHead; embeddings: Float32Array; scaled: LinearHead }> {
  const { sequences, classCount } = rows
  const embeddings = await embedRows({
    config,
    modules: frozenModules(config, weights),
    sequences,
    prefix: prefix && firstLayer !== null ? { cache: prefix, layerCount: firstLayer } : null,
    runtime,
    pace,
  })
  const all = [...sequences.keys()]
  const isTaught = new Float32Array(all.length)
  for (const row of rows.subset ?? all) isTaught[row] = 1
  const labels = classesOf(rows, all)
  const dimension = config.hiddenSize
  const fitter = await openHeadFitter(runtime, { embeddings, labels, dimension, classCount })
  try {
    const head = await fitter.fit(isTaught, { maxEvaluations: MAX_EVALUATIONS, signal })
    const scaled = { ...head, weights: head.weights.map(value => value / recipe.scale) }
    return { head, embeddings, scaled }
  } finally {
    await fitter.close().catch(() => {})
  }
}
