/** A tiny text grammar: `{a|b}` picks one, `{name}` picks from a list. Knows nothing of banks. */

import { UnderstudyError } from '../errors.ts'
import type { Rng } from '../util/index.ts'

/** Named lists that a template may refer to. */
export type Lists = Readonly<Record<string, readonly string[]>>

const INNERMOST = /\{([^{}]*)\}/

/**
 * Expands a template from the inside out until no braces are left, so alternatives may be nested.
 * `{a|}` is an optional part; an
 * alternative that is the name of a list stands for that list; `{#3-40}` a whole number in that range; `{digits4}` four digits.
 * @throws bug for a name that no list has
 */
export function expand(template: string, lists: Lists, rng: Rng): string {
  let text = template
  for (let hit = INNERMOST.exec(text); hit !== null; hit = INNERMOST.exec(text)) {
    const chosen = choose(hit[1] as string, lists, rng)
    text = text.slice(0, hit.index) + chosen + text.slice(hit.index + hit[0].length)
  }
  return text
    .replace(/\s+([,.?!;])/g, '$1')
    .replace(/ {2,}/g, ' ')
    .trim()
}

function choose(body: string, lists: Lists, rng: Rng): string {
  if (body.includes('|')) {
    const picked = rng.pick(body.split('|'))
    return Object.hasOwn(lists, picked) ? rng.pick(lists[picked] as readonly string[]) : picked
  }
  const range = /^#(\d+)-(\d+)$/.exec(body)
  if (range !== null) {
    const low = Number(range[1])
    return String(low + rng.int(Number(range[2]) - low + 1))
  }
  const digits = /^digits(\d)$/.exec(body)
  if (digits !== null) {
    return Array.from({ length: Number(digits[1]) }, () => rng.int(10)).join('')
  }
  const list = lists[body]
  if (list === undefined) {
    throw new UnderstudyError('bug', `The demo grammar names a list that does not exist: ${body}`, {
      help: 'Add the list to src/demo/phrases.ts.',
    })
  }
  return rng.pick(list)
}

/** Zipf-like weights 1/rank^exponent, summing to 1. */
export function zipfWeights(count: number, exponent: number): readonly number[] {
  const raw = Array.from({ length: count }, (_, rank) => 1 / (rank + 1) ** exponent)
  const total = raw.reduce((sum, weight) => sum + weight, 0)
  return raw.map(weight => weight / total)
}

/** An index drawn with the given weights, which sum to 1. */
export function pickWeighted(weights: readonly number[], rng: Rng): number {
  let left = rng.next()
  for (let index = 0; index < weights.length; index++) {
    left -= weights[index] as number
    if (left < 0) return index
  }
  return weights.length - 1
}
