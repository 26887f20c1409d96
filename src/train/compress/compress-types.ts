/** What compressing takes and gives. */
import type { TrainingRuntime } from '../../engine/index.ts'
import type { CertificationOutcome } from '../../evals/index.ts'
import type { Linear, ModelFolder, Precision } from '../../models/index.ts'
import type { InferenceRuntime } from '../../runtimes/index.ts'
import type { Clock } from '../../util/index.ts'

/** The model that variants are made of. Without a classifier of its own, each variant gets one fitted to its embeddings. */
export type CompressibleModel = Pick<
  ModelFolder,
  'config' | 'weights' | 'tokenizer' | 'isNormalised' | 'classifier'
>

/** What is done to the model, in this order. */
export interface CompressVariant {
  readonly name: string
  /** Layers that stay, from 0; all when left out. */
  readonly keepLayers?: readonly number[]
  /** Keeps the tokens of the rows that heads are fitted to. */
  readonly trimVocabulary?: boolean
  /** Trains what is left, and its classifier, before weights are quantised. */
  readonly lesson?: Lesson
  readonly precision: Precision
}

/** How a smaller model learns. Without a share of the teacher it is healed: trained on the labels. */
export interface Lesson {
  /** Share of the targets that is the whole model's probabilities; the rest is the label. */
  readonly softShare: number
  /** Logits of both sides are divided by it. */
  readonly temperature: number
}

/** What variants with a lesson are trained with; without it they are left out. */
export interface RetrainTools {
  readonly runtime: TrainingRuntime
  /** For all of them together, milliseconds. */
  readonly budgetMs: number
  /** Folder for what a broken-off run needs to go on; null: it starts again. */
  readonly stateDir: string | null
}

export interface CompressProgress {
  readonly stage: string
  readonly done: number
  readonly total: number
  readonly note?: string
}

/** Rows of one role; every array has one entry per row. */
export interface LabelledRows {
  readonly inputs: readonly string[]
  readonly labels: Int32Array
  /** Rows of one group are near-duplicates; only certification rows must be of different groups, each from a group of its own. */
  readonly groups: Int32Array
}

export interface CompressOptions {
  readonly model: CompressibleModel
  readonly variants: readonly CompressVariant[]
  readonly classCount: number
  /** Without `selection` split inside by group: four fifths train, the rest selects. */
  readonly training: LabelledRows
  /** Rows to select by, others than those of training; a fifth of these without. */
  readonly selection?: LabelledRows | undefined
  /** Looked at once, after everything is chosen; or why there are none. */
  readonly certification: LabelledRows | { readonly because: string }
  readonly targetRisk: number
  readonly delta: number
  /** `every`: each row at delta ÷ rows. `chosen`: only the variant picked on selection rows, at all of delta. */
  readonly certified: 'every' | 'chosen'
  /** Accuracy that the chosen variant may lose against the first one, on selection rows. Default 0.005. */
  readonly maxAccuracyLoss?: number
  readonly seed: number
  readonly runtime: InferenceRuntime
  readonly signal: AbortSignal
  /** Times the variants. Default: the machine's. */
  readonly clock?: Clock
  /** For variants with a lesson. */
  readonly retraining?: RetrainTools
  readonly onProgress?: (progress: CompressProgress) => void
}

/** One line of the table; plain JSON. */
export interface CompressRow {
  readonly name: string
  readonly precision: Precision
  readonly layerCount: number
  readonly vocabularySize: number
  /** Graph, head and tokenizer. */
  readonly byteCount: number
  /** Of one text, tokenising and head included: the median of alternating rounds. */
  readonly latencyMs: number
  /** Share of selection rows that are right: what the choice is made on. */
  readonly selectionAccuracy: number
  /** Coverage that a certificate at the target would have on the selection rows: an estimate. */
  readonly selectionCoverage: number
  /** Share of certification rows that are right; null where nothing was looked at. */
  readonly accuracy: number | null
  /** null where only the chosen variant is certified. */
  readonly certificate: CertificationOutcome | null
}

export interface CompressReport {
  readonly rows: readonly CompressRow[]
  /** Names of variants that there was no time to train. */
  readonly leftOut: readonly string[]
  /** Name of the fastest variant that loses no more accuracy than allowed; the first one where none does. */
  readonly chosen: string
  readonly maxAccuracyLoss: number
  readonly targetRisk: number
  /** δ of each certificate. */
  readonly deltaPerLook: number
  readonly fitCount: number
  readonly selectionCount: number
  readonly certificationCount: number
}

/** A variant with everything that serving it needs. */
export interface CompressedClassifier {
  readonly variant: CompressVariant
  /** With its classifier. */
  readonly model: CompressibleModel & { readonly classifier: Linear }
  /** What was measured, byte for byte, the classifier in it. */
  readonly graph: Uint8Array<ArrayBuffer>
  /** Thresholds at quantiles of this variant's own selection scores. */
  readonly grid: readonly number[]
}

export interface CompressResult {
  readonly report: CompressReport
  readonly chosen: CompressedClassifier
}
