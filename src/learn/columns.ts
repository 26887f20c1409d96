/** Finds what a row says among its columns: one table of their usual names, for all that read files of rows. */
import { UnderstudyError } from '../errors.ts'
import type { TrainTask } from '../train/index.ts'

/** Names of columns, where they are not the usual ones. */
export interface ColumnNames {
  readonly text?: string | undefined
  readonly pair?: string | undefined
  readonly label?: string | undefined
}

export type Column = 'text' | 'pair' | 'label' | 'labels' | 'spans' | 'probabilities'

/** Usual names, the likeliest first; upper and lower case are the same. */
const USUAL: Readonly<Record<Column, readonly string[]>> = {
  text: [
    'text',
    'input',
    'sentence',
    'utterance',
    'query',
    'question',
    'sentence1',
    'text1',
    'text_a',
    'premise',
    'question1',
    'content',
    'message',
  ],
  pair: [
    'pair',
    'text2',
    'text_b',
    'sentence2',
    'hypothesis',
    'question2',
    'second',
    'context',
    'answer',
  ],
  label: ['label', 'category', 'intent', 'class', 'target', 'labels', 'output', 'answer'],
  labels: ['labels', 'label', 'tags', 'intents', 'categories'],
  spans: ['spans', 'entities', 'slots'],
  probabilities: ['probabilities', 'soft_labels'],
}

const WANTED: Readonly<Record<TrainTask, readonly Column[]>> = {
  label: ['text', 'label'],
  labels: ['text', 'labels'],
  pair: ['text', 'pair', 'label'],
  spans: ['text', 'spans'],
}

/** The name of each column that is there. */
export type Columns = ReadonlyMap<Column, string>

type FileRecord = Readonly<Record<string, unknown>>

/** @throws usage-invalid where names were given that cannot be meant */
export function checkNames(task: TrainTask, names: ColumnNames): void {
  if (names.pair !== undefined && task !== 'pair') {
    throw new UnderstudyError('usage-invalid', 'Only the task kind pair reads a second text.', {
      help: 'Add --task-kind pair, or leave out --pair-column.',
    })
  }
  const given = (['text', 'pair', 'label'] as const).filter(column => names[column] !== undefined)
  const same = given.filter(column => given.some(o => o !== column && names[o] === names[column]))
  if (same.length === 0) return
  const options = same.map(column => `--${column}-column`).join(' and ')
  throw new UnderstudyError('usage-invalid', `${options} name the same column.`, {
    help: 'Name another column for each of them.',
  })
}

/** The columns that a task reads, and those of them that the record lacks. */
export function findColumns(
  task: TrainTask,
  record: FileRecord,
  names: ColumnNames = {},
): { readonly columns: Columns; readonly missing: readonly Column[] } {
  const found = new Map<Column, string>()
  for (const column of [...WANTED[task], 'probabilities' as const]) {
    const key = keyOf(record, wantedNames(column, names), new Set(found.values()))
    if (key !== undefined) found.set(column, key)
  }
  const isTaught = found.has('probabilities') && task !== 'spans'
  const missing = WANTED[task].filter(
    column => !found.has(column) && !(isTaught && (column === 'label' || column === 'labels')),
  )
  // Later records may say what the first does not: a label here, a teacher's probabilities there.
  const { label = 'label', label: labels = 'labels' } = names
  const later = Object.entries({ label, labels, probabilities: 'probabilities' })
  return { columns: new Map([...later, ...found]) as Columns, missing }
}

/** A column that looks like a second text where the task reads one text; null where there is none. */
export function unreadPair(task: TrainTask, record: FileRecord, columns: Columns): string | null {
  if (task !== 'label') return null
  const key = keyOf(record, USUAL.pair, new Set(columns.values()))
  return key !== undefined && typeof record[key] === 'string' ? key : null
}

function wantedNames(column: Column, names: ColumnNames): readonly string[] {
  const own =
    column === 'labels' || column === 'label'
      ? names.label
      : column === 'text' || column === 'pair'
        ? names[column]
        : undefined
  return own === undefined ? USUAL[column] : [own]
}

/** Upper and lower case as written come first. */
function keyOf(
  record: FileRecord,
  wanted: readonly string[],
  taken: ReadonlySet<string>,
): string | undefined {
  const present = Object.keys(record)
  for (const name of wanted) {
    const key =
      present.find(one => one === name) ??
      present.find(one => one.toLowerCase() === name.toLowerCase())
    if (key !== undefined && !taken.has(key)) return key
  }
  return undefined
}
