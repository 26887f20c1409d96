/** Layer 8: the HTTP gateway. */
export { createGateway, type Gateway } from './app.ts'
export {
  type House,
  type OpenUnderstudyOptions,
  openUnderstudy,
  type Understudy,
} from './compose.ts'
export {
  DEFAULT_LIMITS,
  type GatewayContext,
  type GatewayKey,
  type GatewayLimits,
  type GatewayWorkspace,
} from './context.ts'
export type { JobRunner, JobView } from './jobs.ts'
export type { Listening, ListenOptions } from './listen.ts'
export { type OpenLeadOptions, type OpenProgress, openLead } from './open-lead.ts'
