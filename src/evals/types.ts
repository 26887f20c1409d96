/** The certificate: a statistical promise as a value, or the reason why there is none. */

export type PromiseKind = 'selective' | 'marginal'

/** What a specialist is compared with. */
export type Reference = 'lead' | 'people' | 'judge'

/** One certification look: scores and losses of distinct inputs, in the same order. Knows no labels, no texts. */
export interface CertificationInput {
  /** Confidence in [0, 1] of each distinct input. */
  readonly scores: ArrayLike<number>
  /** Loss in [0, 1] of each distinct input. */
  readonly losses: ArrayLike<number>
  /** Thresholds, descending, fixed before the scores were computed. */
  readonly grid: readonly number[]
  readonly targetRisk: number
  /** 1 − δ for this statement, after what earlier looks have spent. */
  readonly delta: number
  readonly promise: PromiseKind
}

export interface Claim {
  readonly claimed: true
  readonly promise: PromiseKind
  readonly targetRisk: number
  readonly delta: number
  readonly threshold: number
  /** Distinct inputs looked at. */
  readonly n: number
  /** Of those, answered at the threshold. */
  readonly servedCount: number
  /** Sum of losses among the served (errors, for 0/1 losses). */
  readonly lossSum: number
  /** servedCount / n. */
  readonly coverage: number
  /** Upper confidence bound on the risk at the threshold, at the level of the test that accepted it. */
  readonly riskUpperBound: number
  readonly method: string
}

export interface NoClaim {
  readonly claimed: false
  readonly promise: PromiseKind
  readonly targetRisk: number
  readonly delta: number
  readonly n: number
  /** One sentence for people. */
  readonly because: string
  readonly code: 'too-few-examples' | 'risk-too-high' | 'score-uninformative' | 'no-examples'
  /** About how many more requests of this task until the target might be provable; null: not foreseeable. */
  readonly moreRequests: number | null
}

export type CertificationOutcome = Claim | NoClaim
