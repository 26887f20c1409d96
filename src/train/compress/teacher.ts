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

const FOLDS = 5

/**
 * Logits [rows, classCount] of the model's own classifier; of a model without one those of a linear head that saw neither the
 * row nor its group.
 * @throws cancelled, runtime-failed
 */
export function askTeacher(model: CompressibleModel, context: BuildContext): Promise<Float32Array> {
  const { classifier } = model
  if (classifier === undefined) return outOfFold(model, context)
  return ownLogits({ ...model, classifier }, context)
}

async function ownLogits(
  model: CompressibleModel & { readonly classifier: Linear },
  { fit, classCount, runtime, signal }: BuildContext,
): Promise<Float32Array> {
  const { classifier: linear, isNormalised } = model
  const handle = await openCompressedClassifier({
    ...openOptions(model, 'float32', runtime),
    graph: compressedGraph(model, { precision: 'float32', classifier: { linear, isNormalised } }),
    classCount,
  })
  return handle.logits(fit.inputs, { signal }).finally(() => handle.close())
}

async function outOfFold(
  model: CompressibleModel,
  { fit: { inputs, labels, groups }, classCount, runtime, signal }: BuildContext,
): Promise<Float32Array> {
  const encoder = await openCompressedEncoder({
    ...openOptions(model, 'float32', runtime),
    graph: compressedGraph(model, { precision: 'float32' }),
  })
  const embeddings = await encoder.embed(inputs, { signal }).finally(() => encoder.close())
  const { dimension } = encoder
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
