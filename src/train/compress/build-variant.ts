/** One variant of a model, from what is left out to its graph, opened and scored. Knows no choice and no certificate. */
import { thresholdGrid } from '../../evals/index.ts'
import {
  type CompressedClassifierHandle,
  compressedGraph,
  keepLayers,
  type Linear,
  openCompressedClassifier,
  openCompressedEncoder,
  type Precision,
  type TokenizerFile,
  trimVocabulary,
} from '../../models/index.ts'
import type { InferenceRuntime } from '../../runtimes/index.ts'
import { argmax, newId, softmax } from '../../util/index.ts'
import { openHeadFitter } from '../head/fit-head.ts'
import type {
  CompressedClassifier,
  CompressibleModel,
  CompressVariant,
  LabelledRows,
} from './compress-types.ts'

/** A variant as it is measured. */
export interface Built extends CompressedClassifier {
  readonly handle: CompressedClassifierHandle
  readonly selection: Scored
}

export interface Scored {
  /** Highest probability. */
  readonly scores: Float64Array
  /** 1 where wrong. */
  readonly losses: Float64Array
}

export interface BuildContext {
  readonly fit: LabelledRows
  readonly selection: LabelledRows
  readonly classCount: number
  readonly runtime: InferenceRuntime
  readonly signal: AbortSignal
}

/** Trains what is left of a model; null where there is no time, or it diverges. */
export type Retrainer = (
  model: CompressibleModel,
  variant: CompressVariant,
) => Promise<CompressibleModel | null>

/** Of the loss, in fitting a linear head. */
export const HEAD_EVALUATIONS = 80

/**
 * Selection rows are scored by the graph that is kept. Null where it was not trained.
 * @throws what trains and quantises throws
 */
export async function buildVariant(
  variant: CompressVariant,
  original: CompressibleModel,
  context: BuildContext & { readonly retrain: Retrainer },
): Promise<Built | null> {
  const { precision } = variant
  const smaller = leaveOut(variant, original, context.fit.inputs)
  const bare = variant.lesson ? await context.retrain(smaller, variant) : smaller
  if (bare === null) return null
  const classifier = bare.classifier ?? (await fitClassifier(bare, variant, context))
  const model = { ...bare, classifier }
  const graph = compressedGraph(model, {
    precision,
    classifier: { linear: classifier, isNormalised: model.isNormalised },
  })
  const { classCount, runtime, selection, signal } = context
  const handle = await openCompressedClassifier({
    ...openOptions(model, variant.precision, runtime),
    graph,
    classCount,
  })
  try {
    const scored = await score(handle, selection, { classCount, signal })
    return {
      variant,
      model,
      graph,
      handle,
      selection: scored,
      grid: thresholdGrid(scored.scores),
    }
  } catch (error) {
    await handle.close()
    throw error
  }
}

/** Layers and words. Training and quantising come after. */
function leaveOut(
  { keepLayers: keep, trimVocabulary: isTrimmed = false }: CompressVariant,
  model: CompressibleModel,
  texts: readonly string[],
): CompressibleModel {
  const shorter = keep === undefined ? model : withLayers(model, keep)
  return isTrimmed ? trimVocabulary(shorter, texts).model : shorter
}

/** A classifier is of use only over the layers that it was trained on. */
function withLayers(model: CompressibleModel, keep: readonly number[]): CompressibleModel {
  const shorter = keepLayers(model, keep)
  return keep.length === model.config.layerCount ? shorter : { ...shorter, classifier: undefined }
}

/** Logistic regression on the embeddings as this precision gives them. */
async function fitClassifier(
  model: CompressibleModel,
  variant: CompressVariant,
  { fit: { inputs, labels }, classCount, runtime, signal }: BuildContext,
): Promise<Linear> {
  const encoder = await openCompressedEncoder({
    ...openOptions(model, variant.precision, runtime),
    graph: compressedGraph(model, variant),
  })
  const embeddings = await encoder.embed(inputs, { signal }).finally(() => encoder.close())
  const { dimension } = encoder
  const fitter = await openHeadFitter(runtime, { embeddings, labels, dimension, classCount })
  const everyRow = new Float32Array(inputs.length).fill(1)
  const { weights, bias } = await fitter
    .fit(everyRow, { maxEvaluations: HEAD_EVALUATIONS, signal })
    .finally(() => fitter.close())
  return { weight: weights, bias }
}

/** For opening a graph of the model. */
export function openOptions(
  model: CompressibleModel,
  precision: Precision,
  runtime: InferenceRuntime,
) {
  return {
    // A name of its own: two variants of the same weights may differ in their tokenizer.
    name: newId('job'),
    precision,
    config: model.config,
    tokenizer: fileText(model, 'tokenizer.json') ?? '',
    tokenizerConfig: fileText(model, 'tokenizer_config.json'),
    runtime,
  }
}

/** What a variant answers, and whether it is right. */
export async function score(
  handle: CompressedClassifierHandle,
  { inputs, labels }: LabelledRows,
  { classCount, signal }: { readonly classCount: number; readonly signal: AbortSignal },
): Promise<Scored> {
  const logits = await handle.logits(inputs, { signal })
  const scores = new Float64Array(inputs.length)
  const losses = new Float64Array(inputs.length)
  for (let row = 0; row < inputs.length; row++) {
    const own = softmax(
      Float64Array.from(logits.subarray(row * classCount, (row + 1) * classCount)),
    )
    const best = argmax(own)
    scores[row] = own[best] as number
    losses[row] = best === labels[row] ? 0 : 1
  }
  return { scores, losses }
}

/** One of the tokenizer's files as text. */
export function fileText(
  { tokenizer }: CompressibleModel,
  name: TokenizerFile,
): string | undefined {
  const bytes = tokenizer.get(name)
  return bytes && new TextDecoder().decode(bytes)
}
