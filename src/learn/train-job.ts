/** One training job: rows from a file, a base model, a folder with the trained model out. Knows no HTTP and no terminal. */
import { constants } from 'node:fs'
import { access, readFile, stat, statfs } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { UnderstudyError } from '../errors.ts'
import {
  CATALOG,
  type EncoderFiles,
  ensureModel,
  type ModelFolder,
  readEncoderFiles,
  requireFreeFolder,
  TOKENIZER_FILES,
  type TokenizerFile,
  writeModelFolder,
} from '../models/index.ts'
import { makeFolder } from '../platform/index.ts'
import { ONNXRUNTIME_VERSION, openInProcessRuntime } from '../runtimes/index.ts'
import {
  exportModel,
  type LabelledRow,
  type ModelCardRecord,
  type Recipe,
  type RunRecord,
  readRunRecord,
  renderModelCard,
  type SearchMethod,
  type TrainModelOptions,
  type TrainTask,
  trainModel,
  writeRunRecord,
} from '../train/index.ts'
import type { JobEvent } from './job-messages.ts'
import { type ColumnNames, readTrainData } from './train-data.ts'

/** What a training job is asked to do; plain JSON. */
export interface TrainParams {
  /** Absolute path of the rows. */
  readonly file: string
  readonly task: TrainTask
  readonly columns: ColumnNames
  /** Name of the catalog, or absolute path of a folder. */
  readonly base: string
  /** Absolute path of a new folder. */
  readonly output: string
  readonly method: SearchMethod
  /** Repeats this run. */
  readonly recipe: string | null
  readonly budgetMs: number
  readonly memoryBytes: number
  readonly seed: number
  /** Fields of the recipe that the search leaves as they are. */
  readonly fixed: Partial<Recipe>
}

export interface TrainContext {
  readonly dataDir: string
  readonly threads: number
  readonly signal: AbortSignal
  readonly onEvent: (event: JobEvent) => void
}

export interface TrainReport {
  /** Of the run, for `--recipe`. */
  readonly id: string
  readonly output: string
  /** Paths below the output folder, for people. */
  readonly files: readonly string[]
  readonly record: RunRecord
  readonly notices: readonly string[]
}

/** Weights, graph, checkpoint and some air, in sizes of the base's weights. */
const DISK_FACTOR = 4

/**
 * Trains and writes the folder.
 * @throws what reading rows, opening models and training throw; usage-invalid when the output folder is taken
 */
export async function trainJob(params: TrainParams, context: TrainContext): Promise<TrainReport> {
  const { task, output, signal } = { ...params, ...context }
  const record = params.recipe === null ? null : await readRunRecord(context.dataDir, params.recipe)
  const taskOfRun = record?.task ?? task
  await requireFreeFolder(output)
  const { rows, notices } = await readTrainData(params.file, taskOfRun, params.columns, signal)
  const base = await openBase(params.base, context)
  await requireDisk(output, DISK_FACTOR * base.files.weights.byteLength)
  const trained = await train(params, { rows, base, record, task: taskOfRun, context })
  const written = {
    ...trained.record,
    base: params.base.startsWith('/') ? 'a folder' : params.base,
  }
  const folder = exportModel(trained.parts, {
    tokenizer: base.tokenizer,
    baseModel: written.base,
    card: renderModelCard(cardOf(written)),
  })
  context.onEvent({ stage: 'writing', done: 0, total: 0 })
  await writeModelFolder(output, { ...folder, run: `${JSON.stringify(written, null, 2)}\n` })
  await writeRunRecord(context.dataDir, written)
  return {
    id: written.id,
    output,
    files: [
      'model.safetensors',
      'model.onnx',
      ...(folder.adapter ? ['adapter/'] : []),
      'README.md',
      'recipe.json',
    ],
    record: written,
    notices: [...notices, ...trained.notices],
  }
}

interface OpenBase {
  readonly name: string
  readonly files: EncoderFiles
  readonly tokenizer: ModelFolder['tokenizer']
}

async function train(
  { method, budgetMs, fixed, seed, memoryBytes }: TrainParams,
  {
    rows,
    base,
    record,
    task,
    context,
  }: {
    rows: readonly LabelledRow[]
    base: OpenBase
    record: RunRecord | null
    task: TrainTask
    context: TrainContext
  },
) {
  const threads = record?.threads ?? context.threads
  const plan: TrainModelOptions['plan'] =
    record === null
      ? { kind: 'search', method, budgetMs, fixed, seed, memoryBytes }
      : { kind: 'repeat', record }
  const runtime = await openInProcessRuntime({ threads })
  try {
    return await trainModel({
      task,
      rows,
      base,
      plan,
      runtime,
      threads,
      stateDir: join(context.dataDir, 'training'),
      signal: context.signal,
      onProgress: context.onEvent,
      versions: { 'onnxruntime-node': ONNXRUNTIME_VERSION, node: process.versions.node },
    })
  } finally {
    await runtime.close()
  }
}

/** @throws not-found for a name that is neither in the catalog nor a path; model-unavailable; model-corrupt */
async function openBase(base: string, { signal, onEvent }: TrainContext): Promise<OpenBase> {
  const isNamed = CATALOG.some(({ name, kind }) => name === base && kind === 'encoder')
  if (!isNamed && !base.startsWith('/')) {
    const names = CATALOG.filter(({ kind }) => kind === 'encoder').map(({ name }) => name)
    throw new UnderstudyError('not-found', `There is no encoder ${JSON.stringify(base)}.`, {
      help: `Use ${names.join(', ')}, or the path of a folder with a BERT encoder.`,
    })
  }
  const folder = isNamed
    ? (
        await ensureModel(base, {
          signal,
          onProgress: ({ model, doneBytes, totalBytes }) =>
            onEvent({
              stage: 'download',
              done: doneBytes,
              total: totalBytes,
              note: model,
              unit: 'bytes',
            }),
        })
      ).dir
    : base
  const files = await readEncoderFiles(folder)
  const tokenizer = new Map<TokenizerFile, Uint8Array>()
  for (const name of TOKENIZER_FILES) {
    const bytes = await readFile(join(folder, name)).catch(() => null)
    if (bytes !== null) tokenizer.set(name, bytes)
  }
  return { name: isNamed ? base : folder, files, tokenizer }
}

/** Before an hour of training, not after it. @throws file-unreadable */
async function requireDisk(output: string, bytes: number): Promise<void> {
  const parent = dirname(output)
  try {
    await makeFolder(parent)
    if (!(await stat(parent)).isDirectory()) throw new Error('it is not a folder')
    await access(parent, constants.W_OK)
    const { bavail, bsize } = await statfs(parent)
    if (bavail * bsize >= bytes) return
  } catch (cause) {
    throw new UnderstudyError('file-unreadable', `${parent} cannot be written.`, {
      help: 'Name an output folder in a place that you may write to.',
      cause,
    })
  }
  throw new UnderstudyError(
    'file-unreadable',
    `${parent} has not enough free space: about ${Math.ceil(bytes / 1e6)} MB are needed.`,
    { help: 'Make room, or name an output folder on another disk.' },
  )
}

const CARD_TASKS = {
  label: 'single-label',
  labels: 'multi-label',
  pair: 'pair-classification',
  spans: 'span-tagging',
} as const

function cardOf(record: RunRecord): ModelCardRecord {
  const { task, base, labels, recipe, rowCounts, metrics, versions, id, rowsUsed } = record
  const measuredOn =
    rowsUsed === 'all'
      ? 'inner split, by the same recipe without these rows'
      : 'inner split, which training did not see'
  return {
    name: `${task} model ${id}`,
    baseModel: base,
    task: CARD_TASKS[task],
    labels,
    dataWindow: null,
    rowCounts,
    recipe,
    metrics: Object.entries(metrics?.scores ?? {}).map(([name, value]) => ({
      name,
      value: Number(value.toFixed(4)),
      measuredOn,
    })),
    certificate: null,
    noCertificate: 'it was trained from a file: certificates are for tasks in recorded traffic.',
    notTested: [
      'Texts from elsewhere than the file it was trained on.',
      'Fairness, safety and robustness against inputs made to mislead it.',
      'The recipe was chosen on the inner split, so its figures are a little too good.',
    ],
    licence: null,
    versions,
  }
}
