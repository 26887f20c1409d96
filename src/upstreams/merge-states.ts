/** What several processes see of the same upstreams, as one: their requests added up, their health as with the worst. */
import { mergeBy } from '../util/index.ts'
import type { BreakerState } from './breaker.ts'
import type { UpstreamState } from './types.ts'

/** The best first. */
const BREAKERS: readonly BreakerState[] = ['closed', 'half-open', 'open']

export function mergeStates(
  processes: readonly (readonly UpstreamState[])[],
): readonly UpstreamState[] {
  return mergeBy(processes.flat(), ({ name }) => name, both)
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
