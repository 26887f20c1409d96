/**
 * What each key used, by day: a file that is only appended to, and read at the next start. A line is with the kernel before
 * the promise of `add` resolves, so a killed process loses none of them; the power failing may lose the last moments.
 */
import { appendFile, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { UnderstudyError } from '../errors.ts'
import { makeFolder, writeFileAtomic } from '../platform/index.ts'
import { dayOf } from './period.ts'
import {
  addTo,
  formatLine,
  formatTotals,
  parseLine,
  parseTotals,
  type Row,
  sumSince,
  type Totals,
  type Usage,
} from './spend-totals.ts'

export interface Spend {
  /** Adds to a key's day. Resolves when it would survive a kill. Never rejects. */
  add(key: string, usage: Usage, nowMs: number): Promise<void>
  /** Sum from a day on (`2026-11-01`; '' for all). */
  since(key: string, day: string): Usage
  /** Waits for what is being written. */
  close(): Promise<void>
}

const TOTALS = 'totals.json'
/** A file of that many lines is folded into the totals. */
const FOLDED_LINES = 50_000

/** Lines that are written together. */
interface Batch {
  readonly lines: string[]
  readonly written: Promise<void>
}

/**
 * Opens the folder, and folds what earlier processes appended into the totals.
 * @throws file-corrupt
 */
export async function openSpend(
  dir: string,
  log: (text: string) => void,
  foldedLines = FOLDED_LINES,
): Promise<Spend> {
  await makeFolder(dir)
  const { generation, totals } = await readTotals(dir)
  for (const [key, day, usage] of await readAppended(dir, generation))
    addTo(totals, key, day, usage)
  let current = generation
  let lineCount = 0
  /** Lines that wait for those before them to be written; null: none. */
  let waiting: Batch | null = null
  /** Everything counted so far goes into the totals; what comes after goes to a file that they do not hold yet. */
  const fold = async (): Promise<void> => {
    const lines = waiting?.lines ?? []
    const heldCount = lines.length
    await writeFileAtomic(join(dir, TOTALS), formatTotals(current + 1, totals))
    current++
    lineCount = 0
    // These wait still, and are in the totals already.
    lines.splice(0, heldCount)
    await removeOlder(dir, current)
  }
  await fold()

  let last: Promise<void> = Promise.resolve()
  let hasFailed = false
  const write = async (lines: readonly string[]): Promise<void> => {
    waiting = null
    lineCount += lines.length
    try {
      if (lines.length > 0) await appendFile(join(dir, `${current}.jsonl`), lines.join(''))
      hasFailed = false
      if (lineCount >= foldedLines) await fold()
    } catch (error) {
      if (!hasFailed)
        log(`What keys used cannot be written, and a restart would forget it: ${error}`)
      hasFailed = true
    }
  }
  return {
    add(key, usage, nowMs) {
      const day = dayOf(nowMs)
      addTo(totals, key, day, usage)
      if (waiting === null) {
        const lines: string[] = []
        last = last.then(() => write(lines))
        waiting = { lines, written: last }
      }
      waiting.lines.push(formatLine(key, day, usage))
      return waiting.written
    },
    since: (key, day) => sumSince([totals], key, day),
    async close() {
      await last
    },
  }
}

/** Keeps nothing: for a gateway in memory. */
export function memorySpend(): Spend {
  const totals: Totals = new Map()
  return {
    add: async (key, usage, nowMs) => addTo(totals, key, dayOf(nowMs), usage),
    since: (key, day) => sumSince([totals], key, day),
    close: async () => {},
  }
}

async function readTotals(dir: string): Promise<{ generation: number; totals: Totals }> {
  const path = join(dir, TOTALS)
  const text = await readFile(path, 'utf8').catch(() => null)
  if (text === null) return { generation: 0, totals: new Map() }
  const read = parseTotals(text)
  if (read !== null) return read
  throw new UnderstudyError('file-corrupt', `${path} cannot be read.`, {
    help: 'Restore it from a backup, or remove it to count from zero.',
  })
}

/** Lines of the generation that the totals do not hold yet. */
async function readAppended(dir: string, generation: number): Promise<readonly Row[]> {
  const text = await readFile(join(dir, `${generation}.jsonl`), 'utf8').catch(() => '')
  return text.split('\n').flatMap(line => {
    const row = parseLine(line)
    return row === null ? [] : [row]
  })
}

async function removeOlder(dir: string, generation: number): Promise<void> {
  for (const name of await readdir(dir)) {
    const number = /^(\d+)\.jsonl$/u.exec(name)?.[1]
    if (number !== undefined && Number(number) < generation) {
      await rm(join(dir, name), { force: true })
    }
  }
}
