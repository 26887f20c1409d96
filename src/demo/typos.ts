/** How people really type: slips of the finger, shouting, lower case, missing apostrophes. Knows no labels. */
import type { Rng } from '../util/index.ts'

const SHORTCUTS: readonly (readonly [RegExp, string])[] = [
  [/\byou\b/gi, 'u'],
  [/\bplease\b/gi, 'pls'],
  [/\bbecause\b/gi, 'bc'],
  [/\band\b/gi, '&'],
  [/\baccount\b/gi, 'acct'],
  [/\btransaction\b/gi, 'txn'],
]

/** The text as somebody in a hurry would have typed it; often unchanged. */
export function mistype(text: string, rng: Rng): string {
  let typed = text
  const casing = rng.next()
  if (casing < 0.28) typed = typed.toLowerCase()
  else if (casing < 0.31) typed = typed.toUpperCase()
  else if (casing < 0.75) typed = typed.charAt(0).toUpperCase() + typed.slice(1)
  if (rng.next() < 0.18) typed = typed.replaceAll("'", '')
  if (rng.next() < 0.06) {
    for (const [pattern, short] of SHORTCUTS) typed = typed.replace(pattern, short)
  }
  const slips = rng.next() < 0.3 ? 1 + rng.int(Math.max(1, Math.floor(typed.length / 45))) : 0
  for (let slip = 0; slip < slips; slip++) typed = slipOnce(typed, rng)
  if (rng.next() < 0.1) typed = typed.replace(/[.?!]$/, rng.pick(['', '!!', '???', '...', ' .']))
  return typed
}

/** One slip between two letters: swapped, dropped, doubled, or a neighbouring key. */
function slipOnce(text: string, rng: Rng): string {
  const at = 1 + rng.int(Math.max(1, text.length - 2))
  const here = text.charAt(at)
  const next = text.charAt(at + 1)
  if (!/[a-z]/i.test(here) || !/[a-z]/i.test(next)) return text
  const before = text.slice(0, at)
  switch (rng.int(4)) {
    case 0:
      return before + next + here + text.slice(at + 2)
    case 1:
      return before + text.slice(at + 1)
    case 2:
      return before + here + here + text.slice(at + 1)
    default:
      return before + neighbour(here) + text.slice(at + 1)
  }
}

const ROWS = ['qwertyuiop', 'asdfghjkl', 'zxcvbnm']

function neighbour(letter: string): string {
  for (const row of ROWS) {
    const at = row.indexOf(letter)
    if (at >= 0) return row.charAt(at === row.length - 1 ? at - 1 : at + 1)
  }
  return letter
}
