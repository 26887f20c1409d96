/** Layer 1, portable: bounds, tests, resampling and curves. Numbers in, numbers out. */
export {
  betaTails,
  binomialDensity,
  inverseRegularisedBeta,
  inverseUpperBeta,
  regularisedBeta,
  type Tails,
} from './beta.ts'
export {
  binomialCdf,
  binomialSf,
  clopperPearsonLower,
  clopperPearsonUpper,
  lossesAllowed,
  zeroLossMinimum,
} from './binomial.ts'
export { hoeffdingBentkus, hoeffdingBentkusUpper } from './bounded-loss.ts'
export {
  areaUnderRiskCoverage,
  expectedCalibrationError,
  type ReliabilityBin,
  type RiskCoveragePoint,
  reliabilityBins,
  riskCoverageCurve,
} from './curves.ts'
export { logGamma, stirlingError } from './gamma.ts'
export {
  deltaOfLook,
  fixedSequenceTest,
  monotoneScan,
  type Rejection,
} from './multiple-testing.ts'
export {
  groupBootstrap,
  type Interval,
  type UniformSource,
} from './resampling.ts'
