/** Training on PyTorch elsewhere: labelled rows as a job folder, and its result as trained parts. Knows no launch and no cluster. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TrainingRuntime } from '../../engine/index.ts'
import { UnderstudyError } from '../../errors.ts'
import { readSafetensors } from '../../formats/index.ts'
import {
  createTokenizer,
  type EncoderConfig,
  type EncoderFiles,
  type EncoderWeights,
  mergeAdapter,
  parseEncoderConfig,
  readEncoderFiles,
  readEncoderWeights,
  transpose,
} from '../../models/index.ts'
import { sha256 } from '../../platform/index.ts'
import { systemClock } from '../../util/index.ts'
import { runLogits } from '../fine-tune/forward.ts'
import type { Recipe } from '../fine-tune/recipe.ts'
import { type EncodedRows, encodeRows } from '../model/encode-rows.ts'
import { cooledHead, modelGraph, type TrainedParts, unscaledHead } from '../model/export-model.ts'
import { splitInner } from '../model/inner-split.ts'
import {
  checkLabelledRows,
  type LabelledRow,
  labelsOf,
  type TrainTask,
  textsHash,
} from '../model/labelled-rows.ts'
import type { RunRecord } from '../model/run-record.ts'
import { candidateRecipes, type SearchMethod } from '../model/search-plan.ts'
import { readingHash, requireSame } from '../model/train-model.ts'
import { measure } from '../model/training-metrics.ts'
import { startPace } from '../pace.ts'
import { writeTorchJob } from './torch-job.ts'
import type { TorchJob, TorchRow } from './torch-job-format.ts'
import {
  checkModelFiles,
  readTorchJobResult,
  readTorchRows,
  requireHash,
  type TorchJobResult,
} from './torch-job-result.ts'

export interface TorchOrder {
  readonly task: TrainTask
  readonly rows: readonly LabelledRow[]
  readonly base: { readonly name: string; readonly folder: string; readonly files: EncoderFiles }
  readonly method: SearchMethod
  /** Repeats the recipe of a run, with the same rows held back; null: the usual recipe of the method. */
  readonly record: RunRecord | null
  readonly fixed: Partial<Recipe>
  readonly seed: number
  readonly output: string
}

const BATCH_TOKENS = 1024

/** @throws request-invalid for what PyTorch's side does not do; usage-invalid, file-unreadable */
export async function writeTorchTraining(
  order: TorchOrder,
): Promise<{ readonly id: string; readonly notices: readonly string[] }> {
  const { task, base, record, output } = order
  const { rows, labels, notices, dataHash } = checkLabelledRows(task, order.rows)
  if (record !== null) {
    const weightsHash = sha256(base.files.weights)
    requireSame(record, { dataHash, weightsHash, readingHash: readingHash(base.files) })
  }
  const config = parseEncoderConfig(base.files)
  const recipe = record?.recipe ?? usualRecipe(order, config, rows.length)
  requirePlain(task, rows, recipe)
  const held = new Set(splitInner(task, rows, record?.seed ?? order.seed).selection)
  const job = await writeTorchJob(output, {
    recipe,
    baseModel: { kind: 'folder', name: base.name, folder: base.folder },
    rows: rows.map((row, i) => ({
      split: held.has(i) ? ('selection' as const) : ('training' as const),
      text: row.text,
      ...(row.pair !== undefined && { pair: row.pair }),
      labels: [...new Set(labelsOf(task, row))].map(label => labels.indexOf(label)),
    })),
    labels,
    kind: task === 'labels' ? 'multi-label' : 'single-label',
    maxTokens: config.maxTokens,
    pooling: plainPooling(config),
  })
  return { id: job.id, notices }
}

function usualRecipe(
  { method, fixed, seed }: TorchOrder,
  config: EncoderConfig,
  rowCount: number,
): Recipe {
  if (method === 'head') throw elsewhere('a head alone takes seconds here', 'Leave out --on torch.')
  if (method === 'contrastive') throw elsewhere('rows are compared here only', 'Use lora or full.')
  const [first] = candidateRecipes(method, {
    config,
    meanTokens: 16,
    rowCount,
    seed,
    fixed,
    batchTokens: BATCH_TOKENS,
  })
  if (first === undefined) throw elsewhere(`there is no recipe of ${method}`, 'Use lora or full.')
  return first.recipe
}

function requirePlain(task: TrainTask, rows: readonly LabelledRow[], recipe: Recipe): void {
  if (task === 'spans') throw elsewhere('spans are trained here only', 'Leave out --on torch.')
  if (rows.some(row => row.probabilities !== undefined) || recipe.temperature !== 1) {
    throw elsewhere('the rows hold probabilities of a teacher', 'Leave out --on torch.')
  }
  if (recipe.stopAfterEpoch !== null && recipe.stopAfterEpoch !== recipe.epochCount) {
    throw elsewhere(
      `the recipe stops after epoch ${recipe.stopAfterEpoch} of ${recipe.epochCount}`,
      'Leave out --recipe: the usual recipe runs to its end.',
    )
  }
  if (recipe.tokenDropout > 0) {
    throw elsewhere(
      'the recipe leaves tokens out',
      'Leave out --recipe: the usual recipe reads all of them.',
    )
  }
  if (recipe.labelNames) {
    throw elsewhere(
      'the recipe reads the names of labels as rows',
      'Leave out --recipe: the usual recipe reads the rows given only.',
    )
  }
}

function plainPooling({ pooling }: EncoderConfig): TorchJob['pooling'] {
  if (pooling !== 'pooler') return pooling
  throw elsewhere(
    'the base ends in a pooler',
    'Use a sentence encoder as --base, or leave out --on torch.',
  )
}

function elsewhere(what: string, help: string): UnderstudyError {
  return new UnderstudyError('request-invalid', `This cannot be handed to PyTorch: ${what}.`, {
    help,
  })
}

export interface TorchTrained {
  readonly parts: TrainedParts
  readonly record: Omit<RunRecord, 'time'>
  readonly notices: readonly string[]
}

/**
 * Reads a job's result, and measures it here on the rows that the job held back.
 * @throws model-corrupt when the result is incomplete, damaged or of another job
 */
export async function readTorchTraining(
  folder: string,
  { runtime, threads, signal }: { runtime: TrainingRuntime; threads: number; signal: AbortSignal },
): Promise<TorchTrained> {
  const result = await readTorchJobResult(folder)
  const { job } = result
  const rows = await readTorchRows(folder, job)
  const task = taskOf(rows, job)
  await checkModelFiles(folder, job)
  const files = await readEncoderFiles(join(folder, 'model'))
  requireHash('model/model.safetensors', files.weights, job.baseModel.weightsHash)
  const config = { ...parseEncoderConfig(files), pooling: job.pooling }
  const weights = await trainedWeights(result, files, config)
  const parts: TrainedParts = {
    task,
    config,
    weights,
    head: headOf(result),
    outputs: job.labels,
    tensors: new Map(),
    recipe: job.recipe,
    adapter: result.adapter,
  }
  const encoded = await encodeSelection(rows, { job, task, files, config })
  const logits = await logitsOf(parts, encoded, { runtime, signal })
  const worst = logits.reduce(
    (most, value, i) => Math.max(most, Math.abs(value - (result.selectionLogits[i] ?? Number.NaN))),
    0,
  )
  const texts = rows.map(({ text }) => text)
  const record = recordOf(result, { task, threads, encoded, logits, texts })
  const compared = `Its logits of the rows held back differ from PyTorch's by ${worst.toExponential(1)} at most.`
  const head = cooledHead(parts.head, record.metrics?.temperature ?? 1)
  return { parts: { ...parts, head }, record, notices: encoded.rows.length === 0 ? [] : [compared] }
}

function taskOf([first]: readonly TorchRow[], { kind }: TorchJob): TrainTask {
  if (kind === 'multi-label') return 'labels'
  return first?.pair === undefined ? 'label' : 'pair'
}

async function trainedWeights(
  { modelFolder, adapter }: TorchJobResult,
  files: EncoderFiles,
  config: EncoderConfig,
): Promise<EncoderWeights> {
  const bytes =
    modelFolder === null ? files.weights : await readFile(join(modelFolder, 'model.safetensors'))
  const weights = readEncoderWeights(readSafetensors(bytes), config)
  return adapter === null ? weights : mergeAdapter(weights, adapter)
}

function headOf({ classifier, hiddenSize, job }: TorchJobResult) {
  const weights = transpose(classifier.weight, job.labels.length, hiddenSize)
  const head = { weights, bias: classifier.bias }
  return unscaledHead(head, { scale: job.recipe.scale, isScaled: true })
}

async function encodeSelection(
  given: readonly TorchRow[],
  {
    job,
    task,
    files,
    config,
  }: { job: TorchJob; task: TrainTask; files: EncoderFiles; config: EncoderConfig },
): Promise<EncodedRows> {
  const held = given.filter(({ split }) => split === 'selection')
  const rows = held.map(({ text, pair, labels }): LabelledRow => {
    const names = labels.map(label => job.labels[label] as string)
    const common = { text, ...(pair !== undefined && { pair }) }
    return task === 'labels'
      ? { ...common, labels: names }
      : { ...common, label: names[0] as string }
  })
  const tokenizer = createTokenizer({
    tokenizer: files.tokenizer,
    config: files.tokenizerConfig,
    maxTokens: Math.min(config.maxTokens, job.maxTokens),
  })
  return encodeRows(rows, { task, labels: job.labels, tokenizer, breathe: async () => {} })
}

async function logitsOf(
  parts: TrainedParts,
  encoded: EncodedRows,
  { runtime, signal }: { runtime: TrainingRuntime; signal: AbortSignal },
): Promise<Float32Array> {
  const session = `torch/${parts.outputs.length}`
  await runtime.load(session, modelGraph(parts))
  try {
    return await runLogits(session, encoded, {
      classCount: parts.outputs.length,
      runtime,
      prefix: null,
      pace: startPace(Number.POSITIVE_INFINITY, signal, systemClock),
    })
  } finally {
    await runtime.unload(session)
  }
}

function recordOf(
  { job, metrics }: TorchJobResult,
  {
    task,
    threads,
    encoded,
    logits,
    texts,
  }: {
    task: TrainTask
    threads: number
    encoded: EncodedRows
    logits: Float32Array
    texts: readonly string[]
  },
): Omit<RunRecord, 'time'> {
  const subset = encoded.rows.map((_, row) => row)
  const { trainingCount, selectionCount, hash } = job.data
  const seconds = metrics.epochs.reduce(
    (sum, one) => sum + trainingCount / Math.max(1e-9, one.examplesPerSecond),
    0,
  )
  return {
    version: 1,
    id: job.id,
    task,
    base: job.baseModel.name,
    weightsHash: job.baseModel.weightsHash,
    dataHash: hash,
    textsHash: textsHash(texts),
    recipe: job.recipe,
    rowsUsed: 'training',
    seed: job.recipe.seed,
    memoryBytes: 0,
    threads,
    labels: job.labels,
    rowCounts: { training: trainingCount, selection: selectionCount },
    metrics: subset.length === 0 ? null : measure(encoded, { logits, subset }),
    epochLosses: metrics.epochs.map(({ loss }) => loss),
    heldBackLosses: metrics.epochs.flatMap(({ selectionLoss }) => selectionLoss ?? []),
    tried: [],
    seconds: Math.round(10 * seconds) / 10,
    versions: metrics.versions,
  }
}
