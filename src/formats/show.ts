/** Puts values of foreign files into messages. Knows no format. */
import { clip } from '../util/index.ts'

const MAX_CHARACTERS = 80

/** Foreign values, short enough for a message: what is nested is named only, since it may nest without end. */
export function show(value: unknown): string {
  if (typeof value === 'object' && value !== null) {
    return Array.isArray(value) ? 'a list' : 'an object'
  }
  if (typeof value === 'string') return JSON.stringify(clip(value, MAX_CHARACTERS))
  return JSON.stringify(value) ?? 'nothing'
}
