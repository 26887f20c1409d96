/** Layer 6: the life of a specialist. */
export { nextState, type RolloutEvent } from './states.ts'
