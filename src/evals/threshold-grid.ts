/** The thresholds that a certificate may choose among, fixed before certification examples are scored. */
import { roundScore } from './serves.ts'

/**
 * Coverages at which thresholds are placed, ascending. Steps shrink towards full coverage, where a step is most requests;
 * chosen by simulation, see docs/log.md.
 */
export const COVERAGE_LEVELS: readonly number[] = [
  0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.74, 0.78, 0.81, 0.84, 0.87, 0.9, 0.925,
  0.95, 0.975, 1,
]

/** How many starts share the error level of a selective promise. */
export const START_COUNT = 5

/**
 * At most 20 distinct thresholds, descending, at fixed quantiles of scores that are not the certification set's:
 * out-of-fold scores of the training part, or unlabelled traffic. Scores that are not finite are never answered, but
 * count in the coverage. Empty without finite scores.
 */
export function thresholdGrid(
  scores: ArrayLike<number>,
  levels: readonly number[] = COVERAGE_LEVELS,
): number[] {
  const finite = Float64Array.from(scores).filter(Number.isFinite).sort().reverse()
  if (finite.length === 0) return []
  const grid: number[] = []
  for (const level of levels) {
    // A level beyond the finite scores means: everything that can be answered at all.
    const rank = Math.min(finite.length, Math.max(1, Math.ceil(level * scores.length)))
    const threshold = roundScore(finite[rank - 1] as number)
    if (grid.length === 0 || threshold < (grid.at(-1) as number)) grid.push(threshold)
  }
  return grid
}

/** Indices of the starts in a grid of this length: every fifth of it, fewer where the grid is shorter. */
export function gridStarts(gridLength: number): number[] {
  const starts = new Set<number>()
  for (let i = 0; i < START_COUNT && gridLength > 0; i++) {
    starts.add(Math.floor((i * gridLength) / START_COUNT))
  }
  return [...starts]
}
