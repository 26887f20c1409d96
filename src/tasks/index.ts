/** Layer 6: what recurs in the traffic. */
export {
  answerKey,
  type ClosedSetClass,
  type ClosedSetSchema,
  classOf,
  closedSet,
} from './closed-set.ts'
export { dress } from './coat.ts'
export { describeTrace } from './describe.ts'
export { linkNearDuplicates, SAME_GROUP_SIMILARITY } from './groups.ts'
export {
  candidateTasks,
  declaredTask,
  inputHash,
  keyedTask,
  slotOf,
  type TaskIdentity,
  type TaskKey,
  type TaskReference,
} from './key.ts'
export type { OutputKind } from './output-kind.ts'
export { CERTIFICATION_SHARE, type Split, type SplitOptions, splitInputs } from './split.ts'
