/** Who answers, as a pure function of the facts. Portable: a browser decides by the same code. */
import { serves } from '../evals/index.ts'

export type Mode = 'auto' | 'lead' | 'specialist'

/** Why a request went where it went: the code is recorded, the sentence is for people. */
export const REASONS = {
  'no-task': 'the request has no shape that is ever learned',
  'no-specialist': 'no specialist is live for this task',
  'lead-asked': 'the caller asked for the lead',
  'specialist-asked': 'the caller asked for the specialist, whatever its confidence',
  'confidence-sufficient': 'the confidence reached the certified threshold',
  'confidence-low': 'the confidence was below the certified threshold',
  abstained: 'the specialist abstained',
  'specialist-failed': 'the specialist failed',
  'shape-mismatch': 'the demanded shape has no place for the answer',
  'limit-broken': 'a limit in the request would have cut the answer short',
  'several-choices-asked': 'more than one choice was asked for',
  'logprobs-asked': 'log-probabilities were asked for',
  'non-text-content': 'the request holds more than text',
  'unforced-tools': 'tools are offered but none is forced',
  'unknown-parameter': 'a parameter may change the output in a way that no specialist knows',
  'several-turns': 'the conversation has more than one turn',
  'empty-input': 'the user message is empty',
  'pass-through': 'no specialist answers on this path',
  cached: 'an equal request was answered before, and its route keeps answers',
  'local-model': 'the request names a model of this machine',
} as const

export type Reason = keyof typeof REASONS

/** What a specialist said, as far as the decision needs it. */
export interface Proposal {
  readonly score: number
  readonly isAbstention: boolean
}

/** Serve the specialist's answer, or escalate, and why. `threshold` null: nothing is certified. */
export function decide(
  proposal: Proposal,
  threshold: number | null,
  mode: Mode,
): { readonly serve: boolean; readonly reason: Reason } {
  if (proposal.isAbstention) return { serve: false, reason: 'abstained' }
  if (threshold !== null && serves(proposal.score, threshold)) {
    return { serve: true, reason: 'confidence-sufficient' }
  }
  if (mode === 'specialist') return { serve: true, reason: 'specialist-asked' }
  return { serve: false, reason: 'confidence-low' }
}
