/** One training job: rows from a file, a base model, a folder with the trained model out. Knows no HTTP and no terminal. */
import { constants } from 'node:fs'
import { access, readFile, stat, statfs } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { isUnderstudyError, UnderstudyError } from '../errors.ts'
import {
  CATALOG,
  type EncoderFiles,
  ensureModel,
  type ModelFolder,
  readEncoderFiles,
  readModelFolder,
  requireFreeFolder,
  TOKENIZER_FILES,
  type TokenizerFile,
  writeModelFolder,
} from '../models/index.ts'
import { makeFolder } from '../platform/index.ts'
import {
  type ExecutionProvider,
  ONNXRUNTIME_VERSION,
  openInProcessRuntime,
} from '../runtimes/index.ts'
import {
  checkClassWeights,
  exportModel,
  type LabelledRow,
  type Recipe,
  type RunRecord,
  readRunRecord,
  readTorchTraining,
  renderModelCard,
  type SearchMethod,
  type TrainedParts,
  type TrainModelOptions,
  type TrainTask,
  teachRows,
  trainModel,
  writeRunRecord,
  writeTorchTraining,
} from '../train/index.ts'
import { systemClock } from '../util/index.ts'
import type { ColumnNames } from './columns.ts'
import type { JobEvent } from './job-messages.ts'
import { trainCard } from './train-card.ts'
import { readTrainData } from './train-data.ts'
import { sweepTrainingFolder, trainingFolder } from './training-folder.ts'

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
  /** Absolute path of a model folder whose probabilities are learned instead of the labels. */
  readonly teacher: string | null
  /** `torch`: writes a job folder for PyTorch, or reads one back where `file` is such a folder. */
  readonly on: 'here' | 'torch'
  /** Fields of the recipe that the search leaves as they are. */
  readonly fixed: Partial<Recipe>
}

export interface TrainContext {
  readonly dataDir: string
  readonly threads: number
  /** What computes; the CPU where nothing is said. */
  readonly provider?: ExecutionProvider
  readonly signal: AbortSignal
  readonly onEvent: (event: JobEvent) => void
}

export interface TrainReport {
  /** `job`: a folder for PyTorch was written, and nothing trained yet; `job-result`: a model that was trained so. */
  readonly kind: 'model' | 'job' | 'job-result'
  /** Of the run, for `--recipe`; of the job where one was written. */
  readonly id: string
  readonly output: string
  /** Paths below the output folder, for people. */
  readonly files: readonly string[]
  /** Null for a job. */
  readonly record: RunRecord | null
  readonly notices: readonly string[]
}

/** Weights, graph, checkpoint and some air, in sizes of the base's weights. */
const DISK_FACTOR = 4

/**
 * Trains and writes the folder.
 * @throws what reading rows, opening models and training throw; usage-invalid when the output folder is taken
 */
export async function trainJob(params: TrainParams, context: TrainContext): Promise<TrainReport> {
  const { output, on, file } = params
  await requireFreeFolder(output)
  if (on === 'torch' && (await isFolder(file))) return readBack(params, context)
  const record = params.recipe === null ? null : await readRunRecord(context.dataDir, params.recipe)
  const task = record?.task ?? params.task
  checkClassWeights(task, record?.recipe ?? params.fixed)
  const { rows: read, notices } = await readTrainData(file, task, params.columns, context.signal)
  const rows = params.teacher === null ? read : await taught(read, task, params.teacher, context)
  if (record === null) checkTemperature(rows, params.fixed)
  const base = await openBase(params.base, context)
  await requireDisk(output, DISK_FACTOR * base.files.weights.byteLength)
  if (on === 'torch') {
    const order = { ...params, task, rows, base, record }
    const job = await explained(writeTorchTraining(order), { base, notices })
    const files = [
      'train.py',
      'launch.sh',
      'job.yaml',
      'recipe.json',
      'data.jsonl',
      'model/',
      'README.md',
    ]
    return {
      kind: 'job',
      id: job.id,
      output,
      files,
      record: null,
      notices: [...notices, ...job.notices],
    }
  }
  const training = train(params, { rows, base, record, task, context })
  const trained = await explained(training, { base, notices })
  // The path of a folder on this machine is nobody else's business.
  const name = params.base.startsWith('/') ? basename(params.base) : params.base
  const run = { ...trained.record, base: name }
  // Before the model: a model is there only where its run can be repeated.
  await writeRunRecord(context.dataDir, run)
  const report = await writeModel(trained.parts, run, {
    output,
    tokenizer: base.tokenizer,
    onEvent: context.onEvent,
  })
  await trained.discardState()
  await sweepTrainingFolder(context.dataDir)
  return { ...report, notices: [...notices, ...trained.notices] }
}

/** Adds to an error what training does not know: where the base lies, and what of the file was left out. */
async function explained<Result>(
  training: Promise<Result>,
  { base, notices }: { readonly base: OpenBase; readonly notices: readonly string[] },
): Promise<Result> {
  try {
    return await training
  } catch (error) {
    if (!isUnderstudyError(error)) throw error
    const { code, message, help, details } = error
    const more = { cause: error, ...(details !== undefined && { details }) }
    if (code === 'request-invalid' && notices.length > 0) {
      const both = [...(help ? [help] : []), ...notices].join(' ')
      throw new UnderstudyError(code, message, { help: both, ...more })
    }
    // A checkpoint that does not fit is no fault of the base.
    if (code !== 'model-corrupt' || /checkpoint/i.test(message)) throw error
    const advice = base.isNamed
      ? help
      : [help, 'The folder must hold a whole BERT encoder; --base names another.'].join(' ')
    throw new UnderstudyError(code, `The base ${base.folder} cannot be used. ${message}`, {
      ...(advice && { help: advice }),
      ...more,
    })
  }
}

/** @throws usage-invalid where there is nothing to soften */
function checkTemperature(rows: readonly LabelledRow[], { temperature }: Partial<Recipe>): void {
  if (temperature === undefined || rows.some(row => row.probabilities !== undefined)) return
  throw new UnderstudyError(
    'usage-invalid',
    'A temperature softens probabilities, and the rows hold none.',
    { help: 'Give a --teacher, or rows with probabilities, or leave out --temperature.' },
  )
}

async function taught(
  rows: readonly LabelledRow[],
  task: TrainTask,
  folder: string,
  { threads, provider = 'cpu', signal, onEvent }: TrainContext,
): Promise<readonly LabelledRow[]> {
  const teacher = await readModelFolder(folder)
  const runtime = await openInProcessRuntime({ threads, provider })
  try {
    return await teachRows(rows, {
      task,
      teacher,
      runtime,
      signal,
      onProgress: done => onEvent({ stage: 'teacher', done, total: rows.length }),
    })
  } finally {
    await runtime.close()
  }
}

async function isFolder(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null))?.isDirectory() ?? false
}

/** The result of a job that ran elsewhere, as a model folder like any other. */
async function readBack(
  { file, output }: TrainParams,
  { threads, provider = 'cpu', signal, onEvent }: TrainContext,
): Promise<TrainReport> {
  const runtime = await openInProcessRuntime({ threads, provider })
  try {
    const { parts, record, notices } = await readTorchTraining(file, { runtime, threads, signal })
    const tokenizer = await readTokenizer(join(file, 'model'))
    const whole = { ...record, time: new Date(systemClock.now()).toISOString() }
    const report = await writeModel(parts, whole, { output, tokenizer, onEvent })
    return { ...report, kind: 'job-result', notices }
  } finally {
    await runtime.close()
  }
}

async function writeModel(
  parts: TrainedParts,
  record: RunRecord,
  {
    output,
    tokenizer,
    onEvent,
  }: Pick<TrainContext, 'onEvent'> & Pick<OpenBase, 'tokenizer'> & { output: string },
): Promise<TrainReport> {
  onEvent({ stage: 'writing', done: 0, total: 0 })
  const card = renderModelCard(trainCard(record))
  const folder = exportModel(parts, { tokenizer, baseModel: record.base, card })
  await writeModelFolder(output, { ...folder, run: `${JSON.stringify(record, null, 2)}\n` })
  const files = [
    'model.safetensors',
    'model.onnx',
    ...(folder.adapter ? ['adapter/'] : []),
    'README.md',
    'recipe.json',
  ]
  return { kind: 'model', id: record.id, output, files, record, notices: [] }
}

async function readTokenizer(folder: string): Promise<ModelFolder['tokenizer']> {
  const tokenizer = new Map<TokenizerFile, Uint8Array>()
  for (const name of TOKENIZER_FILES) {
    const bytes = await readFile(join(folder, name)).catch(() => null)
    if (bytes !== null) tokenizer.set(name, bytes)
  }
  return tokenizer
}

interface OpenBase {
  readonly name: string
  /** Whether it is one of the catalog, and not a folder of the user's own. */
  readonly isNamed: boolean
  readonly folder: string
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
  const { provider = 'cpu' } = context
  const runtime = await openInProcessRuntime({ threads, provider })
  try {
    const trained = await trainModel({
      task,
      rows,
      base,
      plan,
      runtime,
      threads,
      stateDir: trainingFolder(context.dataDir),
      signal: context.signal,
      onProgress: context.onEvent,
      versions: {
        onnxruntime: ONNXRUNTIME_VERSION,
        executionProvider: provider,
        node: process.versions.node,
      },
    })
    return { ...trained, notices: [...trained.notices, ...otherProvider(record, provider)] }
  } finally {
    await runtime.close()
  }
}

/** What runs on other kernels rounds otherwise. */
function otherProvider(record: RunRecord | null, provider: ExecutionProvider): string[] {
  const then = record?.versions.executionProvider ?? 'cpu'
  return record === null || then === provider
    ? []
    : [
        `This run was made with ${then} and is repeated with ${provider}: the weights differ a little.`,
      ]
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
  const tokenizer = await readTokenizer(folder)
  return { name: isNamed ? base : basename(folder), isNamed, folder, files, tokenizer }
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
