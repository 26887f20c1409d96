export type { CandidateSummary } from './choose-candidate.ts'
export { createClosedSetLearner, loadClosedSetSpecialist } from './closed-set-learner.ts'
export {
  type CompressOutcome,
  type CompressParams,
  type CompressTools,
  compressFile,
} from './compress-file.ts'
export {
  type EncoderPartsOptions,
  encoderName,
  openEncoderParts,
} from './encoder-parts.ts'
export {
  type FileReport,
  type ImportOptions,
  type ImportProgress,
  type ImportReport,
  type ImportTarget,
  importFiles,
} from './import.ts'
export { type JobHostOptions, runInProcess } from './job-host.ts'
export type { JobEvent, JobOrder, JobSettings } from './job-messages.ts'
export {
  type ImportParams,
  parseCompressParams,
  parseImportParams,
  parseLearnParams,
  parseTrainParams,
} from './job-params.ts'
export { type Certified, promote } from './keep.ts'
export type { LearnParams } from './learn.ts'
export type {
  CertificationSet,
  LearnCounts,
  LearnExample,
  Learned,
  LearnOutcome,
  LearnTaskInput,
  NotLearnable,
  TableRow,
} from './learn-outcome.ts'
export { learnTask, TABLE_RISKS } from './learn-task.ts'
export type { Candidate, FitContext, Learner, TrainingExample } from './learner.ts'
export type { LookRow } from './look.ts'
export {
  type Agreement,
  type Confusion,
  type CostWindow,
  type Difference,
  type Estimate,
  type ImportSummary,
  type Latency,
  type LearnReport,
  type LeftAlone,
  REPORT_RISKS,
  type ReportSettings,
  type SpecialistSummary,
  type TaskCharts,
  type TaskCost,
  type TaskReport,
  type TaskSummary,
  type TokenPrice,
} from './report.ts'
export {
  buildReport,
  buildTaskReport,
  type EvaluatedInput,
  evaluatedInputs,
  type TaskEvidence,
} from './report-build.ts'
export { computedBy, type StoredOutcome, type StoredSpecialist } from './stored.ts'
export type { TrainParams, TrainReport } from './train-job.ts'
