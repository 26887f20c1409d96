/** Leaves tokens out of what a step attends to and pools. Drawn outside the graph so that a run can be repeated. */
import type { Rng } from '../../util/index.ts'

/**
 * Sets a share of `mask`, [rows, length] of 1s and then 0s, to 0; never a row's first and last 1, which are special tokens. The
 * others keep their positions.
 */
export function dropTokens(
  mask: BigInt64Array,
  { length, share, rng }: { readonly length: number; readonly share: number; readonly rng: Rng },
): void {
  for (let start = 0; start < mask.length; start += length) {
    for (let at = start + 1; at + 1 < start + length && mask[at + 1] === 1n; at++) {
      if (rng.next() < share) mask[at] = 0n
    }
  }
}
