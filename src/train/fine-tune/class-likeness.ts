/** Which classes are alike, as a linear head has it. */

/** Comparing more classes than these with each other takes longer than it is worth. */
const MAX_CLASSES = 1_000

/**
 * For each class the others, by the cosine of their weights, highest first.
 * @param weights `[dimension, classes]`
 * @returns nothing where there are more than 1,000 classes
 */
export function alikeFirst(weights: Float32Array, classCount: number): number[][] {
  if (classCount > MAX_CLASSES) return []
  const dimension = weights.length / classCount
  const columns = Array.from({ length: classCount }, (_, one) => {
    const column = Float64Array.from({ length: dimension }, (_, i) =>
      at(weights, i * classCount + one),
    )
    const norm = Math.hypot(...column) || 1
    return column.map(value => value / norm)
  })
  return columns.map((own, one) => {
    const cosines = columns.map(other => dot(own, other))
    const others = [...columns.keys()].filter(other => other !== one)
    return others.sort((a, b) => (cosines[b] as number) - (cosines[a] as number) || a - b)
  })
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += at(a, i) * at(b, i)
  return sum
}

function at(values: Float32Array | Float64Array, i: number): number {
  return values[i] as number
}
