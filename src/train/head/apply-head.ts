/** A linear head applied to embeddings that are at hand. Knows no runtime. */
import type { LinearHead } from '../../models/index.ts'

/** Logits [rows, classCount] of some rows, 0 elsewhere. */
export function applyHead(
  { dimension, classCount, weights, bias }: LinearHead,
  embeddings: Float32Array,
  subset: readonly number[],
): Float32Array {
  const logits = new Float32Array((embeddings.length / dimension) * classCount)
  for (const row of subset) {
    const own = logits.subarray(row * classCount, (row + 1) * classCount)
    own.set(bias)
    for (let d = 0; d < dimension; d++) {
      const x = embeddings[row * dimension + d] as number
      for (let k = 0; k < classCount; k++) {
        own[k] = (own[k] as number) + x * (weights[d * classCount + k] as number)
      }
    }
  }
  return logits
}
