/** What each threshold of a grid would have answered, and at what loss. Knows no promise. */
import { assert } from '../errors.ts'
import { serves } from './serves.ts'

/** Counts per threshold, in the order of the grid. */
export interface Tally {
  /** Examples in all. */
  readonly n: number
  readonly servedCounts: Float64Array
  readonly lossSums: Float64Array
  /** True where every loss is 0 or 1, so that exact binomial tests apply. */
  readonly isBinary: boolean
}

/** Counts served examples and their losses at each threshold. */
export function tally(
  scores: ArrayLike<number>,
  losses: ArrayLike<number>,
  grid: readonly number[],
): Tally {
  assert(scores.length === losses.length, 'as many losses as scores')
  for (let j = 1; j < grid.length; j++) {
    assert((grid[j] as number) < (grid[j - 1] as number), 'thresholds descend')
  }
  const servedCounts = new Float64Array(grid.length)
  const lossSums = new Float64Array(grid.length)
  let isBinary = true
  for (let i = 0; i < scores.length; i++) {
    const loss = losses[i] as number
    assert(loss >= 0 && loss <= 1, `loss ${loss} lies in [0, 1]`)
    if (loss !== 0 && loss !== 1) isBinary = false
    for (let j = grid.length - 1; j >= 0 && serves(scores[i] as number, grid[j] as number); j--) {
      servedCounts[j]! += 1
      lossSums[j]! += loss
    }
  }
  return { n: scores.length, servedCounts, lossSums, isBinary }
}
