/** Numbers and other people's words as people read them, for the page and the terminal alike. */

/** `91.3 %`, `5 %`, `0.52 %`. */
export function percent(share: number): string {
  const value = share * 100
  const digits = Number.isInteger(Number(value.toFixed(6))) ? 0 : Math.abs(value) < 1 ? 2 : 1
  return `${value.toFixed(digits)} %`
}

/** With thousands separators. */
export function whole(count: number): string {
  return Math.round(count).toLocaleString('en-US')
}

/** `1 answer`, `24 answers`. */
export function plural(count: number, noun: string): string {
  return `${whole(count)} ${noun}${count === 1 ? '' : 's'}`
}

/** `0.08 ms`, `3.1 ms`, `790 ms`, `1.42 s`. */
export function milliseconds(ms: number): string {
  if (ms >= 1000) return `${(ms / 1000).toFixed(2)} s`
  return `${ms >= 100 ? ms.toFixed(0) : ms >= 1 ? ms.toFixed(1) : ms.toFixed(2)} ms`
}

/** Cents from ten cents up, two significant digits below. */
export function dollars(usd: number): string {
  if (usd === 0) return '$0'
  return usd >= 0.1 ? `$${usd.toFixed(2)}` : `$${Number(usd.toPrecision(2))}`
}

/** `1.3 MB`, `820 kB`. */
export function bytes(count: number): string {
  if (count >= 1e6) return `${(count / 1e6).toFixed(1)} MB`
  return count >= 1000 ? `${Math.round(count / 1000)} kB` : `${count} B`
}

/** On one line, without control and direction characters, which could rewrite what stands around them. */
export function plain(text: string): string {
  return text
    .replace(/[\p{Cc}\u202a-\u202e\u2066-\u2069]+/gu, ' ')
    .replace(/ {2,}/g, ' ')
    .trim()
}

/** A task's name with its app in front, unless the name begins with it anyway. */
export function taskTitle({
  app,
  name,
}: {
  readonly app: string | null
  readonly name: string
}): string {
  return app === null || name.startsWith(app) ? name : `${app} · ${name}`
}
