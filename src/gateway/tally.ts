/** How many requests each tier answered since the start. */
import type { ServedBy } from '../ledger/index.ts'

export type Counted = ServedBy | 'failed'

export interface Tally {
  count(what: Counted): void
  readonly counts: Readonly<Record<Counted, number>>
}

/** Counts from zero. `failed`: the lead could not be reached, or broke off before its answer was whole. */
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
