/**
 * Makes smaller variants of an encoder classifier and measures each: size, time, accuracy, certified coverage. Every variant gets
 * its own head, scores and thresholds. Knows no files and no catalog.
 */
import { UnderstudyError } from '../../errors.ts'
import { certify, serves, thresholdGrid } from '../../evals/index.ts'
import {
  compressedGraph,
  type EncoderHandle,
  keepLayers,
  type LinearHead,
  openCompressedEncoder,
  trimVocabulary,
} from '../../models/index.ts'
import { argmax, createRng, newId, quantile, systemClock } from '../../util/index.ts'
import { foldsByGroup, rowsWhere } from '../closed-set/folds.ts'
import { openHeadFitter } from '../head/fit-head.ts'
import type {
  CompressedClassifier,
  CompressibleModel,
  CompressOptions,
  CompressReport,
  CompressResult,
  CompressRow,
  CompressVariant,
  LabelledRows,
} from './compress-types.ts'

interface Built extends CompressedClassifier {
  readonly encoder: EncoderHandle
  readonly selection: Scored
}

interface Scored {
  /** Highest probability. */
  readonly scores: Float64Array
  /** 1 where wrong. */
  readonly losses: Float64Array
}

const SELECTION_FOLDS = 5
const LATENCY_ROUNDS = 25
const LATENCY_BLOCK = 5
const HEAD_EVALUATIONS = 80

/**
 * Builds, measures and certifies. The first variant is what others are compared with. Certification rows are read after the
 * choice; a report that certifies every row shares delta among them.
 * @throws usage-invalid without variants or with too few rows; cancelled; what heals and quantises throws
 */
export async function compressClassifier(options: CompressOptions): Promise<CompressResult> {
  const { variants, signal } = options
  requireSense(options)
  const split = splitTraining(options)
  const built: Built[] = []
  try {
    for (const [i, variant] of variants.entries()) {
      throwIfCancelled(signal)
      options.onProgress?.(variant.name, i, variants.length)
      built.push(await buildVariant(variant, split, options))
    }
    const latencies = await measureLatencies(built, split.selection.inputs, options)
    const chosenAt = choose(built, latencies, options)
    const { encoder: _encoder, selection: _selection, ...chosen } = built[chosenAt] as Built
    const counts = { fit: split.fit.inputs.length, selection: split.selection.inputs.length }
    return { chosen, report: await lookAndReport(built, { latencies, chosenAt, counts, options }) }
  } finally {
    await Promise.all(built.map(({ encoder }) => encoder.close()))
  }
}

/** The only reading of certification rows, after the choice. */
async function lookAndReport(
  built: readonly Built[],
  {
    latencies,
    chosenAt,
    counts,
    options,
  }: {
    readonly latencies: readonly number[]
    readonly chosenAt: number
    readonly counts: { readonly fit: number; readonly selection: number }
    readonly options: CompressOptions
  },
): Promise<CompressReport> {
  const { certified, certification, targetRisk, signal } = options
  const looked = certified === 'every' ? built : [built[chosenAt] as Built]
  const deltaPerLook = options.delta / looked.length
  const rows: CompressRow[] = []
  for (const [i, one] of built.entries()) {
    const look = looked.includes(one) ? await score(one, certification, signal) : null
    rows.push(rowOf(one, latencies[i] as number, { look, deltaPerLook, targetRisk }))
  }
  return {
    rows,
    chosen: (built[chosenAt] as Built).variant.name,
    maxAccuracyLoss: allowedLoss(options),
    targetRisk,
    deltaPerLook,
    fitCount: counts.fit,
    selectionCount: counts.selection,
    certificationCount: certification.inputs.length,
  }
}

async function buildVariant(
  variant: CompressVariant,
  { fit, selection }: { readonly fit: LabelledRows; readonly selection: LabelledRows },
  options: CompressOptions,
): Promise<Built> {
  const { runtime, signal } = options
  const model = await applySteps(variant, options.model, fit.inputs)
  const graph = compressedGraph(model, { precision: variant.precision })
  const encoder = await openCompressedEncoder({
    // A name of its own: two variants of the same weights may differ in their tokenizer.
    name: newId('job'),
    graph,
    precision: variant.precision,
    config: model.config,
    tokenizer: text(model, 'tokenizer.json') ?? '',
    tokenizerConfig: text(model, 'tokenizer_config.json'),
    runtime,
  })
  try {
    const head = await fitHead(encoder, fit, options)
    const scored = await score({ encoder, head }, selection, signal)
    const grid = thresholdGrid(scored.scores)
    return { variant, model, graph, head, encoder, selection: scored, grid }
  } catch (error) {
    await encoder.close()
    throw error
  }
}

async function fitHead(
  encoder: EncoderHandle,
  { inputs, labels }: LabelledRows,
  { runtime, signal, classCount }: CompressOptions,
): Promise<LinearHead> {
  const embeddings = await encoder.embed(inputs, { signal })
  const fitter = await openHeadFitter(runtime, {
    embeddings,
    labels,
    dimension: encoder.dimension,
    classCount,
  })
  const weights = new Float32Array(inputs.length).fill(1)
  return fitter
    .fit(weights, { maxEvaluations: HEAD_EVALUATIONS, signal })
    .finally(() => fitter.close())
}

/** Leaves out, trims, heals; quantising is the graph's part. */
async function applySteps(
  { keepLayers: keep, trimVocabulary: isTrimmed = false, heal }: CompressVariant,
  model: CompressibleModel,
  texts: readonly string[],
): Promise<CompressibleModel> {
  const shorter = keep === undefined ? model : keepLayers(model, keep)
  const smaller = isTrimmed ? trimVocabulary(shorter, texts).model : shorter
  return heal === undefined ? smaller : heal(smaller)
}

async function score(
  { encoder, head }: Pick<Built, 'encoder' | 'head'>,
  { inputs, labels }: LabelledRows,
  signal: AbortSignal,
): Promise<Scored> {
  const embeddings = await encoder.embed(inputs, { signal })
  const scores = new Float64Array(inputs.length)
  const losses = new Float64Array(inputs.length)
  for (let row = 0; row < inputs.length; row++) {
    const from = row * head.dimension
    const probabilities = softmax(logits(head, embeddings.subarray(from, from + head.dimension)))
    const best = argmax(probabilities)
    scores[row] = probabilities[best] as number
    losses[row] = best === labels[row] ? 0 : 1
  }
  return { scores, losses }
}

function logits({ weights, bias, classCount }: LinearHead, x: Float32Array): Float64Array {
  const sums = Float64Array.from(bias)
  for (let i = 0; i < x.length; i++) {
    for (let k = 0; k < classCount; k++) {
      sums[k] = (sums[k] as number) + (x[i] as number) * (weights[i * classCount + k] as number)
    }
  }
  return sums
}

function softmax(values: Float64Array): Float64Array {
  const most = values.reduce((a, b) => Math.max(a, b))
  const powers = values.map(value => Math.exp(value - most))
  const total = powers.reduce((a, b) => a + b, 0)
  return powers.map(power => power / total)
}

/** Milliseconds of one text, variants taking turns so that a disturbance meets all of them. */
async function measureLatencies(
  built: readonly Built[],
  inputs: readonly string[],
  { signal, clock = systemClock }: CompressOptions,
): Promise<number[]> {
  const times = built.map(() => [] as number[])
  for (let round = 0; round < LATENCY_ROUNDS; round++) {
    for (const [i, { encoder, head }] of built.entries()) {
      throwIfCancelled(signal)
      for (let call = 0; call < LATENCY_BLOCK; call++) {
        const input = inputs[(round * LATENCY_BLOCK + call) % inputs.length] as string
        const startMs = clock.monotonic()
        logits(head, await encoder.embed([input]))
        // The first call finds the caches of the variant before.
        if (call > 0) times[i]?.push(clock.monotonic() - startMs)
      }
    }
  }
  return times.map(one => quantile(one, 0.5))
}

/** The fastest that loses no more accuracy than allowed, on selection rows only. */
function choose(
  built: readonly Built[],
  latencies: readonly number[],
  options: CompressOptions,
): number {
  const accuracies = built.map(({ selection }) => accuracyOf(selection))
  const least = (accuracies[0] as number) - allowedLoss(options)
  let best = 0
  for (const [i, accuracy] of accuracies.entries()) {
    if (accuracy >= least && (latencies[i] as number) < (latencies[best] as number)) best = i
  }
  return best
}

function rowOf(
  one: Built,
  latencyMs: number,
  {
    look,
    deltaPerLook,
    targetRisk,
  }: { look: Scored | null; deltaPerLook: number; targetRisk: number },
): CompressRow {
  const { variant, model, graph, head, grid, selection } = one
  const tokenizer = model.tokenizer.get('tokenizer.json')?.byteLength ?? 0
  return {
    name: variant.name,
    precision: variant.precision,
    layerCount: model.config.layerCount,
    vocabularySize: model.config.vocabularySize,
    byteCount: graph.byteLength + tokenizer + head.weights.byteLength + head.bias.byteLength,
    latencyMs,
    selectionAccuracy: accuracyOf(selection),
    selectionCoverage: coverageWithin(selection, grid, targetRisk),
    accuracy: look && accuracyOf(look),
    certificate:
      look && certify({ ...look, grid, targetRisk, delta: deltaPerLook, promise: 'selective' }),
  }
}

/** The most that any threshold of the grid answers at a risk within the target, counted and not proven. */
function coverageWithin({ scores, losses }: Scored, grid: readonly number[], targetRisk: number) {
  const shares = grid.map(threshold => {
    const served = losses.filter((_, row) => serves(scores[row] as number, threshold))
    const wrong = served.reduce((a, b) => a + b, 0)
    return wrong <= targetRisk * served.length ? served.length / losses.length : 0
  })
  return Math.max(0, ...shares)
}

function accuracyOf({ losses }: Scored): number {
  return 1 - losses.reduce((a, b) => a + b, 0) / losses.length
}

function splitTraining({ training, seed }: CompressOptions) {
  const rng = createRng(`compress/${seed}`)
  const { folds } = foldsByGroup(training.groups, SELECTION_FOLDS, rng)
  const pick = (isWanted: (fold: number) => boolean): LabelledRows => {
    const rows = rowsWhere(folds.length, row => isWanted(folds[row] as number))
    return {
      inputs: Array.from(rows, row => training.inputs[row] as string),
      labels: rows.map(row => training.labels[row] as number),
      groups: rows.map(row => training.groups[row] as number),
    }
  }
  return { fit: pick(fold => fold !== 0), selection: pick(fold => fold === 0) }
}

function requireSense({ variants, training, certification }: CompressOptions): void {
  const names = new Set(variants.map(({ name }) => name))
  const groupCount = new Set(training.groups).size
  if (variants.length === 0 || names.size !== variants.length) {
    throw new UnderstudyError(
      'usage-invalid',
      'Variants need to be one or more, of different names',
    )
  }
  if (groupCount < 2 * SELECTION_FOLDS || certification.inputs.length === 0) {
    throw new UnderstudyError(
      'usage-invalid',
      `Compressing needs examples to fit, to select and to certify: there are ${groupCount} different ones to train with and ${certification.inputs.length} to certify with`,
      { help: 'Give a file with more labelled rows.' },
    )
  }
}

function allowedLoss({ maxAccuracyLoss = 0.005 }: CompressOptions): number {
  return maxAccuracyLoss
}

function text({ tokenizer }: CompressibleModel, name: 'tokenizer.json' | 'tokenizer_config.json') {
  const bytes = tokenizer.get(name)
  return bytes && new TextDecoder().decode(bytes)
}

function throwIfCancelled(signal: AbortSignal): void {
  if (signal.aborted) throw new UnderstudyError('cancelled', 'Compressing was cancelled')
}
