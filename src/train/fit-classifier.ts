/** Fits a closed-set classifier: parts cross-fitted by input group, then the combiner on their out-of-fold opinions. */
import {
  type ClassifierManifest,
  type Combiner,
  decideVerdict,
  type EncoderHandle,
  type EncoderPartManifest,
  encodeHead,
  encodeNeighbours,
  encodeReflex,
  type Opinion,
  type Reflex,
} from '../models/index.ts'
import { sha256 } from '../platform/index.ts'
import type { InferenceRuntime } from '../runtimes/index.ts'
import type { Rng } from '../util/index.ts'
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
import { type CombinerRows, fitCombiner } from './fit-combiner.ts'
import { foldsByGroup } from './folds.ts'
import { startPace } from './pace.ts'

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
  const candidates = [assemble({ data: options, split, reflex, encoded: null })]
  if (encoded !== null) candidates.push(assemble({ data: options, split, reflex, encoded }))
  return candidates
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
}

/** Puts parts and combiner together: manifest, blobs, and honest out-of-fold answers. */
function assemble({ data, split, reflex, encoded }: Assembly): ClassifierCandidate {
  const { labels, classCount } = data
  const opinions = reflex.opinions.map((own, row) => [...own, ...(encoded?.opinions[row] ?? [])])
  const blobs = new Map<string, Uint8Array>()
  const keep = (bytes: Uint8Array): string => {
    const hash = sha256(bytes)
    blobs.set(hash, bytes)
    return hash
  }
  const name = encoded === null ? 'reflex' : 'encoder'
  const manifest: ClassifierManifest = {
    format: 'understudy-classifier',
    version: 1,
    name,
    classCount,
    reflex: { bits: reflex.model.bits, blob: keep(encodeReflex(reflex.model)) },
    encoder: encoded === null ? null : encoderManifest(encoded.model, keep),
    combiner: toJson(fitCombiner({ opinions, labels }, allRows(labels.length))),
  }
  return { name, manifest, blobs, ...answersOutOfFold({ opinions, labels }, split) }
}

function encoderManifest(
  { encoder, head, neighbours, vote }: EncoderModel,
  keep: (bytes: Uint8Array) => string,
): EncoderPartManifest {
  return {
    name: encoder.name,
    weightsHash: encoder.weightsHash,
    dimension: encoder.dimension,
    headBlob: keep(encodeHead(head)),
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
