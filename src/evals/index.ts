/** Layer 5: certificates and metrics. */
export {
  buildCertificate,
  type Certificate,
  type CertificateSet,
  type CertificateSubject,
  VOIDED_BY,
} from './certificate.ts'
export { type CertifyOptions, certify, certifyTable, isClaim } from './certify.ts'
export {
  type SelfDisagreement,
  selfDisagreement,
  type TrafficEstimate,
  trafficWeighted,
  type WeightedRequest,
} from './metrics.ts'
export { roundScore, serves } from './serves.ts'
export { COVERAGE_LEVELS, gridStarts, START_COUNT, thresholdGrid } from './threshold-grid.ts'
export type * from './types.ts'
