/** Compresses a classifier of labelled rows: reads them, splits them, keeps the chosen variant. Knows no HTTP. */
import { isAbsolute } from 'node:path'
import {
  compressedGraph,
  ensureModel,
  readModelFolder,
  writeCompressedFolder,
  writeModelFolder,
} from '../models/index.ts'
import type { InferenceRuntime } from '../runtimes/index.ts'
import { splitInputs } from '../tasks/index.ts'
import {
  type CompressedClassifier,
  type CompressReport,
  compressClassifier,
  defaultVariants,
  type LabelledRows,
} from '../train/index.ts'
import { labelledRow } from '../wire/index.ts'
import { DEFAULT_ENCODER } from './encoder-parts.ts'
import { openSource, readSource, unreadable } from './import/source.ts'
import type { JobEvent } from './job-messages.ts'

/** What `compress` jobs are asked to do; plain JSON. */
export interface CompressParams {
  /** Absolute path of rows of text and label: CSV, JSON Lines, JSON, also gzipped. */
  readonly file: string
  /** Absolute path of a model's folder, or a name of the catalog; null: the encoder that `learn` uses. */
  readonly model: string | null
  /** Absolute path of the folder to write the chosen variant to; null: nothing is kept. */
  readonly out: string | null
  readonly targetRisk: number
  readonly confidenceLevel: number
  readonly certified: 'every' | 'chosen'
  readonly maxAccuracyLoss: number
  readonly seed: number
}

export interface CompressTools {
  readonly openRuntime: () => Promise<InferenceRuntime>
  readonly signal: AbortSignal
  readonly onEvent: (event: JobEvent) => void
}

export interface CompressOutcome {
  readonly report: CompressReport
  /** Where the chosen variant was written. */
  readonly folder: string | null
  readonly rowCount: number
  /** Records of the file without a text and a label. */
  readonly brokenCount: number
}

/** @throws file-unreadable, usage-invalid, model-unavailable, model-corrupt, runtime-missing, cancelled */
export async function compressFile(
  params: CompressParams,
  { openRuntime, signal, onEvent }: CompressTools,
): Promise<CompressOutcome> {
  const { rows, brokenCount } = await readRows(params.file)
  const folder = await modelFolder(params.model, { signal, onEvent })
  const model = await readModelFolder(folder)
  const labels = [...new Set(rows.map(row => row.label))].sort()
  const runtime = await openRuntime()
  try {
    const { report, chosen } = await compressClassifier({
      model,
      variants: defaultVariants(model.config),
      classCount: labels.length,
      ...splitRows(rows, labels, params.seed),
      targetRisk: params.targetRisk,
      delta: 1 - params.confidenceLevel,
      certified: params.certified,
      maxAccuracyLoss: params.maxAccuracyLoss,
      seed: params.seed,
      runtime,
      signal,
      onProgress: (stage, done, total) => onEvent({ stage: 'variants', done, total, note: stage }),
    })
    if (params.out !== null) await keep(params.out, chosen, { labels, report })
    return { report, folder: params.out, rowCount: rows.length, brokenCount }
  } finally {
    await runtime.close()
  }
}

interface Row {
  readonly text: string
  readonly label: string
}

async function readRows(path: string): Promise<{ rows: Row[]; brokenCount: number }> {
  const rows: Row[] = []
  let brokenCount = 0
  for await (const items of readSource(await openSource(path))) {
    for (const item of items) {
      const row = 'reason' in item ? null : labelledRow(item.value)
      if (row === null) brokenCount++
      else rows.push(row)
    }
  }
  if (rows.length > 0) return { rows, brokenCount }
  throw unreadable(path, new Error('no record in it has a text and a label'))
}

async function modelFolder(
  model: string | null,
  { signal, onEvent }: Pick<CompressTools, 'signal' | 'onEvent'>,
): Promise<string> {
  if (model !== null && isAbsolute(model)) return model
  const { dir } = await ensureModel(model ?? DEFAULT_ENCODER, {
    signal,
    onProgress: ({ model: note, doneBytes: done, totalBytes: total }) =>
      onEvent({ stage: 'download', done, total, note, unit: 'bytes' }),
  })
  return dir
}

/** Training rows as they are; of each certification group one row, so that looks are at distinct inputs. */
function splitRows(
  rows: readonly Row[],
  labels: readonly string[],
  seed: number,
): { readonly training: LabelledRows; readonly certification: LabelledRows } {
  const { ofInput } = splitInputs({ inputs: rows.map(row => row.text), salt: `${seed}` })
  const classes = new Map(labels.map((label, i) => [label, i]))
  const groups = new Map<string, number>()
  const training: number[] = []
  const certification: number[] = []
  for (const [i, { group, side }] of ofInput.entries()) {
    const isNew = !groups.has(group)
    if (isNew) groups.set(group, groups.size)
    if (side === 'training') training.push(i)
    else if (isNew) certification.push(i)
  }
  const pick = (list: readonly number[]): LabelledRows => ({
    inputs: list.map(i => (rows[i] as Row).text),
    labels: Int32Array.from(list, i => classes.get((rows[i] as Row).label) as number),
    groups: Int32Array.from(list, i => groups.get(ofInput[i]?.group as string) as number),
  })
  return { training: pick(training), certification: pick(certification) }
}

/** The chosen variant as a folder: quantised as a graph, float32 in the layout of sentence-transformers. */
async function keep(
  folder: string,
  { model, head, variant, grid }: CompressedClassifier,
  { labels, report }: { readonly labels: readonly string[]; readonly report: CompressReport },
): Promise<void> {
  const { precision } = variant
  const classifier = { weight: head.weights, bias: head.bias }
  if (precision === 'float32') {
    const more = { labels, problem: 'single-label', isNormalised: true, classifier } as const
    return writeModelFolder(folder, { ...model, ...more })
  }
  const graph = compressedGraph(model, { precision, classifier })
  const { heal, ...steps } = variant
  const record = { variant: { ...steps, isHealed: heal !== undefined }, grid, report }
  await writeCompressedFolder(folder, { ...model, precision, graph, labels, record })
}
