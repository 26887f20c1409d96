/** Which lines of a CSV file could not be read, and why: a quote that nothing closes takes all lines behind it with it. */
import type { CsvError } from 'csv-parse'

export interface LostLine {
  readonly line: number
  readonly reason: string
}

export interface LostLines {
  /** All bytes, before they are parsed. The parser's own count is off: it takes `\r\n` within quotes for two lines. */
  count(bytes: Uint8Array): void
  header(names: readonly string[]): void
  /** A row that was read, and where it ends. @returns its last line */
  good(record: Readonly<Record<string, string>>, endByte: number): number
  /** A row may be damaged in several places. */
  damaged(error: CsvError): void
  end(): void
  /** Those found since the last call, each with its reason. */
  take(): LostLine[]
}

export function createLostLines(): LostLines {
  const lines = createLineCounter()
  const found: LostLine[] = []
  let columnCount = 0
  let nextLine = 1
  let damage: CsvError | null = null
  const close = (lastLine: number): void => {
    if (damage === null) return
    const reason = reasonOf(damage, { first: nextLine, last: lastLine, columnCount })
    // A row always takes a line: a broken last one may lie where the next one begins.
    for (let line = nextLine; line <= Math.max(nextLine, lastLine); line++) {
      found.push({ line, reason })
    }
    damage = null
  }
  return {
    count: lines.count,
    header(names) {
      columnCount = names.length
      nextLine = 2 + breaksIn(names)
    },
    good(record, endByte) {
      const lastLine = lines.lineOf(endByte - 1)
      if (damage !== null) close(lastLine - breaksIn(Object.values(record)) - 1)
      nextLine = lastLine + 1
      return lastLine
    },
    damaged(error) {
      damage ??= error
      // Only this kind tells where the row ends; behind a broken quote nobody knows before the next good row.
      if (error.code !== 'CSV_RECORD_INCONSISTENT_COLUMNS') return
      const lastLine = lines.lineOf(Number(error.bytes) - 1)
      close(lastLine)
      nextLine = lastLine + 1
    },
    end: () => close(lines.lastLine()),
    take: () => found.splice(0),
  }
}

function breaksIn(cells: readonly string[]): number {
  return cells.reduce((sum, cell) => sum + cell.split('\n').length - 1, 0)
}

function reasonOf(
  error: CsvError,
  { first, last, columnCount }: { first: number; last: number; columnCount: number },
): string {
  return `not readable as CSV: ${whatIsWrong()}`

  function whatIsWrong(): string {
    switch (String(error.code)) {
      case 'CSV_QUOTE_NOT_CLOSED':
      case 'CSV_INVALID_CLOSING_QUOTE':
        return `a quote that opens near line ${first} is not closed as it should be${last > first ? `, which loses lines ${first} to ${last}` : ''}`
      case 'INVALID_OPENING_QUOTE':
        return 'a quote stands in the middle of a cell; put the whole cell in quotes, and write each quote within it twice'
      case 'CSV_RECORD_INCONSISTENT_COLUMNS':
        return `the row has ${(error.record as readonly string[]).length} cells and the header ${columnCount}`
      case 'CSV_MAX_RECORD_SIZE':
        return 'a row is longer than can be read'
      default:
        return error.message
    }
  }
}

/** The line of a byte. Asked from front to back it keeps only the bytes that are not asked for yet. */
function createLineCounter() {
  const ahead: Uint8Array[] = []
  let line = 1
  let at = 0
  let total = 0
  const lineOf = (byte: number): number => {
    for (let chunk = ahead[0]; chunk !== undefined && at < byte; chunk = ahead[0]) {
      const part = chunk.subarray(0, byte - at)
      for (let i = part.indexOf(NEWLINE); i >= 0; i = part.indexOf(NEWLINE, i + 1)) line++
      at += part.length
      if (part.length === chunk.length) ahead.shift()
      else ahead[0] = chunk.subarray(part.length)
    }
    return line
  }
  return {
    count(bytes: Uint8Array) {
      ahead.push(bytes)
      total += bytes.length
    },
    lineOf,
    lastLine: () => lineOf(total - 1),
  }
}

const NEWLINE = 0x0a
