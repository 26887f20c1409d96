/** Reads CSV with a header line as records. Knows the column names only as text. */
import { Readable } from 'node:stream'
import { type CsvError, parse } from 'csv-parse'
import { UnderstudyError } from '../../errors.ts'
import { createLostLines, type LostLines } from './lost-lines.ts'
import type { SourceItem } from './source.ts'

const ROWS_AT_ONCE = 500
const DELIMITERS = [',', ';', '\t']

interface CsvRow {
  readonly record: Readonly<Record<string, string>>
  readonly line: number
}

/**
 * Rows as objects by column name; each line of a row that cannot be read comes as the reason.
 * @throws file-unreadable where two columns have one name: which of them is meant, nobody can tell
 */
export async function* readCsv(
  bytes: AsyncIterable<Uint8Array>,
  { path, maxBytes }: { readonly path: string; readonly maxBytes: number },
): AsyncGenerator<readonly SourceItem[]> {
  const chunks = bytes[Symbol.asyncIterator]()
  const first = await chunks.next()
  if (first.done === true) return
  const lost = createLostLines()
  const parser = csvParser({
    delimiter: isTabbed(path) ? '\t' : delimiterOf(first.value),
    maxBytes,
    columns: header => columnNames(header, path),
    lost,
  })
  const source = Readable.from(counted(first.value, { rest: chunks, lost }), { objectMode: false })
  source.on('error', error => parser.destroy(error))
  source.pipe(parser)
  let rows: SourceItem[] = []
  try {
    for await (const { record, line } of parser as AsyncIterable<CsvRow>) {
      const text = JSON.stringify(record)
      rows.push({ line, text, value: record, offset: 0, byteLength: text.length })
      if (rows.length < ROWS_AT_ONCE) continue
      yield [...rows, ...lost.take()]
      rows = []
    }
  } catch (error) {
    // A quote that never closes, or a record beyond all bounds: what came before is still good.
    if (!isCsvError(error)) throw error
    lost.damaged(error)
  } finally {
    source.destroy()
  }
  lost.end()
  yield [...rows, ...lost.take()]
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
  readonly lost: LostLines
}

function csvParser({ delimiter, maxBytes, columns, lost }: CsvParserOptions) {
  return parse({
    bom: true,
    columns: (header: readonly string[]) => {
      lost.header(header)
      return columns(header)
    },
    delimiter,
    // Both, since files that went through several hands mix them.
    record_delimiter: ['\r\n', '\n'],
    max_record_size: maxBytes,
    skip_empty_lines: true,
    skip_records_with_error: true,
    on_record: (record: CsvRow['record'], { bytes }): CsvRow => ({
      record,
      line: lost.good(record, bytes),
    }),
    on_skip: error => {
      if (error !== undefined) lost.damaged(error)
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

async function* counted(
  first: Uint8Array,
  { rest, lost }: { readonly rest: AsyncIterator<Uint8Array>; readonly lost: LostLines },
): AsyncGenerator<Uint8Array> {
  lost.count(first)
  yield first
  for (let next = await rest.next(); next.done !== true; next = await rest.next()) {
    lost.count(next.value)
    yield next.value
  }
}

function isCsvError(error: unknown): error is CsvError {
  return error instanceof Error && String((error as { code?: unknown }).code).startsWith('CSV_')
}
