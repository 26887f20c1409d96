/** Small functions over arrays of numbers. */

/** The `q`-quantile (0 ≤ q ≤ 1) of values, linear interpolation (Hyndman & Fan 1996, type 7). NaN when empty. */
export function quantile(values: ArrayLike<number>, q: number): number {
  const sorted = Float64Array.from(values).sort()
  if (sorted.length === 0) return Number.NaN
  const at = (sorted.length - 1) * q
  const low = Math.floor(at)
  const below = sorted[low] as number
  const above = sorted[Math.min(low + 1, sorted.length - 1)] as number
  return below + (above - below) * (at - low)
}

/** Arithmetic mean; NaN when empty. */
export function mean(values: ArrayLike<number>): number {
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += values[i] as number
  return sum / values.length
}

/** Index of the largest value, the first of equals; −1 when empty. */
export function argmax(values: ArrayLike<number>): number {
  let best = -1
  for (let i = 0; i < values.length; i++) {
    if (best < 0 || (values[i] as number) > (values[best] as number)) best = i
  }
  return best
}

/** How often each key occurs. */
export function countBy<T, K>(items: Iterable<T>, key: (item: T) => K): Map<K, number> {
  const counts = new Map<K, number>()
  for (const item of items) {
    const k = key(item)
    counts.set(k, (counts.get(k) ?? 0) + 1)
  }
  return counts
}

/** Logits as probabilities. */
export function softmax(logits: Float64Array): Float64Array {
  const most = logits.reduce((a, b) => Math.max(a, b), -Infinity)
  const powers = logits.map(logit => Math.exp(logit - most))
  const total = powers.reduce((a, b) => a + b, 0)
  return powers.map(power => power / total)
}

/** One item a key, in order of first sight: each that has the key of an earlier one is put together with it. */
export function mergeBy<T>(
  items: Iterable<T>,
  keyOf: (item: T) => string,
  both: (earlier: T, later: T) => T,
): T[] {
  const merged = new Map<string, T>()
  for (const item of items) {
    const key = keyOf(item)
    const earlier = merged.get(key)
    merged.set(key, earlier === undefined ? item : both(earlier, item))
  }
  return [...merged.values()]
}
