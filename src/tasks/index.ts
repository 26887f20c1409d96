/** Layer 6: what recurs in the traffic. */
export {
  answerKey,
  type ClosedSetClass,
  type ClosedSetSchema,
  classOf,
  closedSet,
} from './closed-set.ts'
export type { OutputKind } from './output-kind.ts'
