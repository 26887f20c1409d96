/** Masks of dropout, drawn outside the graph so that a run can be repeated. Knows no graph. */
import type { Rng } from '../../util/index.ts'

/** Draws per number of the generator: bytes of it. */
const LEVELS = 256

/**
 * Numbers to multiply hidden states by: 0 with probability `share`, rounded to 1/256, else what keeps the mean at 1.
 * Takes one number of `rng` and goes on from there by a 32-bit xorshift (Marsaglia 2003): a step needs a million draws.
 */
export function dropoutMask(size: number, share: number, rng: Rng): Float32Array {
  const dropped = Math.round(share * LEVELS)
  const kept = LEVELS / (LEVELS - dropped)
  const mask = new Float32Array(size)
  let state = rng.int(2 ** 31 - 1) + 1
  for (let at = 0; at < size; at += 4) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    for (let i = 0, bits = state; i < 4; i++, bits >>>= 8) {
      // Beyond the end of a typed array nothing is written.
      mask[at + i] = (bits & 255) < dropped ? 0 : kept
    }
  }
  return mask
}
