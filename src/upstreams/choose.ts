/** Which target is next: by weight among those that may be sent to. */
import type { RouteTarget } from '../config/index.ts'
import type { Upstream } from './attempt.ts'

/** A target with its upstream. */
export interface Candidate {
  readonly target: RouteTarget
  readonly upstream: Upstream
}

/** True where an upstream can take a request now. */
export function isAvailable({ isHealthy, breaker, activeCount, config }: Upstream): boolean {
  if (!isHealthy || !breaker.isPassable) return false
  return config.maxConcurrency === null || activeCount < config.maxConcurrency
}

/**
 * The next of the available, `uniform` in [0, 1). Those that asked for rest come after the others, and weight 0 after any
 * other weight. Null where none is available.
 */
export function choose(
  candidates: readonly Candidate[],
  nowMs: number,
  uniform: number,
): Candidate | null {
  const available = candidates.filter(({ upstream }) => isAvailable(upstream))
  const rested = available.filter(({ upstream }) => upstream.restUntilMs <= nowMs)
  const willing = rested.length > 0 ? rested : available
  const weighted = willing.filter(({ target }) => target.weight > 0)
  const total = weighted.reduce((sum, { target }) => sum + target.weight, 0)
  let left = uniform * total
  for (const candidate of weighted) {
    left -= candidate.target.weight
    if (left < 0) return candidate
  }
  return weighted.at(-1) ?? willing[0] ?? null
}
