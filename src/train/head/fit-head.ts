/** Fits linear heads on fixed embeddings: multinomial logistic regression by L-BFGS in the runtime. Knows no folds. */
import { UnderstudyError } from '../../errors.ts'
import type { LinearHead } from '../../models/index.ts'
import type { InferenceRuntime, Tensor } from '../../runtimes/index.ts'
import { createRng, newId } from '../../util/index.ts'
import { type HeadRows, headLossGraph, LOSS_FEEDS, LOSS_OUTPUTS } from './head-loss.ts'
import { type Evaluation, minimise } from './lbfgs.ts'

export interface HeadFitter {
  /** Fits to the rows with a positive weight; several may run at once. @throws cancelled, runtime-failed */
  fit(rowWeights: Float32Array, options: HeadFitOptions): Promise<LinearHead>
  close(): Promise<void>
}

export interface HeadFitOptions {
  readonly maxEvaluations: number
  readonly signal: AbortSignal
  readonly shouldStop?: () => boolean
}

/** Strength of ½·ridge·‖weights‖² against losses summed over rows: 1/C with C = 30, see docs/log.md. */
const RIDGE = 1 / 30

/** Rows × classes that one evaluation of the loss may hold: 80 MB a tensor. */
const MAX_LOSS_CELLS = 20_000_000
/** Of embeddings, which become a constant of the graph: protobuf ends at 2 GiB. */
const MAX_EMBEDDING_BYTES = 2 ** 30

/** Rows that a head can be fitted to at once. */
export function maxHeadRows({ dimension, classCount }: Pick<HeadRows, 'dimension' | 'classCount'>) {
  const most = Math.min(MAX_LOSS_CELLS / classCount, MAX_EMBEDDING_BYTES / (4 * dimension))
  return Math.max(1, Math.floor(most))
}

/**
 * Loads rows into the runtime once, for any number of fits; of more than `maxHeadRows` a fixed sample. Rows labelled −1 teach
 * nothing.
 */
export async function openHeadFitter(
  runtime: InferenceRuntime,
  rows: HeadRows,
): Promise<HeadFitter> {
  const { dimension, classCount, labels } = rows
  const session = newId('job')
  const kept = keptRows(rows)
  await runtime.load(session, headLossGraph(pickRows(rows, kept)))
  const weightCount = dimension * classCount
  return {
    async fit(rowWeights, { signal, ...options }) {
      const taught = Float32Array.from(kept, row =>
        (labels[row] as number) < 0 ? 0 : (rowWeights[row] as number),
      )
      const evaluate = async (x: Float64Array): Promise<Evaluation> => {
        const outputs = await runtime.run(
          [{ session, feeds: feedsOf(x, taught, { dimension, classCount }) }],
          { signal },
        )
        return withRidge(x, outputs, weightCount)
      }
      const x = await minimise(new Float64Array(weightCount + classCount), evaluate, options)
      return {
        dimension,
        classCount,
        weights: Float32Array.from(x.subarray(0, weightCount)),
        bias: Float32Array.from(x.subarray(weightCount)),
      }
    },
    close: () => runtime.unload(session),
  }
}

function keptRows(rows: HeadRows): Int32Array {
  const all = Int32Array.from(rows.labels.keys())
  const most = maxHeadRows(rows)
  if (all.length <= most) return all
  return Int32Array.from(
    createRng('head rows')
      .shuffle([...all])
      .slice(0, most),
  )
}

function pickRows(rows: HeadRows, kept: Int32Array): HeadRows {
  if (kept.length === rows.labels.length) return rows
  const { embeddings, labels, targets, dimension, classCount } = rows
  return {
    dimension,
    classCount,
    embeddings: gatherRows(embeddings, kept, dimension),
    labels: kept.map(row => labels[row] as number),
    ...(targets && { targets: gatherRows(targets, kept, classCount) }),
  }
}

/** Some rows of a matrix [rows, width]. */
export function gatherRows(values: Float32Array, rows: Int32Array, width: number): Float32Array {
  const gathered = new Float32Array(rows.length * width)
  rows.forEach((row, i) => {
    gathered.set(values.subarray(row * width, (row + 1) * width), i * width)
  })
  return gathered
}

function feedsOf(
  x: Float64Array,
  rowWeights: Float32Array,
  { dimension, classCount }: { dimension: number; classCount: number },
): Record<string, Tensor> {
  const values = Float32Array.from(x)
  const at = dimension * classCount
  const float = (dims: number[], data: Float32Array): Tensor => ({ type: 'float32', dims, data })
  return {
    [LOSS_FEEDS.weights]: float([dimension, classCount], values.slice(0, at)),
    [LOSS_FEEDS.bias]: float([classCount], values.slice(at)),
    [LOSS_FEEDS.rowWeights]: float([rowWeights.length, 1], rowWeights.slice()),
  }
}

/** The bias is not penalised. */
function withRidge(
  x: Float64Array,
  outputs: Readonly<Record<string, Tensor>>,
  weightCount: number,
): Evaluation {
  const gradient = new Float64Array(x.length)
  gradient.set(floats(outputs[LOSS_OUTPUTS.weights]), 0)
  gradient.set(floats(outputs[LOSS_OUTPUTS.bias]), weightCount)
  let loss = floats(outputs[LOSS_OUTPUTS.loss])[0] as number
  for (let i = 0; i < weightCount; i++) {
    const weight = x[i] as number
    loss += 0.5 * RIDGE * weight * weight
    gradient[i] = (gradient[i] as number) + RIDGE * weight
  }
  return { loss, gradient }
}

function floats(tensor: Tensor | undefined): Float32Array {
  if (tensor?.type === 'float32') return tensor.data as Float32Array
  throw new UnderstudyError('runtime-failed', 'The head could not be fitted: a result is missing.')
}
