/** Which rows train together: batches of near-equal length in an order drawn per epoch. Knows no tensors. */
import type { Rng } from '../../util/index.ts'

export interface BatchPlanOptions {
  /** Tokens of each row. */
  readonly lengths: ArrayLike<number>
  /** Rows × longest row, at most; a longer single row makes a batch of its own. */
  readonly batchTokens: number
  readonly maxRows: number
}

/**
 * Batches of one epoch: rows are shuffled, sorted by length (so that equal lengths stay shuffled), cut, and the batches
 * shuffled again. Little padding, and other neighbours in every epoch.
 */
export function planEpoch(
  { lengths, batchTokens, maxRows }: BatchPlanOptions,
  rng: Rng,
): number[][] {
  const rows = rng.shuffle(Array.from({ length: lengths.length }, (_, row) => row))
  rows.sort((a, b) => (lengths[b] as number) - (lengths[a] as number))
  const batches: number[][] = []
  for (let at = 0; at < rows.length; ) {
    const longest = Math.max(1, lengths[rows[at] as number] as number)
    const size = Math.max(1, Math.min(maxRows, Math.floor(batchTokens / longest)))
    batches.push(rows.slice(at, at + size))
    at += size
  }
  return rng.shuffle(batches)
}
