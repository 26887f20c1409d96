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
export { exportModel, modelGraph, type TrainedParts } from './export-model.ts'
export {
  type ClassifierCandidate,
  type FitClassifierOptions,
  fitClassifier,
} from './fit-classifier.ts'
export type { LabelledRow, Span, TrainTask } from './labelled-rows.ts'
export { type ModelCardRecord, renderModelCard } from './model-card.ts'
export {
  completeRecipe,
  parseRecipe,
  RECIPE_DEFAULTS,
  type Recipe,
  recipeId,
  type TrainingMethod,
} from './recipe.ts'
export {
  type RunRecord,
  readRunRecord,
  runsFolder,
  type Tried,
  writeRunRecord,
} from './run-record.ts'
export type { SearchMethod } from './search-plan.ts'
export { type TeachOptions, teachRows } from './teach-rows.ts'
export {
  type TorchBaseModel,
  type TorchJobOptions,
  type TorchJobRow,
  writeTorchJob,
} from './torch-job.ts'
export type { TorchJob, TorchJobMetrics } from './torch-job-format.ts'
export { readTorchJobResult, type TorchJobResult } from './torch-job-result.ts'
export {
  type TrainedModel,
  type TrainModelOptions,
  type TrainProgress,
  trainModel,
} from './train-model.ts'
export {
  readTorchTraining,
  type TorchOrder,
  type TorchTrained,
  writeTorchTraining,
} from './train-torch.ts'
export type { LabelMetrics, TrainingMetrics } from './training-metrics.ts'
