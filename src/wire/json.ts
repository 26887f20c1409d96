/** Reading JSON that somebody else wrote: bounded depth, and narrow questions to unknown values. Knows no API. */
import { UnderstudyError } from '../errors.ts'

/** Nesting beyond this is refused: every honest request is far below, and recursive readers would overflow the stack. */
export const MAX_JSON_DEPTH = 200

/** A JSON object, as opposed to an array, a scalar or null. */
export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** True where brackets nest deeper than `limit`; strings are skipped, the rest need not be valid JSON. */
export function nestsDeeperThan(text: string, limit: number): boolean {
  let depth = 0
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code === 0x22) {
      i = endOfString(text, i)
    } else if (code === 0x5b || code === 0x7b) {
      depth++
      if (depth > limit) return true
    } else if (code === 0x5d || code === 0x7d) {
      depth--
    }
  }
  return false
}

/** Index of the quote that closes the string opened at `start`; the end of the text where none does. */
function endOfString(text: string, start: number): number {
  let at = text.indexOf('"', start + 1)
  while (at !== -1) {
    let slashes = 0
    while (text.charCodeAt(at - 1 - slashes) === 0x5c) slashes++
    if (slashes % 2 === 0) return at
    at = text.indexOf('"', at + 1)
  }
  return text.length
}

/**
 * Parses JSON from outside.
 * @throws request-invalid when it is no JSON, or nested deeper than 200
 */
export function parseJson(text: string): unknown {
  if (nestsDeeperThan(text, MAX_JSON_DEPTH)) {
    throw new UnderstudyError('request-invalid', `The JSON nests deeper than ${MAX_JSON_DEPTH}.`, {
      help: 'Send a flatter body.',
    })
  }
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new UnderstudyError('request-invalid', 'The text is not valid JSON.', {
      help: 'Check quotes, commas and brackets of the body.',
      cause,
    })
  }
}

/** JSON where the text is some (and not nested absurdly), else null. */
export function tryJson(text: string): { readonly value: unknown } | null {
  if (nestsDeeperThan(text, MAX_JSON_DEPTH)) return null
  try {
    return { value: JSON.parse(text) }
  } catch {
    return null
  }
}
