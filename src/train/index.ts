/** Layer 5: fitting and calibration. */

export type { ClassifierData } from './closed-set/cross-fit.ts'
export {
  type ClassifierCandidate,
  type FitClassifierOptions,
  fitClassifier,
} from './closed-set/fit-classifier.ts'
export { compressClassifier } from './compress/compress.ts'
export type {
  CompressedClassifier,
  CompressibleModel,
  CompressOptions,
  CompressProgress,
  CompressReport,
  CompressResult,
  CompressRow,
  CompressVariant,
  LabelledRows,
  Lesson,
  RetrainTools,
} from './compress/compress-types.ts'
export { DISTILLATION, defaultVariants, HEALING } from './compress/compress-variants.ts'
export {
  completeRecipe,
  heededSettings,
  parseRecipe,
  RECIPE_DEFAULTS,
  type Recipe,
  recipeId,
  type TrainingMethod,
} from './fine-tune/recipe.ts'
export { checkClassWeights } from './model/encode-rows.ts'
export { exportModel, modelGraph, type TrainedParts } from './model/export-model.ts'
export {
  checkLabelledRows,
  type LabelledRow,
  type Span,
  type TrainTask,
  textsHash,
} from './model/labelled-rows.ts'
export { type ModelCardRecord, renderModelCard } from './model/model-card.ts'
export {
  type RunRecord,
  readRunRecord,
  readRunSummary,
  runsFolder,
  type Tried,
  writeRunRecord,
} from './model/run-record.ts'
export type { SearchMethod } from './model/search-plan.ts'
export { type TeachOptions, teachRows } from './model/teach-rows.ts'
export {
  type TrainedModel,
  type TrainModelOptions,
  type TrainProgress,
  trainModel,
} from './model/train-model.ts'
export type { LabelMetrics, TrainingMetrics } from './model/training-metrics.ts'
export {
  type TorchBaseModel,
  type TorchJobOptions,
  type TorchJobRow,
  writeTorchJob,
} from './torch/torch-job.ts'
export type { TorchJob, TorchJobMetrics } from './torch/torch-job-format.ts'
export { readTorchJobResult, type TorchJobResult } from './torch/torch-job-result.ts'
export {
  readTorchTraining,
  type TorchOrder,
  type TorchTrained,
  writeTorchTraining,
} from './torch/train-torch.ts'
