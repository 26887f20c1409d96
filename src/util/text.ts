/** Text helpers that know nothing of any model or wire. */

/** White space that is more than one blank. */
const UNEVEN_SPACE = /[^\S ]| {2}/u

/** The form under which two inputs count as the same: NFKC, lower case, white space collapsed. */
export function normaliseText(text: string): string {
  const folded = text.normalize('NFKC').toLowerCase()
  // Replacing each blank by itself would cost four fifths of the time, on the path of every request.
  return (UNEVEN_SPACE.test(folded) ? folded.replace(/\s+/gu, ' ') : folded).trim()
}

/** JSON with object keys sorted at every depth, so that equal values give equal strings. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) =>
    typeof item === 'object' && item !== null && !Array.isArray(item)
      ? Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
      : item,
  )
}

/** At most `length` characters, with an ellipsis where something was cut; never splits a surrogate pair. */
export function clip(text: string, length: number): string {
  if (text.length <= length) return text
  const end = length - 1
  const code = text.charCodeAt(end - 1)
  return `${text.slice(0, code >= 0xd800 && code <= 0xdbff ? end - 1 : end)}…`
}
