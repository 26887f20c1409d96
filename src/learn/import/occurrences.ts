/** Counts how often each line occurred, in twelve bytes a line: ids would need ten times as much, and files have millions. */

/** Says how often a hash came before, counting this time as the next. */
export interface OccurrenceCounter {
  /** @param hash hexadecimal; its first 48 bits count, a collision only shifts a number */
  next(hash: string): number
}

const START_CAPACITY = 1 << 12
const MAX_LOAD = 0.7

/** A hash table with open addressing over typed arrays. */
export function createOccurrenceCounter(): OccurrenceCounter {
  let keys = new Float64Array(START_CAPACITY)
  let counts = new Uint32Array(START_CAPACITY)
  let size = 0

  const slotOf = (key: number): number => {
    const mask = keys.length - 1
    let slot = (key % 0x7fffffff) & mask
    while (counts[slot] !== 0 && keys[slot] !== key) slot = (slot + 1) & mask
    return slot
  }
  const grow = (): void => {
    const oldKeys = keys
    const oldCounts = counts
    keys = new Float64Array(oldKeys.length * 2)
    counts = new Uint32Array(oldKeys.length * 2)
    for (let i = 0; i < oldKeys.length; i++) {
      if (oldCounts[i] === 0) continue
      const slot = slotOf(oldKeys[i] as number)
      keys[slot] = oldKeys[i] as number
      counts[slot] = oldCounts[i] as number
    }
  }

  return {
    next(hash) {
      const key = Number.parseInt(hash.slice(0, 12), 16)
      const slot = slotOf(key)
      const before = counts[slot] as number
      keys[slot] = key
      counts[slot] = before + 1
      if (before === 0 && ++size > keys.length * MAX_LOAD) grow()
      return before
    },
  }
}
