/** Sums of what keys used, by day, and how they are written. Knows no files. */

export interface Usage {
  readonly requestCount: number
  readonly promptTokens: number
  readonly completionTokens: number
  readonly usd: number
  /** Answers whose tokens were estimated, because they reported none or broke off. */
  readonly estimatedCount: number
}

/** By key, then by day (`2026-11-27`). */
export type Totals = Map<string, Map<string, Usage>>

/** Key, day, what was used. */
export type Row = readonly [string, string, Usage]

export const NO_USAGE: Usage = {
  requestCount: 0,
  promptTokens: 0,
  completionTokens: 0,
  usd: 0,
  estimatedCount: 0,
}

/** Both together. */
export function addUsage(a: Usage, b: Usage): Usage {
  return {
    requestCount: a.requestCount + b.requestCount,
    promptTokens: a.promptTokens + b.promptTokens,
    completionTokens: a.completionTokens + b.completionTokens,
    usd: a.usd + b.usd,
    estimatedCount: a.estimatedCount + b.estimatedCount,
  }
}

export function addTo(totals: Totals, key: string, day: string, usage: Usage): void {
  let days = totals.get(key)
  if (days === undefined) {
    days = new Map()
    totals.set(key, days)
  }
  days.set(day, addUsage(days.get(day) ?? NO_USAGE, usage))
}

/** From a day on; '' for all. */
export function sumSince(all: readonly Totals[], key: string, day: string): Usage {
  let sum = NO_USAGE
  for (const totals of all) {
    for (const [each, usage] of totals.get(key) ?? []) if (each >= day) sum = addUsage(sum, usage)
  }
  return sum
}

export function rowsOf(totals: Totals): readonly Row[] {
  return [...totals].flatMap(([key, days]) =>
    [...days].map(([day, usage]): Row => [key, day, usage]),
  )
}

export function formatLines(totals: Totals): readonly string[] {
  return rowsOf(totals).map(([key, day, usage]) => {
    const { requestCount, promptTokens, completionTokens, usd, estimatedCount } = usage
    return `${JSON.stringify([key, day, requestCount, promptTokens, completionTokens, usd, estimatedCount])}\n`
  })
}

/** Null for what is no whole line, such as one that a crash tore off. */
export function parseLine(line: string): Row | null {
  try {
    const [key, day, ...numbers] = JSON.parse(line) as [string, string, ...number[]]
    if (typeof key !== 'string' || typeof day !== 'string') return null
    if (numbers.length !== 5 || !numbers.every(Number.isFinite)) return null
    const [requestCount, promptTokens, completionTokens, usd, estimatedCount] = numbers as [
      number,
      number,
      number,
      number,
      number,
    ]
    return [key, day, { requestCount, promptTokens, completionTokens, usd, estimatedCount }]
  } catch {
    return null
  }
}

/** `generation` names the file of lines that these totals do not hold. */
export function formatTotals(generation: number, totals: Totals): string {
  const keys = Object.fromEntries([...totals].map(([key, days]) => [key, Object.fromEntries(days)]))
  return JSON.stringify({ generation, keys })
}

/** Null where the text is none. */
export function parseTotals(text: string): { generation: number; totals: Totals } | null {
  try {
    const { generation, keys } = JSON.parse(text) as {
      generation: number
      keys: Record<string, Record<string, Usage>>
    }
    if (!Number.isInteger(generation)) return null
    const totals: Totals = new Map(
      Object.entries(keys).map(([key, days]) => [key, new Map(Object.entries(days))]),
    )
    return { generation, totals }
  } catch {
    return null
  }
}
