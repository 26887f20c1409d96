/** Groups tokenised texts into batches of near-equal length and lays them out as tensors. Knows no model. */
import type { Tensor } from '../runtimes/index.ts'

/**
 * Positions of the sequences, in batches: sorted by length, each padded to its own longest, with at most
 * `tokenBudget` tokens (padding included) unless a single sequence is longer. Longest batches first, so
 * that the estimate of the time left never turns out too short.
 */
export function batchByLength(
  lengths: readonly number[],
  { tokenBudget, maxBatch }: { readonly tokenBudget: number; readonly maxBatch: number },
): number[][] {
  const order = [...lengths.keys()].sort(
    (a, b) => (lengths[b] as number) - (lengths[a] as number) || a - b,
  )
  const batches: number[][] = []
  for (let at = 0; at < order.length; ) {
    const longest = Math.max(1, lengths[order[at] as number] as number)
    const size = Math.max(1, Math.min(maxBatch, Math.floor(tokenBudget / longest)))
    batches.push(order.slice(at, at + size))
    at += size
  }
  return batches
}

/** Token numbers and mask, int64 `[batch, longest]`, padded on the right. */
export function padBatch(
  sequences: readonly (readonly number[])[],
  padId: number,
): { ids: Tensor; mask: Tensor } {
  const longest = Math.max(1, ...sequences.map(one => one.length))
  const dims = [sequences.length, longest]
  const ids = new BigInt64Array(sequences.length * longest).fill(BigInt(padId))
  const mask = new BigInt64Array(ids.length)
  sequences.forEach((sequence, row) => {
    sequence.forEach((id, column) => {
      ids[row * longest + column] = BigInt(id)
      mask[row * longest + column] = 1n
    })
  })
  return { ids: { type: 'int64', dims, data: ids }, mask: { type: 'int64', dims, data: mask } }
}
