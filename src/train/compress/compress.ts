/**
 * Makes smaller variants of an encoder classifier and measures each: size, time, accuracy, certified coverage. Every variant has
 * its own scores and thresholds. Knows no files and no catalog.
 */
import { UnderstudyError } from '../../errors.ts'
import { type CertificationInput, certify, serves } from '../../evals/index.ts'
import { createRng, quantile, systemClock } from '../../util/index.ts'
import { foldsByGroup, rowsWhere } from '../closed-set/folds.ts'
import { type Built, buildVariant, type Scored, score } from './build-variant.ts'
import type {
  CompressOptions,
  CompressReport,
  CompressResult,
  CompressRow,
  LabelledRows,
} from './compress-types.ts'
import { openRetrainer } from './retrainer.ts'

const SELECTION_FOLDS = 5
const LATENCY_ROUNDS = 25
const LATENCY_BLOCK = 5

/**
 * Builds, measures and certifies. The first variant is what others are compared with. Certification rows are read after the
 * choice; a report that certifies every row shares delta among them.
 * @throws usage-invalid without variants or with too few rows; cancelled; what heals and quantises throws
 */
export async function compressClassifier(options: CompressOptions): Promise<CompressResult> {
  const { variants, signal, onProgress } = options
  requireSense(options)
  const split = splitTraining(options)
  const context = { ...options, ...split }
  const retrain = openRetrainer(options, context)
  const built: Built[] = []
  const leftOut: string[] = []
  try {
    for (const [i, variant] of variants.entries()) {
      throwIfCancelled(signal)
      onProgress?.({ stage: 'variants', done: i, total: variants.length, note: variant.name })
      const one = await buildVariant(variant, options.model, { ...context, retrain })
      if (one === null) leftOut.push(variant.name)
      else built.push(one)
    }
    if (built.length === 0) throw noVariants()
    const latencies = await measureLatencies(built, split.selection.inputs, options)
    const chosenAt = choose(built, latencies, options)
    const { handle: _handle, selection: _selection, ...chosen } = built[chosenAt] as Built
    const counts = { fit: split.fit.inputs.length, selection: split.selection.inputs.length }
    return {
      chosen,
      report: await lookAndReport(built, { latencies, chosenAt, counts, leftOut, options }),
    }
  } finally {
    await Promise.all(built.map(({ handle }) => handle.close()))
  }
}

/** The only reading of certification rows, after the choice. */
async function lookAndReport(
  built: readonly Built[],
  {
    latencies,
    chosenAt,
    counts,
    leftOut,
    options,
  }: {
    readonly latencies: readonly number[]
    readonly leftOut: readonly string[]
    readonly chosenAt: number
    readonly counts: { readonly fit: number; readonly selection: number }
    readonly options: CompressOptions
  },
): Promise<CompressReport> {
  const { certified, certification, targetRisk } = options
  const looked = certified === 'every' ? built : [built[chosenAt] as Built]
  const deltaPerLook = options.delta / looked.length
  const rows: CompressRow[] = []
  for (const [i, one] of built.entries()) {
    const promise = { targetRisk, delta: deltaPerLook, promise: 'selective' } as const
    const look = looked.includes(one) ? await lookAt(one, promise, options) : NOT_LOOKED_AT
    rows.push({ ...rowOf(one, latencies[i] as number, targetRisk), ...look })
  }
  return {
    rows,
    leftOut,
    chosen: (built[chosenAt] as Built).variant.name,
    maxAccuracyLoss: allowedLoss(options),
    targetRisk,
    deltaPerLook,
    fitCount: counts.fit,
    selectionCount: counts.selection,
    certificationCount: 'because' in certification ? 0 : certification.inputs.length,
  }
}

type Look = Pick<CompressRow, 'accuracy' | 'certificate'>

const NOT_LOOKED_AT: Look = { accuracy: null, certificate: null }

async function lookAt(
  { handle, grid }: Built,
  promise: Pick<CertificationInput, 'targetRisk' | 'delta' | 'promise'>,
  { training, selection, certification, classCount, signal }: CompressOptions,
): Promise<Look> {
  if ('because' in certification) {
    const { because } = certification
    const none = { claimed: false, n: 0, because, code: 'no-examples', moreRequests: null } as const
    return { accuracy: null, certificate: { ...promise, ...none } }
  }
  const look = await score(handle, certification, { classCount, signal })
  // Of the rows that a user gives only some certify: to have one more takes as many more.
  const given = certification.inputs.length + (selection ?? training).inputs.length
  const requestsPerExample = given / certification.inputs.length
  return {
    accuracy: accuracyOf(look),
    certificate: certify({ ...look, ...promise, grid }, { requestsPerExample }),
  }
}

/** Milliseconds of one text, variants taking turns so that a disturbance meets all of them. */
async function measureLatencies(
  built: readonly Built[],
  inputs: readonly string[],
  { signal, clock = systemClock }: CompressOptions,
): Promise<number[]> {
  const times = built.map(() => [] as number[])
  for (let round = 0; round < LATENCY_ROUNDS; round++) {
    for (const [i, { handle }] of built.entries()) {
      throwIfCancelled(signal)
      for (let call = 0; call < LATENCY_BLOCK; call++) {
        const input = inputs[(round * LATENCY_BLOCK + call) % inputs.length] as string
        const startMs = clock.monotonic()
        await handle.logits([input])
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
  { variant, model, graph, grid, selection }: Built,
  latencyMs: number,
  targetRisk: number,
): Omit<CompressRow, keyof Look> {
  return {
    name: variant.name,
    precision: variant.precision,
    layerCount: model.config.layerCount,
    vocabularySize: model.config.vocabularySize,
    byteCount: graph.byteLength + (model.tokenizer.get('tokenizer.json')?.byteLength ?? 0),
    latencyMs,
    selectionAccuracy: accuracyOf(selection),
    selectionCoverage: coverageWithin(selection, grid, targetRisk),
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

function splitTraining({ training, selection, seed }: CompressOptions) {
  if (selection !== undefined) return { fit: training, selection }
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

function requireSense(options: CompressOptions): void {
  const { variants, training, certification, selection } = options
  const certificationCount = 'because' in certification ? null : certification.inputs.length
  const names = new Set(variants.map(({ name }) => name))
  const groupCount = new Set(training.groups).size
  if (variants.length === 0 || names.size !== variants.length) {
    throw noVariants()
  }
  if (
    groupCount < 2 * SELECTION_FOLDS ||
    certificationCount === 0 ||
    selection?.inputs.length === 0
  ) {
    throw new UnderstudyError(
      'usage-invalid',
      `Compressing needs examples to fit, to select and to certify: there are ${groupCount} different ones to train with and ${certificationCount ?? 0} to certify with`,
      { help: 'Give a file with more labelled rows.' },
    )
  }
}

function noVariants(): UnderstudyError {
  return new UnderstudyError(
    'usage-invalid',
    'Variants need to be one or more, of different names, one of them without training',
  )
}

function allowedLoss({ maxAccuracyLoss = 0.005 }: CompressOptions): number {
  return maxAccuracyLoss
}

function throwIfCancelled(signal: AbortSignal): void {
  if (signal.aborted) throw new UnderstudyError('cancelled', 'Compressing was cancelled')
}
