/** The life of a specialist as a pure table: which event leads from which state to which. */
import type { SpecialistState } from '../ledger/index.ts'

/** What may happen to a specialist. `override` is an operator's word, straight to live from anywhere, for what is certified. */
export type RolloutEvent = 'shadow' | 'canary' | 'promote' | 'override' | 'roll-back' | 'replace'

const TRANSITIONS: Readonly<
  Record<SpecialistState, Partial<Record<RolloutEvent, SpecialistState>>>
> = {
  candidate: { shadow: 'shadow', override: 'live', replace: 'retired' },
  shadow: { canary: 'canary', override: 'live', 'roll-back': 'retired', replace: 'retired' },
  canary: { promote: 'live', override: 'live', 'roll-back': 'retired', replace: 'retired' },
  live: { override: 'live', 'roll-back': 'retired', replace: 'retired' },
  retired: { override: 'live' },
}

/** The next state, or the reason why the event has no place there. */
export function nextState(
  state: SpecialistState,
  event: RolloutEvent,
  { isCertified }: { isCertified: boolean },
): { readonly to: SpecialistState } | { readonly to: null; readonly reason: string } {
  const to = TRANSITIONS[state][event]
  if (to === undefined) return { to: null, reason: `a ${state} specialist cannot ${event}` }
  if (to === 'live' && !isCertified) return { to: null, reason: 'only what is certified goes live' }
  return { to }
}
