/** Fits a closed-set classifier: parts cross-fitted by input group, then the combiner on their out-of-fold opinions. */

import type { TrainingRuntime } from '../../engine/index.ts'
import { hasCode } from '../../errors.ts'
import {
  type ClassifierManifest,
  type Combiner,
  decideVerdict,
  type EncoderHandle,
  type EncoderPartManifest,
  encodeHead,
  encodeLayers,
  encodeNeighbours,
  encodeReflex,
  type Opinion,
  type Reflex,
} from '../../models/index.ts'
import { sha256 } from '../../platform/index.ts'
import type { InferenceRuntime } from '../../runtimes/index.ts'
import { areaUnderRiskCoverage, riskCoverageCurve } from '../../stats/index.ts'
import type { Rng } from '../../util/index.ts'
import { startPace } from '../pace.ts'
import {
  allRows,
  type ClassifierData,
  type CrossFit,
  type CrossFitContext,
  type Folds,
  otherRows,
  rowsOfFold,
} from './cross-fit.ts'
import { crossFitEncoder, type EncoderModel } from './cross-fit-encoder.ts'
import { crossFitReflex } from './cross-fit-reflex.ts'
import {
  crossFitTuned,
  type TunedContext,
  type TunedFit,
  type TunedModel,
} from './cross-fit-tuned.ts'
import { type CombinerRows, fitCombiner } from './fit-combiner.ts'
import { foldsByGroup } from './folds.ts'

export interface FitClassifierOptions extends ClassifierData {
  /** Both or neither: without them only the reflex is fitted. */
  readonly encoder: EncoderHandle | null
  readonly runtime: InferenceRuntime | null
  /** What fine-tuning runs on; without it encoders stay frozen. */
  readonly training?: TrainingRuntime | null
  /** Fine-tuning is tried where the frozen encoder leaves requests unanswered at this risk. */
  readonly targetRisk: number
  readonly rng: Rng
  readonly signal: AbortSignal
  readonly budgetMs: number
  readonly onProgress: (stage: string, doneCount: number, totalCount: number) => void
}

/** A fitted classifier as bytes, and how it does on rows that it was not fitted to. */
export interface ClassifierCandidate {
  readonly name: string
  readonly manifest: ClassifierManifest
  readonly blobs: ReadonlyMap<string, Uint8Array>
  /** Confidence for each row, from parts and a combiner that saw neither the row nor its group. */
  readonly outOfFoldScores: Float64Array
  /** Class given to each row, likewise. */
  readonly outOfFoldLabels: Int32Array
}

const FOLD_COUNT = 5

/**
 * Fits one candidate per available tier, the cheapest first. Deterministic by `rng` unless time runs out.
 * @throws cancelled, runtime-failed
 */
export async function fitClassifier(options: FitClassifierOptions): Promise<ClassifierCandidate[]> {
  const { encoder, runtime, rng, signal, budgetMs, onProgress } = options
  const pace = startPace(budgetMs, signal)
  const split = foldsByGroup(options.groups, FOLD_COUNT, rng.fork('folds'))
  const context: CrossFitContext = { split, pace, rng, signal, budgetMs, onProgress }
  // At once: the reflex computes in this thread, the encoder in the runtime's.
  const [reflex, encoded] = await bothOrNeither(
    crossFitReflex(options, context),
    encoder === null || runtime === null
      ? Promise.resolve(null)
      : crossFitEncoder(encoder, options, context),
  )
  const reflexAlone = assemble({ data: options, split, reflex, encoded: null, tuned: null })
  if (encoded === null) return [reflexAlone]
  const frozen = assemble({ data: options, split, reflex, encoded, tuned: null })
  const judge: TunedContext['judge'] = (opinionOf, rows) =>
    poolArea({ data: options, split, reflex, encoded }, opinionOf, rows)
  const tuned = await tuneWhereItPays(frozen, encoded.model, options, { ...context, judge })
  if (tuned === null) return [reflexAlone, frozen]
  return [reflexAlone, frozen, assemble({ data: options, split, reflex, encoded, tuned })]
}

/** Nothing is tuned where the frozen encoder answers nearly everything already. */
const ENOUGH_COVERAGE = 0.985

async function tuneWhereItPays(
  frozen: ClassifierCandidate,
  { encoder, embeddings }: EncoderModel,
  options: FitClassifierOptions,
  context: CrossFitContext & Pick<TunedContext, 'judge'>,
): Promise<TunedFit | null> {
  const { training, targetRisk, labels } = options
  const { base, runtime } = encoder
  if (base === null || training === undefined || training === null) return null
  const losses = frozen.outOfFoldLabels.map((label, row) => (label === labels[row] ? 0 : 1))
  const curve = riskCoverageCurve(frozen.outOfFoldScores, losses)
  const covered = curve.filter(({ risk }) => risk <= targetRisk).map(({ coverage }) => coverage)
  if (Math.max(0, ...covered) >= ENOUGH_COVERAGE) return null
  try {
    return await crossFitTuned(options, { ...context, base, runtime, training, embeddings })
  } catch (error) {
    // What diverges is one candidate less, not a task that cannot be learned.
    if (hasCode(error, 'training-diverged')) return null
    throw error
  }
}

/** Waits for the slower one also when the quicker fails, so that nothing goes on computing behind the caller's back. */
async function bothOrNeither<A, B>(first: Promise<A>, second: Promise<B>): Promise<[A, B]> {
  const [a, b] = await Promise.allSettled([first, second])
  if (a.status === 'rejected') throw a.reason
  if (b.status === 'rejected') throw b.reason
  return [a.value, b.value]
}

interface Assembly {
  readonly data: ClassifierData
  readonly split: Folds
  readonly reflex: CrossFit<Reflex>
  readonly encoded: CrossFit<EncoderModel> | null
  /** Its head takes the place of the frozen encoder's. */
  readonly tuned: TunedFit | null
}

/** Puts parts and combiner together: manifest, blobs, and honest out-of-fold answers. */
function assemble({ data, split, reflex, encoded, tuned }: Assembly): ClassifierCandidate {
  const { labels, classCount } = data
  const opinions = reflex.opinions.map((_, row) =>
    opinionsOn(row, { reflex, encoded }, tuned?.opinions[row]),
  )
  const blobs = new Map<string, Uint8Array>()
  const keep = (bytes: Uint8Array): string => {
    const hash = sha256(bytes)
    blobs.set(hash, bytes)
    return hash
  }
  const kind = encoded === null ? 'reflex' : 'encoder'
  const manifest: ClassifierManifest = {
    format: 'understudy-classifier',
    version: 1,
    name: kind,
    classCount,
    reflex: { bits: reflex.model.bits, blob: keep(encodeReflex(reflex.model)) },
    encoder: encoded === null ? null : encoderManifest(encoded.model, tuned?.model ?? null, keep),
    combiner: toJson(fitCombiner({ opinions, labels }, allRows(labels.length))),
  }
  const name = tuned === null ? kind : `encoder, ${tuned.model.recipe.method} fine-tuned`
  return { name, manifest, blobs, ...answersOutOfFold({ opinions, labels }, split) }
}

/** Opinions on a row as the combiner takes them; a tuned head's takes the place of the frozen encoder's. */
function opinionsOn(
  row: number,
  { reflex, encoded }: Pick<Assembly, 'reflex' | 'encoded'>,
  tuned: Opinion | undefined,
): readonly Opinion[] {
  const own = reflex.opinions[row] as readonly Opinion[]
  const [head, ...neighbours] = encoded?.opinions[row] ?? []
  return head === undefined ? own : [...own, tuned ?? head, ...neighbours]
}

/** Area under the risk–coverage curve on some rows of the classifier whose tuned head thinks so of them. */
function poolArea(
  { data: { labels }, split, ...parts }: Omit<Assembly, 'tuned'>,
  opinionOf: (row: number) => Opinion,
  rows: Int32Array,
): number {
  const opinions = Array.from(rows, row => opinionsOn(row, parts, opinionOf(row)))
  const pick = (values: Int32Array) => Int32Array.from(rows, row => values[row] as number)
  const own = { opinions, labels: pick(labels) }
  const folds = { folds: pick(split.folds), foldCount: split.foldCount }
  const { outOfFoldScores, outOfFoldLabels } = answersOutOfFold(own, folds)
  return areaUnderRiskCoverage(
    outOfFoldScores,
    outOfFoldLabels.map((label, i) => (label === own.labels[i] ? 0 : 1)),
  )
}

function encoderManifest(
  { encoder, head, neighbours, vote }: EncoderModel,
  tuned: TunedModel | null,
  keep: (bytes: Uint8Array) => string,
): EncoderPartManifest {
  return {
    name: encoder.name,
    weightsHash: encoder.weightsHash,
    dimension: encoder.dimension,
    headBlob: keep(encodeHead(tuned?.head ?? head)),
    tuned: tuned && {
      firstLayer: tuned.tuned.firstLayer,
      scale: tuned.tuned.scale,
      layersBlob: keep(encodeLayers(tuned.tuned)),
      recipe: { ...tuned.recipe },
    },
    neighbourCount: neighbours.count,
    neighboursBlob: keep(encodeNeighbours(neighbours)),
    vote,
  }
}

/** The combiner is refitted without each fold, so that a row's score has seen nothing of its label. */
function answersOutOfFold(
  data: CombinerRows,
  split: Folds,
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

function toJson(combiner: Combiner) {
  return {
    poolWeights: [...combiner.poolWeights],
    means: [...combiner.means],
    deviations: [...combiner.deviations],
    coefficients: [...combiner.coefficients],
    intercept: combiner.intercept,
    lows: [...combiner.lows],
    highs: [...combiner.highs],
  }
}
