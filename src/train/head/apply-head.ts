/** A linear head applied to embeddings that are at hand. Knows no runtime. */
import type { LinearHead } from '../../models/index.ts'

/** Logits [rows, classCount] of some rows, 0 elsewhere. */
export function applyHead(
  head: LinearHead,
  embeddings: Float32Array,
  subset: readonly number[],
): Float32Array {
  const { dimension, classCount } = head
  const logits = new Float32Array((embeddings.length / dimension) * classCount)
  for (const row of subset) {
    const embedding = embeddings.subarray(row * dimension, (row + 1) * dimension)
    logits.set(headLogits(head, embedding), row * classCount)
  }
  return logits
}

/** Logits [classCount] of one embedding. */
export function headLogits(
  { weights, bias, classCount }: LinearHead,
  embedding: Float32Array,
): Float32Array {
  const logits = bias.slice()
  for (let d = 0; d < embedding.length; d++) {
    const value = embedding[d] as number
    for (let k = 0; k < classCount; k++) {
      logits[k] = (logits[k] as number) + value * (weights[d * classCount + k] as number)
    }
  }
  return logits
}
