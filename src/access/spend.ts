/**
 * What each key used, by day: a file that is only appended to, and read at the next start. A line is with the kernel before
 * the promise of `add` resolves, so a killed process loses none of them; the power failing may lose the last moments. Where
 * the disk fails or hangs, what is in memory counts, and follows.
 */
import { appendFile, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { UnderstudyError } from '../errors.ts'
import { makeFolder, writeFileAtomic } from '../platform/index.ts'
import { settledWithin } from '../util/index.ts'
import { dayOf } from './period.ts'
import {
  addTo,
  formatLines,
  formatTotals,
  parseLine,
  parseTotals,
  type Row,
  rowsOf,
  sumSince,
  type Totals,
  type Usage,
} from './spend-totals.ts'

/** `late`: writing takes longer than anybody waits for it. */
export type SpendState = 'ok' | 'late' | 'failing'

export interface Spend {
  /** Adds to a key's day. Resolves when it would survive a kill, or cannot in time. Never rejects. */
  add(key: string, usage: Usage, nowMs: number): Promise<void>
  /** Whether what is added is being written. */
  readonly state: SpendState
  /** Sum from a day on (`2026-11-01`; '' for all). */
  since(key: string, day: string): Usage
  /** Waits for what is being written. */
  close(): Promise<void>
}

const TOTALS = 'totals.json'

export interface SpendOptions {
  readonly log: (text: string) => void
  /** Longest that anybody waits for a line to be written. */
  readonly timeoutMs: number
  /** A file of that many lines is folded into the totals. */
  readonly foldedLines?: number
  readonly append?: (path: string, text: string) => Promise<void>
}

/**
 * Opens the folder, and folds what earlier processes appended into the totals.
 * @throws file-corrupt
 */
export async function openSpend(
  dir: string,
  { log, timeoutMs, foldedLines = 50_000, append = appendFile }: SpendOptions,
): Promise<Spend> {
  await makeFolder(dir)
  const { generation, totals } = await readTotals(dir)
  for (const [key, day, usage] of await readAppended(dir, generation))
    addTo(totals, key, day, usage)
  let current = generation
  let lineCount = 0
  /** Counted, and not yet on its way to the file: summed up, so that it stays small however long a disk hangs. */
  let unwritten: Totals = new Map()
  const takeUnwritten = (): Totals => {
    const taken = unwritten
    unwritten = new Map()
    return taken
  }
  /** Everything counted so far goes into the totals; what comes after goes to a file that they do not hold yet. */
  const fold = async (): Promise<void> => {
    const held = takeUnwritten()
    try {
      await writeFileAtomic(join(dir, TOTALS), formatTotals(current + 1, totals))
    } catch (error) {
      for (const row of rowsOf(held)) addTo(unwritten, ...row)
      throw error
    }
    current++
    lineCount = 0
    await removeOlder(dir, current)
  }
  await fold()

  let last: Promise<void> = Promise.resolve()
  /** Resolves with the write that takes what is unwritten now, or when it takes too long; null: none is due. */
  let next: Promise<void> | null = null
  let state: SpendState = 'ok'
  const become = (now: SpendState, why = ''): void => {
    if (state === 'ok' && now !== 'ok') {
      log(`What keys used is not on disk, and a restart would forget it: ${why}`)
    }
    if (state !== 'ok' && now === 'ok') log('What keys used is on disk again.')
    state = now
  }
  /** What an append lost, or wrote in part, comes to the disk with the totals. */
  let hasLost = false
  const write = async (): Promise<void> => {
    next = null
    const lines = formatLines(takeUnwritten())
    lineCount += lines.length
    try {
      if (lines.length > 0) await append(join(dir, `${current}.jsonl`), lines.join(''))
      if (hasLost || lineCount >= foldedLines) await fold()
      hasLost = false
      become('ok')
    } catch (error) {
      hasLost = true
      become('failing', String(error))
    }
  }
  const begin = async (): Promise<void> => {
    last = last.then(write)
    if (await settledWithin(last, timeoutMs)) return
    become('late', `writing takes longer than ${timeoutMs} ms.`)
  }
  return {
    async add(key, usage, nowMs) {
      const day = dayOf(nowMs)
      addTo(totals, key, day, usage)
      addTo(unwritten, key, day, usage)
      next ??= begin()
      // Who comes while the disk hangs does not wait as well.
      if (state !== 'late') await next
    },
    get state() {
      return state
    },
    since: (key, day) => sumSince([totals], key, day),
    async close() {
      await last
      if (hasLost) await write()
    },
  }
}

/** Keeps nothing: for a gateway in memory. */
export function memorySpend(): Spend {
  const totals: Totals = new Map()
  return {
    add: async (key, usage, nowMs) => addTo(totals, key, dayOf(nowMs), usage),
    state: 'ok',
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
