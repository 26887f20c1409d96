/** Compresses a classifier of labelled rows: reads them, splits them, keeps the chosen variant. Knows no HTTP. */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { requireFreeFolder, writeCompressedFolder, writeModelFolder } from '../models/index.ts'
import { sha256 } from '../platform/index.ts'
import { canTrain, type InferenceRuntime } from '../runtimes/index.ts'
import {
  type CompressedClassifier,
  type CompressReport,
  compressClassifier,
  defaultVariants,
} from '../train/index.ts'
import { canonicalJson } from '../util/index.ts'
import { readRows, splitRoles } from './compress-rows.ts'
import { labelsFor, openCompressSource } from './compress-source.ts'
import type { JobEvent } from './job-messages.ts'
import { sweepTrainingFolder, trainingFolder } from './training-folder.ts'

/** What `compress` jobs are asked to do; plain JSON. */
export interface CompressParams {
  /** Absolute path of rows of text and label: CSV, JSON Lines, JSON, also gzipped. */
  readonly file: string
  /** Absolute path of rows that neither the model nor its variants learn from: they select and certify; null: part of `file`. */
  readonly heldOut: string | null
  /** Absolute path of a model's folder, or a name of the catalog; null: the encoder that `learn` uses. */
  readonly model: string | null
  /** Absolute path of the folder to write the chosen variant to; null: nothing is kept. */
  readonly out: string | null
  readonly targetRisk: number
  readonly confidenceLevel: number
  readonly certified: 'every' | 'chosen'
  readonly maxAccuracyLoss: number
  /** For training smaller variants, all together; 0: none is trained. */
  readonly budgetMs: number
  readonly seed: number
}

export interface CompressTools {
  /** A run that broke off leaves there what it needs to go on. */
  readonly dataDir: string
  readonly openRuntime: () => Promise<InferenceRuntime>
  readonly signal: AbortSignal
  readonly onEvent: (event: JobEvent) => void
}

export interface CompressOutcome {
  readonly report: CompressReport
  /** Where the chosen variant was written. */
  readonly folder: string | null
  readonly rowCount: number
  /** Records of the files without a text and a label. */
  readonly brokenCount: number
  /** Sentences for people: what the figures rest on. */
  readonly notices: readonly string[]
}

/** @throws file-unreadable, usage-invalid, model-unavailable, model-corrupt, runtime-missing, cancelled */
export async function compressFile(
  params: CompressParams,
  { dataDir, openRuntime, signal, onEvent }: CompressTools,
): Promise<CompressOutcome> {
  const { file, heldOut, out, seed, certified, maxAccuracyLoss } = params
  if (out !== null) await requireFreeFolder(out)
  const { rows, brokenCount } = await readRows(file)
  const held = heldOut === null ? null : await readRows(heldOut)
  const source = await openCompressSource(params.model, { signal, onEvent })
  const { model } = source
  const labels = labelsFor(
    source,
    [...rows, ...(held?.rows ?? [])].map(row => row.label),
  )
  const { training, selection, certification } = splitRoles(rows, held?.rows ?? null, {
    labels,
    seed,
  })
  const hasSeen = source.hasSeen((held?.rows ?? rows).map(({ text }) => text))
  // Rows given as held out are taken for that unless the run says otherwise.
  const wasSeen = hasSeen ?? held === null
  const stateDir = join(trainingFolder(dataDir), `compress-${runKey(params)}`)
  const runtime = await openRuntime()
  try {
    const { report, chosen } = await compressClassifier({
      model,
      variants: defaultVariants(model),
      classCount: labels.length,
      training,
      ...(selection && { selection }),
      certification: wasSeen ? { because: SEEN } : certification,
      targetRisk: params.targetRisk,
      delta: 1 - params.confidenceLevel,
      certified,
      maxAccuracyLoss,
      seed,
      runtime,
      ...(canTrain(runtime) && {
        retraining: { runtime, budgetMs: params.budgetMs, stateDir },
      }),
      signal,
      onProgress: onEvent,
    })
    const isTrained = source.labels !== null || chosen.variant.lesson !== undefined
    if (out !== null) await keep(out, chosen, { labels, report, isTrained })
    await rm(stateDir, { recursive: true, force: true })
    await sweepTrainingFolder(dataDir)
    const notices = noticesOf(report, { wasSeen, hasOwnClassifier: source.labels !== null })
    const rowCount = rows.length + (held?.rows.length ?? 0)
    return {
      report,
      folder: out,
      rowCount,
      brokenCount: brokenCount + (held?.brokenCount ?? 0),
      notices,
    }
  } finally {
    await runtime.close()
  }
}

/** The same command goes on where it broke off. */
function runKey(params: CompressParams): string {
  return sha256(canonicalJson({ ...params })).slice(0, 16)
}

const SEEN = 'The model was trained on these very rows, so none is left that could prove anything.'

function noticesOf(
  { leftOut }: CompressReport,
  { wasSeen, hasOwnClassifier }: { readonly wasSeen: boolean; readonly hasOwnClassifier: boolean },
): string[] {
  const notices: string[] = []
  if (leftOut.length > 0) {
    const names = leftOut.join('; ')
    notices.push(
      `These could not be trained in time, or diverged: ${names}. Give more with --budget.`,
    )
  }
  if (wasSeen) {
    notices.push(
      `${SEEN} Accuracies on selection rows are too good for the same reason. Give rows that it has not seen with --held-out.`,
    )
  } else if (hasOwnClassifier) {
    notices.push(
      'What is certified holds only if the model was not trained on the rows that certify it.',
    )
  }
  return notices
}

/** The chosen variant as a folder: quantised as a graph, float32 in the layout of sentence-transformers. */
async function keep(
  folder: string,
  { model, graph, variant, grid }: CompressedClassifier,
  {
    labels,
    report,
    isTrained,
  }: {
    readonly labels: readonly string[]
    readonly report: CompressReport
    readonly isTrained: boolean
  },
): Promise<void> {
  const { precision } = variant
  if (precision === 'float32') {
    const more = { labels, problem: 'single-label', onnx: graph } as const
    return writeModelFolder(folder, { ...model, ...more })
  }
  const record = { variant, grid, report }
  await writeCompressedFolder(folder, {
    ...model,
    precision,
    graph,
    labels,
    isTrained,
    record,
  })
}
