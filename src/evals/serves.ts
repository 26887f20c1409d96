/** The one rule that decides whether an answer is given: certification and serving both call it. Knows no models. */

/** Scores and thresholds are compared in this many steps, so that the last digits of a float decide nothing. */
const STEPS = 1e4

/** A score or threshold on the grid of comparable values; NaN stays NaN. */
export function roundScore(score: number): number {
  return Math.round(score * STEPS) / STEPS
}

/**
 * True where a specialist may answer: score ≥ threshold, both rounded to 1e-4. A score that is not a finite number
 * never serves, nor does a threshold that is NaN.
 */
export function serves(score: number, threshold: number): boolean {
  return Number.isFinite(score) && Math.round(score * STEPS) >= Math.round(threshold * STEPS)
}
