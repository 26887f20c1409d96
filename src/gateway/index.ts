/** Layer 8: the HTTP gateway. */
export { createGateway, type Gateway } from './app.ts'
export {
  DEFAULT_LIMITS,
  type GatewayContext,
  type GatewayKey,
  type GatewayLimits,
} from './context.ts'
export type { JobRunner, JobView } from './jobs.ts'
export type { Listening, ListenOptions } from './listen.ts'
