/** Reads CSV with a header line as records. Knows the column names only as text. */
import { Readable } from 'node:stream'
import { type CsvError, parse } from 'csv-parse'
import { UnderstudyError } from '../../errors.ts'
import type { SourceItem } from './source.ts'

const ROWS_AT_ONCE = 500
const DELIMITERS = [',', ';', '\t']

type Broken = Extract<SourceItem, { readonly reason: string }>

interface CsvRow {
  readonly record: Readonly<Record<string, string>>
  readonly info: { readonly lines: number }
}

/**
 * Rows as objects by column name; a row that cannot be read comes as its reason.
 * @throws file-unreadable where two columns have one name: which of them is meant, nobody can tell
 */
export async function* readCsv(
  bytes: AsyncIterable<Uint8Array>,
  { path, maxBytes }: { readonly path: string; readonly maxBytes: number },
): AsyncGenerator<readonly SourceItem[]> {
  const chunks = bytes[Symbol.asyncIterator]()
  const first = await chunks.next()
  if (first.done === true) return
  const skipped: Broken[] = []
  // The last line of the last row that was read: what cannot be read begins behind it.
  let lastGood = 1
  const skip = (error: CsvError): void => {
    const line = typeof error.lines === 'number' ? error.lines : 0
    // A row may be damaged in several places.
    if (line > 0 && skipped.at(-1)?.line === line) return
    skipped.push({ line, reason: `not readable as CSV: ${whatIsWrong(error, lastGood)}` })
  }
  const parser = csvParser({
    delimiter: isTabbed(path) ? '\t' : delimiterOf(first.value),
    maxBytes,
    columns: header => columnNames(header, path),
    onRow: line => {
      lastGood = line
    },
    onError: skip,
  })
  const source = Readable.from(prepend(first.value, chunks), { objectMode: false })
  source.on('error', error => parser.destroy(error))
  source.pipe(parser)
  let rows: SourceItem[] = []
  try {
    for await (const { record, info } of parser as AsyncIterable<CsvRow>) {
      const text = JSON.stringify(record)
      rows.push({ line: info.lines, text, value: record, offset: 0, byteLength: text.length })
      if (rows.length < ROWS_AT_ONCE) continue
      yield [...rows, ...skipped.splice(0)]
      rows = []
    }
  } catch (error) {
    // A quote that never closes, or a record beyond all bounds: what came before is still good.
    if (!isCsvError(error)) throw error
    skip(error)
  } finally {
    source.destroy()
  }
  yield [...rows, ...skipped]
}

/** Files that are CSV by their name. */
export function isCsvName(path: string): boolean {
  return /\.(csv|tsv)(\.gz)?$/i.test(path)
}

function isTabbed(path: string): boolean {
  return /\.tsv(\.gz)?$/i.test(path)
}

function columnNames(header: readonly string[], path: string): string[] {
  const names = header.map(name => name.trim())
  // Spreadsheets leave columns without a name at the end, which nobody asks for.
  const twice = names.find((name, i) => name !== '' && names.indexOf(name) !== i)
  if (twice === undefined) return names
  throw new UnderstudyError(
    'file-unreadable',
    `${path} cannot be read: two of its columns are named ${JSON.stringify(twice.slice(0, 60))}.`,
    { help: 'Rename or remove one of them.' },
  )
}

interface CsvParserOptions {
  readonly delimiter: string
  readonly maxBytes: number
  readonly columns: (header: readonly string[]) => string[]
  readonly onRow: (line: number) => void
  readonly onError: (error: CsvError) => void
}

function csvParser({ delimiter, maxBytes, columns, onRow, onError }: CsvParserOptions) {
  return parse({
    bom: true,
    columns,
    delimiter,
    info: true,
    // Both, since files that went through several hands mix them.
    record_delimiter: ['\r\n', '\n'],
    max_record_size: maxBytes,
    skip_empty_lines: true,
    skip_records_with_error: true,
    on_record: (row: CsvRow) => {
      onRow(row.info.lines)
      return row
    },
    on_skip: error => {
      if (error !== undefined) onError(error)
      return undefined
    },
  })
}

/** The candidate that the header line has most of: spreadsheets write `;` or tabs where the comma is decimal. */
function delimiterOf(head: Uint8Array): string {
  const header = Buffer.from(head).toString('utf8').split(/\r?\n/, 1)[0] ?? ''
  const counts = DELIMITERS.map(delimiter => header.split(delimiter).length)
  return DELIMITERS[counts.indexOf(Math.max(...counts))] as string
}

async function* prepend(
  first: Uint8Array,
  rest: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  yield first
  for (let next = await rest.next(); next.done !== true; next = await rest.next()) yield next.value
}

function isCsvError(error: unknown): error is CsvError {
  return error instanceof Error && String((error as { code?: unknown }).code).startsWith('CSV_')
}

/** In the words of somebody who looks at the file; a quote is found out only where the next one stands. */
function whatIsWrong(error: CsvError, lastGood: number): string {
  switch (String(error.code)) {
    case 'CSV_QUOTE_NOT_CLOSED':
    case 'CSV_INVALID_CLOSING_QUOTE':
      return `a quote that opens behind line ${lastGood} is not closed as it should be, and what stands from there on is lost`
    case 'INVALID_OPENING_QUOTE':
      return 'a quote stands in the middle of a cell; put the whole cell in quotes, and write each quote within it twice'
    case 'CSV_RECORD_INCONSISTENT_COLUMNS':
      return 'the row has another number of cells than the header'
    case 'CSV_MAX_RECORD_SIZE':
      return `the row behind line ${lastGood} is longer than can be read`
    default:
      return error.message
  }
}
