export type { CandidateSummary } from './choose-candidate.ts'
export { createClosedSetLearner, loadClosedSetSpecialist } from './closed-set-learner.ts'
export {
  type FileReport,
  type ImportOptions,
  type ImportProgress,
  type ImportReport,
  type ImportTarget,
  importFiles,
} from './import.ts'
export {
  type CertificationSet,
  type LearnCounts,
  type LearnExample,
  type Learned,
  type LearnOutcome,
  type LearnTaskInput,
  learnTask,
  type NotLearnable,
  TABLE_RISKS,
  type TableRow,
} from './learn-task.ts'
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
  type TaskEvidence,
} from './report-build.ts'
