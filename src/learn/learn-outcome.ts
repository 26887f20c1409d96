/** What `learnTask` is given and what it returns. Types only. */
import type { CertificationOutcome, PromiseKind } from '../evals/index.ts'
import type { SplitAssignment } from '../ledger/index.ts'
import type { Split } from '../tasks/index.ts'
import type { Answer } from '../wire/index.ts'
import type { CandidateSummary } from './choose-candidate.ts'
import type { Candidate, Learner } from './learner.ts'
import type { LookRow } from './look.ts'

/** One request of the task with what the lead answered. */
export interface LearnExample {
  readonly id: string
  readonly input: string
  /** Null where the lead's response holds no answer (refused, truncated): counts as "differs". */
  readonly answer: Answer | null
  /** ISO 8601; null where unknown. */
  readonly time: string | null
  /** How many requests this stands for. */
  readonly weight?: number
}

export interface LearnTaskInput<Output, Schema> {
  /** In order of arrival. */
  readonly examples: readonly LearnExample[]
  readonly learner: Learner<Output, Schema>
  /** Assignments and drops of earlier runs; both are kept. */
  readonly existing?: readonly SplitAssignment[]
  readonly droppedGroups?: readonly string[]
  /** The risk that goes live, fixed before the look. */
  readonly targetRisk: number
  /** Target risks of the table. */
  readonly targetRisks?: readonly number[]
  /** δ of every statement of this look, after what earlier looks spent. */
  readonly delta: number
  readonly promise: PromiseKind
  readonly seed: number | string
  readonly certificationShare?: number
  readonly budgetMs: number
  readonly signal: AbortSignal
  readonly onProgress?: (stage: string, doneCount: number, totalCount: number) => void
}

/** One line of the table: both promises at one target risk. */
export interface TableRow {
  readonly targetRisk: number
  readonly selective: CertificationOutcome
  readonly marginal: CertificationOutcome
}

export interface CertificationSet {
  /** Hash of the input groups looked at; equal for a second look at the same groups. */
  readonly id: string
  readonly groupCount: number
  readonly oldestTime: string | null
  readonly newestTime: string | null
}

/** What every outcome says about the examples, learnable or not. */
export interface LearnCounts {
  /** Requests, weights included. */
  readonly requestCount: number
  readonly distinctInputCount: number
  readonly trainingInputCount: number
  readonly certificationGroupCount: number
}

export interface NotLearnable {
  readonly learnable: false
  readonly code:
    | 'no-examples'
    | 'no-training-examples'
    | 'no-certification-examples'
    | 'output-kind'
    | 'no-candidate'
  /** One sentence for people. */
  readonly reason: string
  readonly split: Split
  readonly counts: LearnCounts
}

export interface Learned<Output, Schema> {
  readonly learnable: true
  readonly split: Split
  readonly counts: LearnCounts
  readonly schema: Schema
  /** The one that was certified; its bytes are the bytes to serve. The caller closes its specialist. */
  readonly candidate: Candidate<Output>
  readonly candidates: readonly CandidateSummary[]
  readonly grid: readonly number[]
  readonly set: CertificationSet
  /** The statement that may go live. */
  readonly certification: CertificationOutcome
  readonly table: readonly TableRow[]
  /** One row per certification group, then what else the report needs. */
  readonly rows: readonly LookRow<Output>[]
  /** Every request of the certification groups, repeats included, for the traffic-weighted estimate. */
  readonly requests: readonly LookRow<Output>[]
}

export type LearnOutcome<Output, Schema> = NotLearnable | Learned<Output, Schema>
