/** Lengths of time as people write them. */

const FACTORS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/** `3m`, `90s`, `500ms`, `1h`, `30d` or plain seconds, as milliseconds; null where it is none of these. */
export function parseDuration(text: string): number | null {
  const match = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?$/.exec(text.trim())
  if (match === null) return null
  return Number(match[1]) * FACTORS[(match[2] ?? 's') as keyof typeof FACTORS]
}
