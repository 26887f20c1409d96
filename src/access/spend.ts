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

/**
 * Opens the folder, and folds what earlier processes appended into the totals.
 * @throws file-corrupt
 */
export async function openSpend(dir: string, log: (text: string) => void): Promise<Spend> {
  await makeFolder(dir)
  const { generation, totals } = await readTotals(dir)
  for (const [key, day, usage] of await readAppended(dir, generation))
    addTo(totals, key, day, usage)
  let current = generation
  let lineCount = 0
  /** Everything counted so far goes into the totals; what comes after goes to a file that they do not hold yet. */
  const fold = async (): Promise<void> => {
    await writeFileAtomic(join(dir, TOTALS), formatTotals(current + 1, totals))
    current++
    lineCount = 0
    await removeOlder(dir, current)
  }
  await fold()

  let lines: string[] = []
  let writing: Promise<void> | null = null
  let hasFailed = false
  const write = async (): Promise<void> => {
    // One tick's lines go out together.
    await Promise.resolve()
    while (lines.length > 0) {
      const text = lines.join('')
      lineCount += lines.length
      lines = []
      try {
        await appendFile(join(dir, `${current}.jsonl`), text)
        hasFailed = false
        // Only where nothing waits to be written, so that nothing is counted twice.
        if (lineCount >= FOLDED_LINES && lines.length === 0) await fold()
      } catch (error) {
        if (!hasFailed)
          log(`What keys used cannot be written, and a restart would forget it: ${error}`)
        hasFailed = true
      }
    }
    writing = null
  }
  return {
    add(key, usage, nowMs) {
      const day = dayOf(nowMs)
      addTo(totals, key, day, usage)
      lines.push(formatLine(key, day, usage))
      writing ??= write()
      return writing
    },
    since: (key, day) => sumSince([totals], key, day),
    async close() {
      await writing
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
