/** Small dense linear algebra in plain TypeScript. Knows nothing of models. */

/**
 * Solves A·x = b for a symmetric positive definite A (a handful of unknowns) by Cholesky; pivots that vanish are raised,
 * so that a singular system gives a bounded answer instead of NaN.
 */
export function solveSymmetric(a: readonly (readonly number[])[], b: readonly number[]): number[] {
  const n = b.length
  const lower = a.map(row => [...row])
  const at = (i: number, j: number): number => (lower[i] as number[])[j] as number
  for (let j = 0; j < n; j++) {
    let pivot = at(j, j)
    for (let k = 0; k < j; k++) pivot -= at(j, k) ** 2
    const root = Math.sqrt(Math.max(pivot, 1e-10))
    ;(lower[j] as number[])[j] = root
    for (let i = j + 1; i < n; i++) {
      let sum = at(i, j)
      for (let k = 0; k < j; k++) sum -= at(i, k) * at(j, k)
      ;(lower[i] as number[])[j] = sum / root
    }
  }
  const x = [...b]
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < i; k++) x[i] = (x[i] as number) - at(i, k) * (x[k] as number)
    x[i] = (x[i] as number) / at(i, i)
  }
  for (let i = n - 1; i >= 0; i--) {
    for (let k = i + 1; k < n; k++) x[i] = (x[i] as number) - at(k, i) * (x[k] as number)
    x[i] = (x[i] as number) / at(i, i)
  }
  return x
}
