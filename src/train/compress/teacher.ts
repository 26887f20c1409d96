/** What the whole model makes of the rows that its smaller variants learn from. Knows no variants. */
import {
  compressedGraph,
  type Linear,
  openCompressedClassifier,
  openCompressedEncoder,
} from '../../models/index.ts'
import { createRng } from '../../util/index.ts'
import { allRows, otherRows, rowsOfFold } from '../closed-set/cross-fit.ts'
import { foldsByGroup } from '../closed-set/folds.ts'
import { applyHead } from '../head/apply-head.ts'
import { openHeadFitter } from '../head/fit-head.ts'
import { type BuildContext, HEAD_EVALUATIONS, openOptions } from './build-variant.ts'
import type { CompressibleModel } from './compress-types.ts'

/** Of each row that trains. */
export interface Teacher {
  /** [rows, classCount]. */
  readonly logits: Float32Array
  /** [rows, hidden], of length 1. */
  readonly embeddings: Float32Array
}

const FOLDS = 5

/**
 * Logits of the model's own classifier; of a model without one those of a linear head that saw neither the row nor its group.
 * @throws cancelled, runtime-failed
 */
export async function askTeacher(
  model: CompressibleModel,
  context: BuildContext,
): Promise<Teacher> {
  const { runtime, signal, fit } = context
  const encoder = await openCompressedEncoder({
    ...openOptions(model, 'float32', runtime),
    graph: compressedGraph(model, { precision: 'float32' }),
  })
  const embeddings = await encoder.embed(fit.inputs, { signal }).finally(() => encoder.close())
  const { classifier } = model
  const logits =
    classifier === undefined
      ? await outOfFold(embeddings, model, context)
      : await ownLogits(embeddings, { ...model, classifier }, context)
  return { logits, embeddings }
}

async function ownLogits(
  embeddings: Float32Array,
  model: CompressibleModel & { readonly classifier: Linear },
  { fit, classCount, runtime, signal }: BuildContext,
): Promise<Float32Array> {
  const { classifier, config, isNormalised } = model
  if (isNormalised) {
    const head = {
      dimension: config.hiddenSize,
      classCount,
      weights: classifier.weight,
      bias: classifier.bias,
    }
    return applyHead(head, embeddings, [...fit.inputs.keys()])
  }
  const graph = compressedGraph(model, {
    precision: 'float32',
    classifier: { linear: classifier, isNormalised },
  })
  const handle = await openCompressedClassifier({
    ...openOptions(model, 'float32', runtime),
    graph,
    classCount,
  })
  return handle.logits(fit.inputs, { signal }).finally(() => handle.close())
}

async function outOfFold(
  embeddings: Float32Array,
  { config: { hiddenSize: dimension } }: CompressibleModel,
  { fit: { labels, groups }, classCount, runtime, signal }: BuildContext,
): Promise<Float32Array> {
  const split = foldsByGroup(groups, FOLDS, createRng('compress/teacher'))
  const fitter = await openHeadFitter(runtime, { embeddings, labels, dimension, classCount })
  const logits = new Float32Array(labels.length * classCount)
  try {
    for (let fold = 0; fold < split.foldCount; fold++) {
      const taught = new Float32Array(labels.length)
      const rows = split.foldCount < 2 ? allRows(labels.length) : otherRows(split, fold)
      for (const row of rows) taught[row] = 1
      const head = await fitter.fit(taught, { maxEvaluations: HEAD_EVALUATIONS, signal })
      const own = [...rowsOfFold(split, fold)]
      const found = applyHead(head, embeddings, own)
      for (const row of own) {
        const [from, to] = [row * classCount, (row + 1) * classCount]
        logits.set(found.subarray(from, to), from)
      }
    }
  } finally {
    await fitter.close()
  }
  return logits
}
