/**
 * What each key used, by day: a file that is only appended to, and read at the next start. A line is with the kernel before
 * the promise of `add` resolves, so a killed process loses none of them; the power failing may lose the last moments.
 */
import { appendFile, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { UnderstudyError } from '../errors.ts'
import { makeFolder, writeFileAtomic } from '../platform/index.ts'
import { dayOf } from './period.ts'

export interface Usage {
  readonly requestCount: number
  readonly promptTokens: number
  readonly completionTokens: number
  readonly usd: number
  /** Answers whose tokens were estimated, because they reported none. */
  readonly estimatedCount: number
}

export interface Spend {
  /** Adds to a key's day. Resolves when it would survive a kill. Never rejects. */
  add(key: string, usage: Usage, nowMs: number): Promise<void>
  /** Sum from a day on (`2026-11-01`; '' for all). */
  since(key: string, day: string): Usage
  /** Waits for what is being written. */
  close(): Promise<void>
}

export const NO_USAGE: Usage = {
  requestCount: 0,
  promptTokens: 0,
  completionTokens: 0,
  usd: 0,
  estimatedCount: 0,
}

type Days = Map<string, Usage>

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
    const keys = plain(totals)
    await writeFileAtomic(join(dir, TOTALS), JSON.stringify({ generation: current + 1, keys }))
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
      const { requestCount, promptTokens, completionTokens, usd, estimatedCount } = usage
      lines.push(
        `${JSON.stringify([key, day, requestCount, promptTokens, completionTokens, usd, estimatedCount])}\n`,
      )
      writing ??= write()
      return writing
    },
    since(key, day) {
      let sum = NO_USAGE
      for (const [each, usage] of totals.get(key) ?? []) if (each >= day) sum = plus(sum, usage)
      return sum
    },
    async close() {
      await writing
    },
  }
}

/** Keeps nothing: for a gateway in memory. */
export function memorySpend(): Spend {
  const totals = new Map<string, Days>()
  return {
    async add(key, usage, nowMs) {
      addTo(totals, key, dayOf(nowMs), usage)
    },
    since(key, day) {
      let sum = NO_USAGE
      for (const [each, usage] of totals.get(key) ?? []) if (each >= day) sum = plus(sum, usage)
      return sum
    },
    close: async () => {},
  }
}

function plus(a: Usage, b: Usage): Usage {
  return {
    requestCount: a.requestCount + b.requestCount,
    promptTokens: a.promptTokens + b.promptTokens,
    completionTokens: a.completionTokens + b.completionTokens,
    usd: a.usd + b.usd,
    estimatedCount: a.estimatedCount + b.estimatedCount,
  }
}

function addTo(totals: Map<string, Days>, key: string, day: string, usage: Usage): void {
  let days = totals.get(key)
  if (days === undefined) {
    days = new Map()
    totals.set(key, days)
  }
  days.set(day, plus(days.get(day) ?? NO_USAGE, usage))
}

function plain(totals: ReadonlyMap<string, Days>): Record<string, Record<string, Usage>> {
  return Object.fromEntries([...totals].map(([key, days]) => [key, Object.fromEntries(days)]))
}

async function readTotals(dir: string): Promise<{ generation: number; totals: Map<string, Days> }> {
  const path = join(dir, TOTALS)
  const text = await readFile(path, 'utf8').catch(() => null)
  if (text === null) return { generation: 0, totals: new Map() }
  try {
    const { generation, keys } = JSON.parse(text) as {
      generation: number
      keys: Record<string, Record<string, Usage>>
    }
    if (!Number.isInteger(generation)) throw new Error('no generation')
    const totals = new Map(
      Object.entries(keys).map(([key, days]) => [key, new Map(Object.entries(days))]),
    )
    return { generation, totals }
  } catch (cause) {
    throw new UnderstudyError('file-corrupt', `${path} cannot be read.`, {
      help: 'Restore it from a backup, or remove it to count from zero.',
      cause,
    })
  }
}

/** Lines of the generation that the totals do not hold yet. A last line that a crash tore off is left out. */
async function readAppended(
  dir: string,
  generation: number,
): Promise<readonly (readonly [string, string, Usage])[]> {
  const text = await readFile(join(dir, `${generation}.jsonl`), 'utf8').catch(() => '')
  return text.split('\n').flatMap(line => {
    const row = readLine(line)
    return row === null ? [] : [row]
  })
}

function readLine(line: string): readonly [string, string, Usage] | null {
  try {
    const [key, day, ...numbers] = JSON.parse(line) as [string, string, ...number[]]
    if (typeof key !== 'string' || typeof day !== 'string' || !numbers.every(Number.isFinite))
      return null
    const [requestCount = 0, promptTokens = 0, completionTokens = 0, usd = 0, estimatedCount = 0] =
      numbers
    return [key, day, { requestCount, promptTokens, completionTokens, usd, estimatedCount }]
  } catch {
    return null
  }
}

async function removeOlder(dir: string, generation: number): Promise<void> {
  for (const name of await readdir(dir)) {
    const number = /^(\d+)\.jsonl$/u.exec(name)?.[1]
    if (number !== undefined && Number(number) < generation)
      await rm(join(dir, name), { force: true })
  }
}
