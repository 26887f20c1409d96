/** Reads labelled rows from CSV, TSV, JSON Lines or JSON, each also gzipped. Knows no model. */
import { UnderstudyError } from '../errors.ts'
import type { LabelledRow, Span, TrainTask } from '../train/index.ts'
import { isObject } from '../wire/index.ts'
import {
  type Column,
  type ColumnNames,
  type Columns,
  checkNames,
  findColumns,
  unreadPair,
} from './columns.ts'
import { openSource, readSource } from './import/source.ts'

export interface ReadRows {
  readonly rows: readonly LabelledRow[]
  /** Sentences for people. */
  readonly notices: readonly string[]
}

/** Between labels in one cell of a CSV file. */
const LABEL_SEPARATOR = /[|;]/
const MAX_ROWS = 5_000_000

/** @throws file-unreadable; usage-invalid for columns that cannot be meant; request-invalid naming the line and what is wrong with it */
export async function readTrainData(
  path: string,
  task: TrainTask,
  names: ColumnNames,
  signal?: AbortSignal,
): Promise<ReadRows> {
  checkNames(task, names)
  const source = await openSource(path)
  const rows: LabelledRow[] = []
  const unreadable: { line: number; reason: string }[] = []
  let columns: Columns | null = null
  let unread: string | null = null
  let replaced = 0
  for await (const items of readSource(source)) {
    if (signal?.aborted) throw new UnderstudyError('cancelled', 'Reading was cancelled.')
    for (const item of items) {
      if ('reason' in item) {
        unreadable.push(item)
        continue
      }
      const { value, line } = item
      if (!isObject(value)) {
        unreadable.push({ line, reason: 'not an object with a text and a label' })
        continue
      }
      if (columns === null) {
        columns = requireColumns(path, task, value, names)
        unread = unreadPair(task, value, columns)
      }
      const row = rowOf(value, { columns, task, line, path })
      if (row.text.includes('\ufffd')) replaced++
      rows.push(row)
      if (rows.length > MAX_ROWS)
        throw wrong(path, `it has more than ${MAX_ROWS} rows`, 'Give a sample of them.')
    }
  }
  return { rows, notices: noticesOf(path, { rows, unreadable, replaced, unread }) }
}

function noticesOf(
  path: string,
  {
    rows,
    unreadable,
    replaced,
    unread,
  }: {
    rows: readonly LabelledRow[]
    unreadable: readonly { line: number; reason: string }[]
    replaced: number
    unread: string | null
  },
): string[] {
  const [first] = unreadable
  if (rows.length === 0) {
    throw first === undefined
      ? wrong(path, 'it is empty', 'Give a file with a text and a label in every row.')
      : wrong(
          path,
          `line ${first.line}: ${first.reason}`,
          'Give CSV with a header line, or one JSON object per line.',
        )
  }
  checkEncoding(path, { replaced, rowCount: rows.length })
  return [
    ...(first
      ? [
          `${unreadable.length} lines of ${path} could not be read and were left out; the first is line ${first.line}: ${first.reason}.`,
        ]
      : []),
    ...(replaced > 0 ? [`${replaced} texts hold characters that are not valid UTF-8.`] : []),
    ...(unread === null
      ? []
      : [
          `The column ${JSON.stringify(unread.slice(0, 40))} was not read: where it is a second text, --task-kind pair reads it.`,
        ]),
  ]
}

/** @throws request-invalid for more than a few stray characters: another encoding, and models would learn its rubble */
export function checkEncoding(
  path: string,
  { replaced, rowCount }: { readonly replaced: number; readonly rowCount: number },
): void {
  if (replaced <= 0.01 * rowCount) return
  throw wrong(
    path,
    `${replaced} of ${rowCount} texts are not valid UTF-8`,
    'Convert it first, e.g. iconv -f LATIN1 -t UTF-8.',
  )
}

function requireColumns(
  path: string,
  task: TrainTask,
  record: Readonly<Record<string, unknown>>,
  names: ColumnNames,
): Columns {
  const { columns, missing } = findColumns(task, record, names)
  if (missing.length === 0) return columns
  const shown = Object.keys(record)
    .slice(0, 20)
    .map(name => JSON.stringify(name.slice(0, 40)))
  throw wrong(
    path,
    `it has no ${missing.map(name => (names[name as 'text'] === undefined ? name : JSON.stringify(names[name as 'text']))).join(' and no ')}; its columns are ${shown.join(', ')}`,
    missing.includes('spans')
      ? 'Give {"text": …, "spans": [{"start": …, "end": …, "label": …}]} per line.'
      : 'Name the columns with --text-column, --pair-column and --label-column.',
  )
}

interface RowContext {
  readonly columns: Columns
  readonly task: TrainTask
  readonly line: number
  readonly path: string
}

function rowOf(record: Readonly<Record<string, unknown>>, context: RowContext): LabelledRow {
  const { columns, task } = context
  const cell = (column: Column): unknown => {
    const key = columns.get(column)
    return key === undefined ? undefined : record[key]
  }
  const text = textOf(cell('text'), 'text', context)
  const pair = task === 'pair' ? { pair: textOf(cell('pair'), 'pair', context) } : {}
  if (task === 'spans') return { text, spans: spansOf(cell('spans'), text, context) }
  const probabilities = probabilitiesOf(cell('probabilities'), context)
  // Beside a teacher's probabilities, labels are there to measure by, and may be missing.
  const isTaught = probabilities !== undefined
  const taught = isTaught ? { probabilities } : {}
  const given = cell(task === 'labels' ? 'labels' : 'label')
  if (isTaught && (given === undefined || given === null || given === '')) {
    return { text, ...pair, ...taught }
  }
  if (task === 'labels') return { text, labels: labelsOf(given, context), ...taught }
  const label = textOf(given, 'label', context).trim()
  if (label === '') throw wrongLine(context, 'its label is empty')
  return { text, ...pair, label, ...taught }
}

function textOf(value: unknown, what: string, context: RowContext): string {
  if (typeof value === 'string') return value
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  throw wrongLine(
    context,
    `its ${what} is ${value === undefined || value === null ? 'missing' : 'not a text'}`,
  )
}

function labelsOf(value: unknown, context: RowContext): string[] {
  const list =
    typeof value === 'string'
      ? value.trim().split(LABEL_SEPARATOR)
      : Array.isArray(value)
        ? (value as unknown[])
        : null
  if (list === null) throw wrongLine(context, 'its labels are neither a list nor a text')
  return list.map(one => textOf(one, 'label', context).trim()).filter(one => one !== '')
}

function spansOf(value: unknown, text: string, context: RowContext): Span[] {
  const list: unknown = typeof value === 'string' ? tryParse(value) : value
  if (!Array.isArray(list)) throw wrongLine(context, 'its spans are not a list')
  return list.map((one: unknown) => {
    const { start, end, label } = isObject(one) ? one : {}
    const isSound =
      Number.isInteger(start) &&
      Number.isInteger(end) &&
      (start as number) >= 0 &&
      (start as number) < (end as number) &&
      (end as number) <= text.length
    if (!isSound) {
      throw wrongLine(
        context,
        `a span from ${String(start)} to ${String(end)} is not within its text of ${text.length} characters`,
      )
    }
    return {
      start: start as number,
      end: end as number,
      label: textOf(label, 'label of a span', context),
    }
  })
}

function tryParse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

function probabilitiesOf(value: unknown, context: RowContext): Record<string, number> | undefined {
  if (value === undefined || value === null || value === '') return undefined
  const map: unknown = typeof value === 'string' ? tryParse(value) : value
  const entries = isObject(map) ? Object.entries(map) : []
  const isSound =
    entries.length > 0 &&
    entries.every(([, p]) => typeof p === 'number' && p >= 0 && p <= 1) &&
    entries.some(([, p]) => (p as number) > 0)
  if (!isSound) {
    throw wrongLine(
      context,
      'its probabilities are not an object of labels with numbers from 0 to 1',
    )
  }
  return Object.fromEntries(entries) as Record<string, number>
}

function wrongLine({ path, line }: RowContext, what: string): UnderstudyError {
  return wrong(path, `line ${line}: ${what}`, 'Correct the line, or leave it out.')
}

function wrong(path: string, what: string, help: string): UnderstudyError {
  return new UnderstudyError('request-invalid', `${path} cannot be trained on: ${what}.`, { help })
}
