/** Fits a closed-set classifier: parts cross-fitted by input group, then the combiner on their out-of-fold opinions. */
import {
  type ClassifierManifest,
  type Combiner,
  decideVerdict,
  type EncoderHandle,
  encodeReflex,
  type HashedFeatures,
  hashFeatures,
  type Opinion,
  type Reflex,
  reflexOpinion,
} from '../models/index.ts'
import { sha256 } from '../platform/index.ts'
import type { InferenceRuntime } from '../runtimes/index.ts'
import type { Rng } from '../util/index.ts'
import { fitCombiner } from './fit-combiner.ts'
import { fitReflex, reflexBits } from './fit-reflex.ts'
import { foldsByGroup, rowsWhere } from './folds.ts'
import { type Pace, startPace } from './pace.ts'

export interface ClassifierData {
  readonly inputs: readonly string[]
  /** Class of each input; −1: the right answer is no class, so the row teaches nothing and is never right. */
  readonly labels: Int32Array
  /** Rows of one group are near-duplicates of one another and never straddle folds. */
  readonly groups: Int32Array
  /** ≥ 1 */
  readonly classCount: number
}

export interface FitClassifierOptions extends ClassifierData {
  /** Both or neither: without them only the reflex is fitted. */
  readonly encoder: EncoderHandle | null
  readonly runtime: InferenceRuntime | null
  readonly rng: Rng
  readonly signal: AbortSignal
  readonly budgetMs: number
  readonly onProgress: (stage: string, doneCount: number, totalCount: number) => void
}

/** A fitted classifier as bytes, and how it does on rows that it was not fitted to. */
export interface ClassifierCandidate {
  readonly name: ClassifierManifest['name']
  readonly manifest: ClassifierManifest
  readonly blobs: ReadonlyMap<string, Uint8Array>
  /** Confidence for each row, from parts and a combiner that saw neither the row nor its group. */
  readonly outOfFoldScores: Float64Array
  /** Class given to each row, likewise. */
  readonly outOfFoldLabels: Int32Array
}

const FOLD_COUNT = 5
const EPOCHS = { most: 8, fewest: 2 }
/** Multiply-adds of the reflex's fitting per millisecond of budget: measured at 400,000 on one busy core. */
const REFLEX_STEPS_PER_MS = 150_000

/**
 * Fits one candidate per available tier, the cheapest first. Deterministic by `rng` unless time runs out.
 * @throws cancelled, runtime-failed
 */
export async function fitClassifier(options: FitClassifierOptions): Promise<ClassifierCandidate[]> {
  const pace = startPace(options.budgetMs, options.signal)
  const split = foldsByGroup(options.groups, FOLD_COUNT, options.rng.fork('folds'))
  const reflex = await crossFitReflex(options, { split, pace })
  return [assemble('reflex', options, { split, reflex })]
}

type Split = ReturnType<typeof foldsByGroup>

interface CrossFit<Model> {
  readonly model: Model
  readonly opinions: readonly Opinion[]
}

async function crossFitReflex(
  options: FitClassifierOptions,
  { split, pace }: { split: Split; pace: Pace },
): Promise<CrossFit<Reflex>> {
  const { inputs, labels, classCount, rng, onProgress } = options
  const bits = reflexBits(classCount)
  const features: HashedFeatures[] = []
  for (const input of inputs) {
    features.push(hashFeatures(input, bits))
    await pace.breathe()
  }
  const total = split.foldCount + 1
  const epochCount = affordableEpochs(features, { classCount, total, budgetMs: options.budgetMs })
  let doneCount = 0
  const fitOne = async (rows: Int32Array, name: string): Promise<Reflex> => {
    const fitLimitMs = pace.leftMs() * (1 - 1 / (total - doneCount + 1))
    const breathe = async (): Promise<boolean> => {
      await pace.breathe()
      return pace.leftMs() < fitLimitMs
    }
    const model = await fitReflex(
      { features, labels },
      { classCount, rng: rng.fork(`reflex ${name}`), rows, epochCount, breathe },
    )
    onProgress('reflex', ++doneCount, total)
    return model
  }
  const opinions = new Array<Opinion>(inputs.length)
  for (let fold = 0; fold < split.foldCount; fold++) {
    const model = await fitOne(otherRows(split, fold), `fold ${fold}`)
    for (const row of rowsOfFold(split, fold)) {
      opinions[row] = reflexOpinion(model, features[row] as HashedFeatures)
      await pace.breathe()
    }
  }
  return { model: await fitOne(allRows(inputs.length), 'all'), opinions }
}

/** Decided beforehand from counts, not by the clock, so that a fitting that has time is deterministic. */
function affordableEpochs(
  features: readonly HashedFeatures[],
  { classCount, total, budgetMs }: { classCount: number; total: number; budgetMs: number },
): number {
  const cells = features.reduce((sum, one) => sum + one.buckets.length, 0)
  const stepsPerEpoch = 2 * total * cells * classCount
  const affordable = Math.floor((budgetMs * REFLEX_STEPS_PER_MS) / Math.max(1, stepsPerEpoch))
  return Math.max(EPOCHS.fewest, Math.min(EPOCHS.most, affordable))
}

/** Puts parts and combiner together: manifest, blobs, and honest out-of-fold answers. */
function assemble(
  name: ClassifierManifest['name'],
  { labels, classCount }: ClassifierData,
  { split, reflex }: { split: Split; reflex: CrossFit<Reflex> },
): ClassifierCandidate {
  const opinions = reflex.opinions.map(opinion => [opinion])
  const reflexBytes = encodeReflex(reflex.model)
  const blobs = new Map([[sha256(reflexBytes), reflexBytes]])
  const manifest: ClassifierManifest = {
    format: 'understudy-classifier',
    version: 1,
    name,
    classCount,
    reflex: { bits: reflex.model.bits, blob: sha256(reflexBytes) },
    encoder: null,
    combiner: toJson(fitCombiner({ opinions, labels }, allRows(labels.length))),
  }
  return { name, manifest, blobs, ...answersOutOfFold({ opinions, labels }, split) }
}

/** The combiner is refitted without each fold, so that a row's score has seen nothing of its label. */
function answersOutOfFold(
  data: { opinions: readonly (readonly Opinion[])[]; labels: Int32Array },
  split: Split,
): Pick<ClassifierCandidate, 'outOfFoldScores' | 'outOfFoldLabels'> {
  const outOfFoldScores = new Float64Array(data.labels.length)
  const outOfFoldLabels = new Int32Array(data.labels.length)
  for (let fold = 0; fold < split.foldCount; fold++) {
    const combiner = fitCombiner(data, otherRows(split, fold))
    for (const row of rowsOfFold(split, fold)) {
      const verdict = decideVerdict(combiner, data.opinions[row] as readonly Opinion[])
      outOfFoldScores[row] = verdict.score
      outOfFoldLabels[row] = verdict.label
    }
  }
  return { outOfFoldScores, outOfFoldLabels }
}

function toJson({ poolWeights, means, deviations, coefficients, intercept }: Combiner) {
  return {
    poolWeights: [...poolWeights],
    means: [...means],
    deviations: [...deviations],
    coefficients: [...coefficients],
    intercept,
  }
}

function otherRows({ folds, foldCount }: Split, fold: number): Int32Array {
  // One group alone cannot be cross-fitted: its only fold is fitted to nothing.
  return foldCount === 1 ? new Int32Array(0) : rowsWhere(folds.length, row => folds[row] !== fold)
}

function rowsOfFold({ folds }: Split, fold: number): Int32Array {
  return rowsWhere(folds.length, row => folds[row] === fold)
}

function allRows(length: number): Int32Array {
  return rowsWhere(length, () => true)
}
