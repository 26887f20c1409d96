/** How many requests each tier answered since the start. */
import type { ServedBy } from '../ledger/index.ts'

export type Counted = ServedBy | 'failed'

export interface Tally {
  count(what: Counted): void
  readonly counts: Readonly<Record<Counted, number>>
}

/**
 * Counts from zero, each request once. `failed`: the lead could not be reached, or its answer did not come whole, because it
 * broke off or the caller left.
 */
export function createTally(): Tally {
  const counts: Record<Counted, number> = {
    lead: 0,
    cache: 0,
    slm: 0,
    encoder: 0,
    reflex: 0,
    failed: 0,
  }
  return {
    counts,
    count(what) {
      counts[what]++
    },
  }
}
