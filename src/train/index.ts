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
export {
  completeRecipe,
  parseRecipe,
  RECIPE_DEFAULTS,
  type Recipe,
  recipeId,
  type TrainingMethod,
} from './recipe.ts'
export {
  type TorchBaseModel,
  type TorchJobOptions,
  type TorchJobRow,
  writeTorchJob,
} from './torch-job.ts'
export type { TorchJob, TorchJobMetrics } from './torch-job-format.ts'
export { readTorchJobResult, type TorchJobResult } from './torch-job-result.ts'
