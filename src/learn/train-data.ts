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
import { openSource, readSource, type SourceFile } from './import/source.ts'

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
  const unreadable: Counted<Unreadable> = { count: 0, first: null }
  const unlabelled: Counted<number> = { count: 0, first: null }
  let columns: Columns | null = null
  let unread: string | null = null
  let replaced = 0
  for await (const items of readSource(source)) {
    if (signal?.aborted) throw new UnderstudyError('cancelled', 'Reading was cancelled.')
    for (const item of items) {
      if ('reason' in item) {
        count(unreadable, item)
        continue
      }
      const { value, line } = item
      if (!isObject(value)) {
        count(unreadable, { line, reason: 'not an object with a text and a label' })
        continue
      }
      if (columns === null) {
        columns = requireColumns(path, task, value, names)
        unread = unreadPair(task, value, columns)
      }
      const row = rowOf(value, { columns, task, line, path })
      if (row === null) {
        count(unlabelled, line)
        continue
      }
      if (row.text.includes('\ufffd')) replaced++
      rows.push(row)
      if (rows.length > MAX_ROWS)
        throw wrong(path, `it has more than ${MAX_ROWS} rows`, 'Give a sample of them.')
    }
  }
  checkLabels(path, unlabelled)
  if (rows.length === 0) throw noRows(source, unreadable.first)
  checkEncoding(path, { replaced, rowCount: rows.length })
  const isList = task === 'label' && columns?.get('label')?.toLowerCase() === 'labels'
  const joined = isList ? rows.find(({ label = '' }) => LABEL_SEPARATOR.test(label)) : undefined
  return { rows, notices: noticesOf(path, { unreadable, replaced, unread, joined }) }
}

interface Unreadable {
  readonly line: number
  readonly reason: string
}

/** Millions of lines may be wrong in the same way: one of them is told. */
interface Counted<Item> {
  count: number
  first: Item | null
}

function count<Item>(counted: Counted<Item>, item: Item): void {
  counted.count++
  counted.first ??= item
}

function checkLabels(path: string, { count, first }: Counted<number>): void {
  if (first === null) return
  if (count === 1) throw wrongLine({ path, line: first }, 'its label is empty')
  throw wrong(
    path,
    `line ${first}: its label is empty, and so are those of ${plural(count - 1, 'more row')}`,
    'Correct these rows, or leave them out.',
  )
}

/** Why a file has given no row at all. */
export function noRows({ path, isCsv, byteLength }: SourceFile, first: Unreadable | null) {
  if (first !== null) {
    return wrong(path, told(first), 'Give CSV with a header line, or one JSON object per line.')
  }
  return wrong(
    path,
    isCsv && byteLength > 0 ? 'it has no rows' : 'it is empty',
    'Give a file with a text and a label in every row.',
  )
}

/** Damage of a whole file has no line. */
function told({ line, reason }: Unreadable): string {
  return line === 0 ? reason : `line ${line}: ${reason}`
}

function plural(count: number, one: string): string {
  return `${count} ${one}${count === 1 ? '' : 's'}`
}

function noticesOf(
  path: string,
  {
    unreadable,
    replaced,
    unread,
    joined,
  }: {
    unreadable: Counted<Unreadable>
    replaced: number
    unread: string | null
    /** A row whose one label looks like several. */
    joined: LabelledRow | undefined
  },
): string[] {
  const { count, first } = unreadable
  return [
    ...(first === null
      ? []
      : [
          `${plural(count, 'place')} in ${path} could not be read and ${count === 1 ? 'was' : 'were'} left out: ${count === 1 ? '' : 'the first is '}${told(first)}.`,
        ]),
    ...(replaced > 0
      ? [
          `${plural(replaced, 'text')} ${replaced === 1 ? 'holds' : 'hold'} characters that are not valid UTF-8.`,
        ]
      : []),
    ...(unread === null
      ? []
      : [
          `The column ${JSON.stringify(unread.slice(0, 40))} was not read: where it is a second text, --task-kind pair reads it.`,
        ]),
    ...(joined === undefined
      ? []
      : [
          `${JSON.stringify(joined.label?.slice(0, 40))} was read as one label: where the column holds several, --task-kind labels tells them apart.`,
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
  throw missingColumns(
    path,
    { missing, record, names },
    missing.includes('spans')
      ? 'Give {"text": …, "spans": [{"start": …, "end": …, "label": …}]} per line.'
      : 'Name the columns with --text-column, --pair-column and --label-column.',
  )
}

/** What a file lacks, beside the columns that it has. */
export function missingColumns(
  path: string,
  {
    missing,
    record,
    names = {},
  }: {
    readonly missing: readonly Column[]
    readonly record: Readonly<Record<string, unknown>>
    readonly names?: ColumnNames
  },
  help: string,
): UnderstudyError {
  const shown = Object.keys(record)
    .slice(0, 20)
    .map(name => JSON.stringify(name.slice(0, 40)))
  const called = missing.map(column => {
    const given = names[column as keyof ColumnNames]
    return given === undefined ? column : JSON.stringify(given)
  })
  return wrong(
    path,
    `it has no ${called.join(' and no ')}; its columns are ${shown.join(', ')}`,
    help,
  )
}

interface RowContext {
  readonly columns: Columns
  readonly task: TrainTask
  readonly line: number
  readonly path: string
}

/** Null where its label is empty. */
function rowOf(record: Readonly<Record<string, unknown>>, context: RowContext): LabelledRow | null {
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
  if (label === '') return null
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

function wrongLine(
  { path, line }: Pick<RowContext, 'path' | 'line'>,
  what: string,
): UnderstudyError {
  return wrong(path, `line ${line}: ${what}`, 'Correct the line, or leave it out.')
}

function wrong(path: string, what: string, help: string): UnderstudyError {
  return new UnderstudyError('request-invalid', `${path} cannot be used: ${what}.`, { help })
}
