/** Layer 5: fitting and calibration. */
export { compressClassifier } from './compress.ts'
export type {
  CompressedClassifier,
  CompressibleModel,
  CompressOptions,
  CompressReport,
  CompressResult,
  CompressRow,
  CompressVariant,
  LabelledRows,
} from './compress-types.ts'
export { defaultVariants } from './compress-variants.ts'
export type { ClassifierData } from './cross-fit.ts'
export {
  type ClassifierCandidate,
  type FitClassifierOptions,
  fitClassifier,
} from './fit-classifier.ts'
