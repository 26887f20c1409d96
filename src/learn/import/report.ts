/** What an import says about each file: counts of everything, and the first few of what needs a look. */
import type { LogFormat } from '../../wire/index.ts'

/** As many broken lines and conflicts of a file as are kept; all are counted. */
export const KEPT_PER_FILE = 20

export interface FileReport {
  readonly path: string
  /** Null for a file without a single record. */
  readonly format: LogFormat | null
  /** Lines (or array elements, or rows) that are not blank. */
  readonly lineCount: number
  readonly importedCount: number
  /** Already there with the same content. */
  readonly duplicateCount: number
  /** Requests of a batch; their answers stand in another file. */
  readonly requestCount: number
  readonly conflictCount: number
  /** Ids that came back with other content; not imported. */
  readonly conflicts: readonly { readonly id: string; readonly line: number }[]
  readonly rejectedCount: number
  /** `line` is 0 where damage has no line. */
  readonly rejected: readonly { readonly line: number; readonly reason: string }[]
}

export interface ImportReport {
  readonly files: readonly FileReport[]
}

/** A report in the making. */
export interface Tally {
  line(): void
  imported(count: number): void
  duplicate(): void
  request(): void
  conflict(id: string, line: number): void
  reject(line: number, reason: string): void
  report(): FileReport
}

export function createTally(path: string, format: LogFormat | null): Tally {
  const counts = {
    lineCount: 0,
    importedCount: 0,
    duplicateCount: 0,
    requestCount: 0,
    conflictCount: 0,
    rejectedCount: 0,
  }
  const conflicts: { id: string; line: number }[] = []
  const rejected: { line: number; reason: string }[] = []
  return {
    line: () => void counts.lineCount++,
    imported: count => {
      counts.importedCount += count
    },
    duplicate: () => void counts.duplicateCount++,
    request: () => void counts.requestCount++,
    conflict(id, line) {
      counts.conflictCount++
      if (conflicts.length < KEPT_PER_FILE) conflicts.push({ id, line })
    },
    reject(line, reason) {
      counts.rejectedCount++
      if (rejected.length < KEPT_PER_FILE) rejected.push({ line, reason })
    },
    report: () => ({ path, format, ...counts, conflicts, rejected }),
  }
}
