/** Layer 4: leads by name, and the routes that lead to them. */
export { mergeStates } from './merge-states.ts'
export type { RouteView, UpstreamState, Upstreams } from './types.ts'
export { type OpenUpstreams, openUpstreams, type UpstreamsOptions } from './upstreams.ts'
