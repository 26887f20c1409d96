/** Labelled rows as people bring them, checked: what the labels are, which rows are fit to learn from. Knows no tokens. */
import { UnderstudyError } from '../../errors.ts'
import { sha256Joined } from '../../platform/index.ts'
import { canonicalJson, normaliseText } from '../../util/index.ts'
import { groupRows } from './inner-split.ts'

/** One label of a text, any number of labels, one label of a pair of texts, or marked spans. */
export type TrainTask = 'label' | 'labels' | 'pair' | 'spans'

export interface Span {
  /** First UTF-16 code unit of the text. */
  readonly start: number
  /** After the last. */
  readonly end: number
  readonly label: string
}

/** A row: `label` or `probabilities`, with `labels` for several, with `spans` for marked text. */
export interface LabelledRow {
  readonly text: string
  /** The second text of a pair. */
  readonly pair?: string
  readonly label?: string
  readonly labels?: readonly string[]
  readonly spans?: readonly Span[]
  /** What a teacher thinks, by label; takes the place of a hard label. */
  readonly probabilities?: Readonly<Record<string, number>>
}

export interface CheckedRows {
  readonly rows: readonly LabelledRow[]
  /** In order of appearance in the alphabet, so that the order of rows changes nothing. */
  readonly labels: readonly string[]
  /** Sentences for people: what was left out, and what may go wrong. */
  readonly notices: readonly string[]
  /** SHA-256 of task and rows. */
  readonly dataHash: string
}

const MAX_LABELS = 10_000

/** @throws request-invalid when there is nothing to learn from */
export function checkLabelledRows(task: TrainTask, given: readonly LabelledRow[]): CheckedRows {
  const rows = given.filter(row => !isEmpty(row, task))
  const notices: string[] = []
  if (rows.length < given.length) {
    notices.push(
      `${given.length - rows.length} of ${given.length} rows have an empty text and were left out.`,
    )
  }
  if (rows.length === 0) {
    throw unfit(
      given.length === 0 ? 'there are no rows' : `all ${given.length} rows have an empty text`,
      'Give a file with a text and a label in every row.',
    )
  }
  const counts = countLabels(task, rows)
  const labels = [...counts.keys()].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0))
  requireLabels(task, labels)
  const once = labels.filter(label => counts.get(label) === 1)
  if (once.length > 0) {
    const shown = once.slice(0, 5).map(label => JSON.stringify(label.slice(0, 60)))
    notices.push(
      `${once.length} ${once.length === 1 ? 'label is' : 'labels are'} seen only once (${shown.join(', ')}${once.length > 5 ? ', …' : ''}): nothing can be said of how well ${once.length === 1 ? 'it is' : 'they are'} learned.`,
    )
  }
  const torn = contradictions(task, rows)
  if (torn > 0) {
    notices.push(
      `${torn} ${torn === 1 ? 'text stands' : 'texts stand'} there with different labels: no model can get all of those rows right.`,
    )
  }
  const overlapping = task === 'spans' ? rows.filter(overlaps).length : 0
  if (overlapping > 0) {
    notices.push(
      `${overlapping} of ${rows.length} rows have spans that overlap: of those, the one that begins first is learned, or the longer of two that begin together.`,
    )
  }
  return { rows, labels, notices, dataHash: dataHash(task, rows) }
}

/** Of the canonical JSON of both. */
function dataHash(task: TrainTask, rows: readonly LabelledRow[]): string {
  return sha256Joined(
    (function* () {
      yield '{"rows":'
      yield* listJson(rows)
      yield `,"task":${canonicalJson(task)}}`
    })(),
  )
}

/** The canonical JSON of a list, item by item. */
function* listJson(items: readonly unknown[]): Generator<string> {
  yield '['
  for (const [i, item] of items.entries()) yield `${i > 0 ? ',' : ''}${canonicalJson(item)}`
  yield ']'
}

function overlaps({ spans = [] }: LabelledRow): boolean {
  const ordered = [...spans].sort((a, b) => a.start - b.start)
  return ordered.some((span, i) => i > 0 && span.start < (ordered[i - 1] as Span).end)
}

/**
 * SHA-256 of the texts alone, whatever their order, labels and copies: tells whether rows are those that a model learned from, also
 * where a teacher's answers took the place of labels.
 */
export function textsHash(texts: readonly string[]): string {
  return sha256Joined(listJson([...new Set(texts.map(normaliseText))].sort()))
}

function isEmpty({ text, pair }: LabelledRow, task: TrainTask): boolean {
  return text.trim() === '' || (task === 'pair' && (pair ?? '').trim() === '')
}

function countLabels(task: TrainTask, rows: readonly LabelledRow[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const row of rows) {
    for (const label of new Set(labelsOf(task, row))) {
      counts.set(label, (counts.get(label) ?? 0) + 1)
    }
  }
  return counts
}

/** Texts, or pairs of them, that have more than one label where each has one. */
function contradictions(task: TrainTask, rows: readonly LabelledRow[]): number {
  if (task !== 'label' && task !== 'pair') return 0
  const labelsOfGroup = (group: readonly number[]) =>
    new Set(group.flatMap(row => rows[row]?.label ?? []))
  return [...groupRows(rows).values()].filter(group => labelsOfGroup(group).size > 1).length
}

/** Every label that a row names. */
export function labelsOf(task: TrainTask, row: LabelledRow): readonly string[] {
  if (task === 'spans') return (row.spans ?? []).map(span => span.label)
  const likely = Object.keys(row.probabilities ?? {})
  if (task === 'labels') return [...(row.labels ?? []), ...likely]
  return [...(row.label === undefined ? [] : [row.label]), ...likely]
}

function requireLabels(task: TrainTask, labels: readonly string[]): void {
  const fewest = task === 'label' || task === 'pair' ? 2 : 1
  if (labels.length < fewest) {
    const only =
      labels.length === 0 ? 'no label' : `only the label ${JSON.stringify(labels[0]?.slice(0, 60))}`
    throw unfit(
      `the rows have ${only}`,
      `Give examples of at least ${fewest === 1 ? 'one label' : 'two labels'}, or name the column of labels.`,
    )
  }
  if (labels.length > MAX_LABELS) {
    throw unfit(
      `the rows have ${labels.length} different labels, at most ${MAX_LABELS} are supported`,
      'Check that the column of labels is not one of free text or ids.',
    )
  }
}

function unfit(what: string, help: string): UnderstudyError {
  return new UnderstudyError('request-invalid', `Nothing can be learned: ${what}.`, { help })
}
