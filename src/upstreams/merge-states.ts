/** What several processes see of the same upstreams, as one: their requests added up, their health as with the worst. */
import type { BreakerState } from './breaker.ts'
import type { UpstreamState } from './types.ts'

/** The best first. */
const BREAKERS: readonly BreakerState[] = ['closed', 'half-open', 'open']

export function mergeStates(
  processes: readonly (readonly UpstreamState[])[],
): readonly UpstreamState[] {
  const merged = new Map<string, UpstreamState>()
  for (const state of processes.flat()) {
    const before = merged.get(state.name)
    merged.set(state.name, before === undefined ? state : both(before, state))
  }
  return [...merged.values()]
}

function both(a: UpstreamState, b: UpstreamState): UpstreamState {
  const isWorse = BREAKERS.indexOf(b.breaker) > BREAKERS.indexOf(a.breaker)
  return {
    name: a.name,
    isHealthy: a.isHealthy && b.isHealthy,
    breaker: isWorse ? b.breaker : a.breaker,
    activeCount: a.activeCount + b.activeCount,
    tryCount: a.tryCount + b.tryCount,
    failureCount: a.failureCount + b.failureCount,
  }
}
