/** Layer 5: certificates and metrics. */
export { type CertifyOptions, certify, certifyTable, isClaim } from './certify.ts'
export { roundScore, SCORE_STEP, serves } from './serves.ts'
export { COVERAGE_LEVELS, gridStarts, START_COUNT, thresholdGrid } from './threshold-grid.ts'
export type * from './types.ts'
