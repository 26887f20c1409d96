/** Holds back some rows of the training data for choosing among recipes. Knows no model. */
import { createRng, normaliseText } from '../../util/index.ts'
import type { LabelledRow, TrainTask } from './labelled-rows.ts'

export interface InnerSplit {
  /** Numbers of the rows to fit on, ascending. */
  readonly training: readonly number[]
  /** Numbers of the rows held back, ascending; empty where there are too few rows to hold any back. */
  readonly selection: readonly number[]
}

const SHARE = 0.15
/** More rows make the choice no better, and every epoch longer. */
const MAX_ROWS = 2000

/**
 * Rows of one normalised text never part. Each label gives its share, and one that is seen once stays in training, where a row has
 * one label. Depends on texts, labels and seed; on the order of rows only where one text has several labels.
 */
export function splitInner(
  task: TrainTask,
  rows: readonly LabelledRow[],
  seed: number,
): InnerSplit {
  const groups = groupRows(rows)
  const share = Math.min(SHARE, MAX_ROWS / rows.length)
  const held = new Set<number>()
  const byLabel = strata(task, rows, groups)
  for (const [stratum, keys] of byLabel) {
    const rng = createRng(`inner-split/${seed}/${stratum}`)
    for (const key of rng.shuffle(keys.sort()).slice(0, Math.floor(share * keys.length + 0.5))) {
      if (keys.length > 1) for (const row of groups.get(key) ?? []) held.add(row)
    }
  }
  if (held.size === 0 && share < SHARE) {
    // Thousands of labels whose share is less than half a group each: every so-many-th gives one.
    let due = 0
    for (const [stratum, keys] of byLabel) {
      due += share * keys.length
      if (due < 1 || keys.length < 2) continue
      due--
      const key = createRng(`inner-split/${seed}/${stratum}`).pick(keys.sort())
      for (const row of groups.get(key) ?? []) held.add(row)
    }
  }
  const numbers = rows.map((_, row) => row)
  return {
    training: numbers.filter(row => !held.has(row)),
    selection: numbers.filter(row => held.has(row)),
  }
}

/** Rows by their texts: equal where those are equal once normalised. */
export function groupRows(rows: readonly LabelledRow[]): Map<string, number[]> {
  const groups = new Map<string, number[]>()
  for (const [row, { text, pair }] of rows.entries()) {
    const key = `${normaliseText(text)}\u0000${normaliseText(pair ?? '')}`
    const known = groups.get(key)
    if (known === undefined) groups.set(key, [row])
    else known.push(row)
  }
  return groups
}

/** Groups by the label of their first row where a row has one; all together where it has several. */
function strata(
  task: TrainTask,
  rows: readonly LabelledRow[],
  groups: ReadonlyMap<string, readonly number[]>,
): Map<string, string[]> {
  const byLabel = new Map<string, string[]>()
  for (const [key, [first]] of groups) {
    const label =
      task === 'label' || task === 'pair' ? likeliest(rows[first as number] as LabelledRow) : ''
    const keys = byLabel.get(label)
    if (keys === undefined) byLabel.set(label, [key])
    else keys.push(key)
  }
  return byLabel
}

/** The label, or what a teacher finds likeliest. */
export function likeliest({ label, probabilities }: LabelledRow): string {
  if (label !== undefined) return label
  return Object.entries(probabilities ?? {}).reduce(
    (best, one) => (one[1] > best[1] ? one : best),
    ['', -1],
  )[0]
}
