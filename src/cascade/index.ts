/** Layer 6: who answers. */
export {
  type Cascade,
  createCascade,
  type LiveTask,
  type RouteInfo,
  type Verdict,
} from './cascade.ts'
export { decide, type Mode, type Proposal, REASONS, type Reason } from './decide.ts'
export { estimateUsage, fitUsage, type UsageModel, type UsageObservation } from './usage.ts'
