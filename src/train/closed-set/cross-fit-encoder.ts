/** Head and neighbours on a frozen encoder, cross-fitted. Knows no other part. */
import { UnderstudyError } from '../../errors.ts'
import {
  type EncoderHandle,
  HEAD_INPUT,
  headOpinion,
  type LinearHead,
  NEAREST_INDICES,
  NEAREST_PENALTIES,
  NEAREST_SIMILARITIES,
  type Nearest,
  type Neighbours,
  neighboursGraph,
  neighboursOpinion,
  type VoteRule,
} from '../../models/index.ts'
import type { InferenceRuntime, Tensor } from '../../runtimes/index.ts'
import { newId } from '../../util/index.ts'
import { headLogits } from '../head/apply-head.ts'
import { gatherRows, type HeadFitter, maxHeadRows, openHeadFitter } from '../head/fit-head.ts'
import {
  type ClassifierData,
  type CrossFit,
  type CrossFitContext,
  type Folds,
  rowsOfFold,
} from './cross-fit.ts'

/** What serves: head, neighbours, and how they vote. */
export interface EncoderModel {
  readonly encoder: EncoderHandle
  readonly head: LinearHead
  readonly neighbours: Neighbours
  readonly vote: VoteRule
  /** Of all inputs, [rows, dimension]. */
  readonly embeddings: Float32Array
}

/** Tried on the training parts of three data sets, not tuned, see docs/log.md. */
const VOTE = { k: 16, sharpness: 25, smoothing: 0.02 }
const MAX_EVALUATIONS = 80
/** Vectors kept at most: comparing with more costs a request over a millisecond. */
const MAX_NEIGHBOURS = 16_384
/** Share of the budget in which all inputs must be embedded, or the encoder is left out. */
const EMBEDDING_SHARE = 0.8
const BATCH = 128
/** Added to the similarity of a row that may not vote. */
const EXCLUDED = -8

/**
 * Null where the encoder cannot be used: nothing to learn from, or not enough time to embed the inputs.
 * @throws cancelled, runtime-failed
 */
export async function crossFitEncoder(
  encoder: EncoderHandle,
  data: ClassifierData,
  context: CrossFitContext,
): Promise<CrossFit<EncoderModel> | null> {
  const taught = context.rng.fork('taught').shuffle(taughtRows(data.labels))
  if (taught.length === 0) return null
  const embeddings = await embedInTime(encoder, data.inputs, context)
  if (embeddings === null) return null
  const { dimension } = encoder
  const known = neighboursOf(taught.slice(0, MAX_NEIGHBOURS), { ...data, embeddings, dimension })
  const vote = { ...VOTE, k: Math.min(VOTE.k, known.count) }
  const [nearest, heads] = await Promise.all([
    findNearest(encoder.runtime, { embeddings, known, vote, split: context.split, context }),
    fitHeads(encoder.runtime, { data, embeddings, dimension, taught, context }),
  ])
  const { classCount } = data
  const opinions = data.inputs.map((_, row) => {
    const head = heads.folds[context.split.folds[row] as number] as LinearHead
    const embedding = embeddings.subarray(row * dimension, (row + 1) * dimension)
    return [
      headOpinion(headLogits(head, embedding)),
      neighboursOpinion(nearest[row] as Nearest, known.labels, { classCount, rule: vote }),
    ]
  })
  return { model: { encoder, head: heads.all, neighbours: known, vote, embeddings }, opinions }
}

function taughtRows(labels: Int32Array): Int32Array {
  return Int32Array.from(labels.keys()).filter(row => (labels[row] as number) >= 0)
}

/** All embeddings, null when they would take more than their share of the budget. */
async function embedInTime(
  encoder: EncoderHandle,
  inputs: readonly string[],
  { pace, budgetMs, signal, onProgress }: CrossFitContext,
): Promise<Float32Array | null> {
  const limit = new AbortController()
  const stop = (): void => limit.abort()
  signal.addEventListener('abort', stop)
  try {
    return await encoder.embed(inputs, {
      signal: limit.signal,
      onProgress: doneCount => {
        onProgress('embeddings', doneCount, inputs.length)
        if (pace.leftMs() < (1 - EMBEDDING_SHARE) * budgetMs && doneCount < inputs.length) stop()
      },
    })
  } catch (error) {
    if (limit.signal.aborted && !signal.aborted) return null
    throw error
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

function neighboursOf(
  rows: Int32Array,
  {
    labels,
    embeddings,
    dimension,
  }: { labels: Int32Array; embeddings: Float32Array; dimension: number },
): Neighbours {
  return {
    dimension,
    count: rows.length,
    rows,
    labels: rows.map(row => labels[row] as number),
    vectors: gatherRows(embeddings, rows, dimension),
  }
}

/** The nearest rows of each row among those of other folds. */
async function findNearest(
  runtime: InferenceRuntime,
  {
    embeddings,
    known,
    vote,
    split,
    context,
  }: {
    embeddings: Float32Array
    known: Neighbours
    vote: VoteRule
    split: Folds
    context: CrossFitContext
  },
): Promise<Nearest[]> {
  const { signal, onProgress } = context
  const session = newId('job')
  await runtime.load(session, neighboursGraph(known, vote.k))
  const nearest = new Array<Nearest>(split.folds.length)
  let doneCount = 0
  try {
    for (let fold = 0; fold < split.foldCount; fold++) {
      const penalties = Float32Array.from(known.rows, row =>
        split.folds[row] === fold ? EXCLUDED : 0,
      )
      const rows = rowsOfFold(split, fold)
      for (let at = 0; at < rows.length; at += BATCH) {
        const batch = rows.slice(at, at + BATCH)
        const feeds: Record<string, Tensor> = {
          [HEAD_INPUT]: {
            type: 'float32',
            dims: [batch.length, known.dimension],
            data: gatherRows(embeddings, batch, known.dimension),
          },
          [NEAREST_PENALTIES]: {
            type: 'float32',
            dims: [1, known.count],
            data: penalties.slice(),
          },
        }
        const outputs = await runtime.run([{ session, feeds }], { signal })
        scatterNearest(outputs, { batch, k: vote.k, nearest })
        doneCount += batch.length
        onProgress('neighbours', doneCount, split.folds.length)
      }
    }
  } finally {
    await runtime.unload(session)
  }
  return nearest
}

function scatterNearest(
  outputs: Readonly<Record<string, Tensor>>,
  { batch, k, nearest }: { batch: Int32Array; k: number; nearest: Nearest[] },
): void {
  const similarities = outputs[NEAREST_SIMILARITIES]?.data
  const indices = outputs[NEAREST_INDICES]?.data
  if (!(similarities instanceof Float32Array) || !(indices instanceof BigInt64Array)) {
    throw new UnderstudyError('runtime-failed', 'The neighbours could not be found.')
  }
  batch.forEach((row, i) => {
    nearest[row] = {
      similarities: similarities.slice(i * k, (i + 1) * k),
      indices: Int32Array.from(indices.subarray(i * k, (i + 1) * k), Number),
    }
  })
}

interface HeadJob {
  readonly data: ClassifierData
  readonly embeddings: Float32Array
  readonly dimension: number
  /** In random order. */
  readonly taught: Int32Array
  readonly context: CrossFitContext
}

/** One head per fold, fitted to the other folds, and one for all rows. */
async function fitHeads(
  runtime: InferenceRuntime,
  { data, embeddings, dimension, taught, context }: HeadJob,
): Promise<{ all: LinearHead; folds: LinearHead[] }> {
  const { split, pace, signal, onProgress } = context
  const size = { dimension, classCount: data.classCount }
  const rows = taught.slice(0, maxHeadRows(size))
  const fitter = await openHeadFitter(runtime, {
    ...size,
    labels: rows.map(row => data.labels[row] as number),
    embeddings: gatherRows(embeddings, rows, dimension),
  })
  const total = split.foldCount + 1
  let doneCount = 0
  const fitOne = async (isTaught: (fold: number) => boolean): Promise<LinearHead> => {
    const rowWeights = Float32Array.from(rows, row =>
      isTaught(split.folds[row] as number) ? 1 : 0,
    )
    const shouldStop = (): boolean => pace.leftMs() < 0
    const head = await fitter.fit(rowWeights, {
      maxEvaluations: MAX_EVALUATIONS,
      signal,
      shouldStop,
    })
    onProgress('head', ++doneCount, total)
    return head
  }
  try {
    const [all, ...folds] = await Promise.all([
      fitOne(() => true),
      ...Array.from({ length: split.foldCount }, (_, fold) => fitOne(other => other !== fold)),
    ])
    return { all, folds }
  } finally {
    await closeQuietly(fitter)
  }
}

/** Closing must not hide why fitting failed. */
async function closeQuietly(fitter: HeadFitter): Promise<void> {
  await fitter.close().catch(() => {})
}
