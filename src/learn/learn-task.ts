/**
 * From the examples of one task to a specialist and its certificate, in memory: groups, split, fit, choice, grid, one look.
 * Generic over the kind of output; knows no ledger, no database, no files.
 */
import { assert, UnderstudyError } from '../errors.ts'
import { type CertificationOutcome, certify, certifyTable, thresholdGrid } from '../evals/index.ts'
import { sha256 } from '../platform/index.ts'
import { type Split, splitInputs } from '../tasks/index.ts'
import { createRng, type Rng } from '../util/index.ts'
import { type CandidateSummary, chooseCandidate } from './choose-candidate.ts'
import type {
  CertificationSet,
  LearnCounts,
  Learned,
  LearnOutcome,
  LearnTaskInput,
  NotLearnable,
} from './learn-outcome.ts'
import type { Candidate } from './learner.ts'
import { type Look, type LookRow, runLook } from './look.ts'
import { type Parts, partExamples } from './training-part.ts'

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
  const { examples, learner } = input
  const rng = createRng(input.seed)
  const split = divide(input)
  const parts = partExamples(examples, split)
  const counts = count(input, split, parts)
  const obstacle = obstacleIn(counts)
  if (obstacle !== null) return { learnable: false, ...obstacle, split, counts }
  const recognised = learner.kind.recognise(parts.training.map(example => example.answer))
  if ('reason' in recognised) {
    return { learnable: false, code: 'output-kind', reason: recognised.reason, split, counts }
  }
  const { schema } = recognised
  const fitted = await fitAndChoose(input, schema, parts, rng.fork('fit'))
  if (fitted === null) {
    const reason = 'No model could be fitted to these examples.'
    return { learnable: false, code: 'no-candidate', reason, split, counts }
  }
  const { chosen, summaries } = fitted
  try {
    const grid = thresholdGrid(chosen.outOfFoldScores)
    const look = await runLook({
      groups: parts.certification,
      kind: learner.kind,
      schema,
      specialist: chosen.specialist,
      rng: rng.fork('look'),
      signal: input.signal,
      onProgress: input.onProgress ?? (() => {}),
    })
    return {
      learnable: true,
      split,
      counts,
      schema,
      candidate: chosen,
      candidates: summaries,
      grid,
      set: describeSet(look.rows),
      ...state(input, { grid, look, counts }),
      rows: look.rows,
      requests: look.requests,
    }
  } catch (error) {
    await chosen.specialist.close()
    throw error
  }
}

/** What does not depend on the kind of output. */
type AnyInput = Omit<LearnTaskInput<unknown, unknown>, 'learner'>

function divide({
  examples,
  existing = [],
  droppedGroups = [],
  certificationShare,
  seed,
  signal,
  onProgress,
}: AnyInput): Split {
  stopIfCancelled(signal)
  onProgress?.('group inputs', 0, examples.length)
  const split = splitInputs({
    inputs: examples.map(example => example.input),
    existing,
    droppedGroups,
    ...(certificationShare === undefined ? {} : { certificationShare }),
    salt: String(seed),
  })
  onProgress?.('group inputs', examples.length, examples.length)
  stopIfCancelled(signal)
  return split
}

function count({ examples }: AnyInput, split: Split, parts: Parts): LearnCounts {
  return {
    requestCount: examples.reduce((sum, example) => sum + (example.weight ?? 1), 0),
    distinctInputCount: new Set(split.ofInput.map(row => row.inputHash)).size,
    trainingInputCount: parts.training.length,
    certificationGroupCount: parts.certification.length,
  }
}

function obstacleIn(counts: LearnCounts): Pick<NotLearnable, 'code' | 'reason'> | null {
  if (counts.distinctInputCount === 0) {
    return { code: 'no-examples', reason: 'There are no examples.' }
  }
  if (counts.trainingInputCount === 0) {
    return { code: 'no-training-examples', reason: 'Every distinct input fell to certification.' }
  }
  if (counts.certificationGroupCount === 0) {
    return { code: 'no-certification-examples', reason: 'Every distinct input fell to training.' }
  }
  return null
}

/** Fits on the training part alone and keeps the candidate that does best out of fold; null where none was fitted. */
async function fitAndChoose<Output, Schema>(
  { learner, signal, budgetMs, onProgress = () => {}, targetRisk }: LearnTaskInput<Output, Schema>,
  schema: Schema,
  parts: Parts,
  rng: Rng,
): Promise<{ chosen: Candidate<Output>; summaries: CandidateSummary[] } | null> {
  const training = parts.training.map(({ id, input, group, answer }) => ({
    id,
    input,
    group,
    output: answer === null ? null : learner.kind.parse(schema, answer),
  }))
  const candidates = await learner.fit(schema, training, {
    rng,
    signal,
    budgetMs,
    targetRisk,
    onProgress,
  })
  if (candidates.length === 0) return null
  const result = chooseCandidate(candidates, targetRisk)
  const others = candidates.filter(candidate => candidate !== result.chosen)
  await Promise.all(others.map(other => other.specialist.close()))
  return result
}

/** The statement that may go live, and the table beside it, all from the one look. */
function state<Output, Schema>(
  { targetRisk, targetRisks = TABLE_RISKS, delta, promise }: LearnTaskInput<Output, Schema>,
  found: { grid: readonly number[]; look: Look<Output>; counts: LearnCounts },
): Pick<Learned<Output, Schema>, 'certification' | 'table'> {
  const { rows } = found.look
  assert(rows.length === found.counts.certificationGroupCount, 'one row per certification group')
  const base = {
    scores: rows.map(row => row.score),
    losses: rows.map(row => row.loss),
    grid: found.grid,
    delta,
  }
  const options = { requestsPerExample: found.counts.requestCount / rows.length }
  const selective = certifyTable({ ...base, promise: 'selective' }, targetRisks, options)
  const marginal = certifyTable({ ...base, promise: 'marginal' }, targetRisks, options)
  return {
    certification: certify({ ...base, targetRisk, promise }, options),
    table: targetRisks.map((risk, i) => ({
      targetRisk: risk,
      selective: selective[i] as CertificationOutcome,
      marginal: marginal[i] as CertificationOutcome,
    })),
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

function stopIfCancelled(signal: AbortSignal): void {
  if (!signal.aborted) return
  throw new UnderstudyError('cancelled', 'Learning was cancelled.', { cause: signal.reason })
}
