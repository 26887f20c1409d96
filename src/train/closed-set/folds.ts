/** Cuts rows into folds so that rows of one input group never part. Knows no labels. */
import type { Rng } from '../../util/index.ts'

/** Fold of each row, 0 … `foldCount` − 1, with about as many rows in each; fewer folds where there are fewer groups. */
export function foldsByGroup(
  groups: Int32Array,
  foldCount: number,
  rng: Rng,
): { folds: Int32Array; foldCount: number } {
  const sizes = new Map<number, number>()
  for (const group of groups) sizes.set(group, (sizes.get(group) ?? 0) + 1)
  const count = Math.max(1, Math.min(foldCount, sizes.size))
  const filled = new Array<number>(count).fill(0)
  const foldOf = new Map<number, number>()
  // Heavy groups first, each to the emptiest fold: one heavy duplicate must not make a fold of its own for nothing.
  const shuffled = rng.shuffle([...sizes.keys()])
  shuffled.sort((a, b) => (sizes.get(b) as number) - (sizes.get(a) as number))
  for (const group of shuffled) {
    const fold = filled.indexOf(Math.min(...filled))
    foldOf.set(group, fold)
    filled[fold] = (filled[fold] as number) + (sizes.get(group) as number)
  }
  return { folds: groups.map(group => foldOf.get(group) as number), foldCount: count }
}

/** Row numbers for which `isWanted` holds. */
export function rowsWhere(length: number, isWanted: (row: number) => boolean): Int32Array {
  const rows: number[] = []
  for (let row = 0; row < length; row++) if (isWanted(row)) rows.push(row)
  return Int32Array.from(rows)
}
