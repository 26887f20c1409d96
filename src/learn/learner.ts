/** What a kind of output brings so that its tasks can be learned. */
import type { Specialist } from '../models/index.ts'
import type { OutputKind } from '../tasks/index.ts'
import type { Rng } from '../util/index.ts'

/** One training example. `output` null: the lead's answer lies outside the schema; such examples teach nothing but count. */
export interface TrainingExample<Output> {
  readonly id: string
  readonly input: string
  /** Input group; near-duplicates share one, and no fold may part it. */
  readonly group: string
  readonly output: Output | null
}

export interface FitContext {
  readonly rng: Rng
  readonly signal: AbortSignal
  /** Wall-clock budget for everything this call does. */
  readonly budgetMs: number
  /** What the specialist is to be certified at. */
  readonly targetRisk: number
  readonly onProgress: (stage: string, doneCount: number, totalCount: number) => void
}

/** A fitted candidate. Scores and losses are out of fold, in the order of the training examples. */
export interface Candidate<Output> {
  readonly name: string
  readonly specialist: Specialist<Output>
  /** JSON that, with the blobs, rebuilds the specialist; its hash is `specialist.hash`. */
  readonly manifest: unknown
  readonly blobs: ReadonlyMap<string, Uint8Array>
  readonly outOfFoldScores: Float64Array
  readonly outOfFoldLosses: Float64Array
}

/** A kind of output together with the way to fit it. */
export interface Learner<Output, Schema> {
  readonly kind: OutputKind<Output, Schema>
  /** Fits one or more candidates on training examples alone. The caller picks one by estimated coverage. */
  fit(
    schema: Schema,
    examples: readonly TrainingExample<Output>[],
    context: FitContext,
  ): Promise<Candidate<Output>[]>
}
