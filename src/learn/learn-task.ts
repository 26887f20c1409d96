/**
 * From the examples of one task to a specialist and its certificate, in memory: groups, split, fit, choice, grid, one look.
 * Generic over the kind of output; knows no ledger, no database, no files.
 */
import { assert } from '../errors.ts'
import {
  type CertificationOutcome,
  certify,
  certifyTable,
  type PromiseKind,
  thresholdGrid,
} from '../evals/index.ts'
import type { SplitAssignment } from '../ledger/index.ts'
import { sha256 } from '../platform/index.ts'
import { type Split, splitInputs } from '../tasks/index.ts'
import { createRng } from '../util/index.ts'
import type { Answer } from '../wire/index.ts'
import { type CandidateSummary, chooseCandidate } from './choose-candidate.ts'
import type { Candidate, Learner } from './learner.ts'
import { type LookRow, runLook } from './look.ts'
import { distinctExamples } from './training-part.ts'

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

/** Target risks of the report's columns. */
export const TABLE_RISKS: readonly number[] = [0.01, 0.02, 0.05, 0.1]

/**
 * Learns one task. Order matters for the promise: sides are drawn before labels are read, the candidate and the grid are
 * fixed on the training part, and only then is the certification part scored, once, by the specialist that will serve.
 * @throws cancelled when the signal fires
 */
export async function learnTask<Output, Schema>(
  input: LearnTaskInput<Output, Schema>,
): Promise<LearnOutcome<Output, Schema>> {
  const { examples, learner, signal, budgetMs, onProgress = () => {} } = input
  const rng = createRng(input.seed)
  onProgress('group inputs', 0, examples.length)
  const split = splitInputs({
    inputs: examples.map(example => example.input),
    existing: input.existing ?? [],
    droppedGroups: input.droppedGroups ?? [],
    ...(input.certificationShare === undefined
      ? {}
      : { certificationShare: input.certificationShare }),
    salt: String(input.seed),
  })
  onProgress('group inputs', examples.length, examples.length)
  signal.throwIfAborted()

  const sides = distinctExamples(examples, split)
  const counts: LearnCounts = {
    requestCount: examples.reduce((sum, example) => sum + (example.weight ?? 1), 0),
    distinctInputCount: new Set(split.ofInput.map(row => row.inputHash)).size,
    trainingInputCount: sides.training.length,
    certificationGroupCount: sides.certification.length,
  }
  const fail = (code: NotLearnable['code'], reason: string): NotLearnable => ({
    learnable: false,
    code,
    reason,
    split,
    counts,
  })
  if (examples.length === 0) return fail('no-examples', 'There are no examples.')
  if (sides.training.length === 0) {
    return fail('no-training-examples', 'Every distinct input fell to certification.')
  }
  const recognised = learner.kind.recognise(sides.training.map(example => example.answer))
  if ('reason' in recognised) return fail('output-kind', recognised.reason)
  const { schema } = recognised
  if (sides.certification.length === 0) {
    return fail('no-certification-examples', 'Every distinct input fell to training.')
  }

  const candidates = await learner.fit(
    schema,
    sides.training.map(({ id, input: text, answer }) => ({
      id,
      input: text,
      output: answer === null ? null : learner.kind.parse(schema, answer),
    })),
    { rng: rng.fork('fit'), signal, budgetMs, onProgress },
  )
  signal.throwIfAborted()
  if (candidates.length === 0) {
    return fail('no-candidate', 'No model could be fitted to these examples.')
  }
  const { chosen, summaries } = chooseCandidate(candidates, input.targetRisk)
  await Promise.all(
    candidates.filter(other => other !== chosen).map(other => other.specialist.close()),
  )
  const grid = thresholdGrid(chosen.outOfFoldScores)

  const look = await runLook({
    groups: sides.certification,
    kind: learner.kind,
    schema,
    specialist: chosen.specialist,
    rng: rng.fork('look'),
    signal,
    onProgress,
  })
  assert(look.rows.length === sides.certification.length, 'one row per certification group')
  const statement = {
    scores: look.rows.map(row => row.score),
    losses: look.rows.map(row => row.loss),
    grid,
    delta: input.delta,
  }
  const options = { requestsPerExample: counts.requestCount / look.rows.length }
  const targetRisks = input.targetRisks ?? TABLE_RISKS
  const selective = certifyTable({ ...statement, promise: 'selective' }, targetRisks, options)
  const marginal = certifyTable({ ...statement, promise: 'marginal' }, targetRisks, options)
  return {
    learnable: true,
    split,
    counts,
    schema,
    candidate: chosen,
    candidates: summaries,
    grid,
    set: describeSet(look.rows),
    certification: certify(
      { ...statement, targetRisk: input.targetRisk, promise: input.promise },
      options,
    ),
    table: targetRisks.map((targetRisk, i) => ({
      targetRisk,
      selective: selective[i] as CertificationOutcome,
      marginal: marginal[i] as CertificationOutcome,
    })),
    rows: look.rows,
    requests: look.requests,
  }
}

function describeSet(rows: readonly LookRow<unknown>[]): CertificationSet {
  const times = rows.flatMap(row => (row.time === null ? [] : [row.time])).sort()
  const groups = rows.map(row => row.group).sort()
  return {
    id: `set_${sha256(groups.join('\n')).slice(0, 26)}`,
    groupCount: groups.length,
    oldestTime: times[0] ?? null,
    newestTime: times.at(-1) ?? null,
  }
}
