/** What every part of a classifier is fitted with: data, folds, pace. Knows no part. */
import type { Opinion } from '../../models/index.ts'
import type { Rng } from '../../util/index.ts'
import type { Pace } from '../pace.ts'
import { rowsWhere } from './folds.ts'

/** Training rows; every array has one entry per row. */
export interface ClassifierData {
  readonly inputs: readonly string[]
  /** Class of each input; −1: the right answer is no class, so the row teaches nothing and is never right. */
  readonly labels: Int32Array
  /** Rows of one group are near-duplicates of one another and never straddle folds. */
  readonly groups: Int32Array
  /** ≥ 1 */
  readonly classCount: number
}

export interface Folds {
  /** Fold of each row. */
  readonly folds: Int32Array
  readonly foldCount: number
}

export interface CrossFitContext {
  readonly split: Folds
  readonly pace: Pace
  readonly rng: Rng
  readonly signal: AbortSignal
  readonly budgetMs: number
  readonly onProgress: (stage: string, doneCount: number, totalCount: number) => void
}

/** A part fitted to all rows, and opinions on each row of a twin that saw neither the row nor its group. */
export interface CrossFit<Model> {
  readonly model: Model
  /** [row][opinion]; a part may hold several opinions. */
  readonly opinions: readonly (readonly Opinion[])[]
}

/** Rows outside a fold. One group alone cannot be cross-fitted: its only fold is fitted to nothing. */
export function otherRows({ folds, foldCount }: Folds, fold: number): Int32Array {
  return foldCount === 1 ? new Int32Array(0) : rowsWhere(folds.length, row => folds[row] !== fold)
}

/** Rows in a fold. */
export function rowsOfFold({ folds }: Folds, fold: number): Int32Array {
  return rowsWhere(folds.length, row => folds[row] === fold)
}

/** 0 … length − 1 */
export function allRows(length: number): Int32Array {
  return rowsWhere(length, () => true)
}
