/** One task of a learning run: what was learned before on the same basis, else learn, keep, report; then promote. */
import { buildCertificate, type Certificate } from '../evals/index.ts'
import type { ClassifierParts } from '../models/index.ts'
import { sha256 } from '../platform/index.ts'
import { deltaOfLook } from '../stats/index.ts'
import type { CertificateRow, TaskCount } from '../store/index.ts'
import type { ClosedSetSchema } from '../tasks/index.ts'
import { canonicalJson, newId } from '../util/index.ts'
import { LABELLED_MODEL } from '../wire/index.ts'
import { createClosedSetLearner } from './closed-set-learner.ts'
import type { TaskExamples } from './examples.ts'
import { keepLearned, keepSplit, promote } from './keep.ts'
import type { LearnContext, LearnParams } from './learn.ts'
import type { Learned } from './learn-outcome.ts'
import { learnTask } from './learn-task.ts'
import type { TaskReport } from './report.ts'
import { computedBy, type StoredOutcome } from './stored.ts'
import { reportTask } from './task-report.ts'

interface OneTask {
  readonly params: LearnParams
  readonly context: LearnContext
  readonly parts: ClassifierParts
  readonly budgetMs: number
}

type ClosedSetLearned = Learned<string, ClosedSetSchema>

const LATENCY_WARM_UP = 5
const LATENCY_SAMPLES = 60

/** Learns one task, or finds what an earlier run learned on the same basis, and promotes it where that was asked for. */
export async function learnOne(
  count: TaskCount,
  all: TaskExamples,
  one: OneTask,
): Promise<{ report: TaskReport } | { because: string }> {
  const { params, context } = one
  const { workspace } = context
  const read = ofOneReference(all)
  const [reason] = Object.keys(read.notServable)
  if (read.examples.length === 0) {
    return {
      because:
        reason === undefined
          ? 'there are no lead answers to learn from'
          : `none of its requests may be answered by a specialist (${reason})`,
    }
  }
  const earlier = await workspace.store.certificates(count.task.id)
  const basis = basisOf(read, one)
  const same = earlier.findLast(row => (row.outcome as StoredOutcome).basis === basis)
  const learned =
    same === undefined
      ? await learnAnew(count, read, { ...one, earlier, basis })
      : await recall(same, one)
  if ('because' in learned) return learned
  const { certificate, report } = learned
  const isPromoted =
    params.promote &&
    (await promote(workspace, {
      task: count.task.id,
      specialist: certificate.specialist,
      certificate: certificate.id,
      outcome: certificate.outcome,
    }))
  const state = isPromoted
    ? 'live'
    : ((await workspace.store.specialist(certificate.specialist))?.state ?? 'candidate')
  return { report: { ...report, specialist: report.specialist && { ...report.specialist, state } } }
}

interface LearnedOnce {
  readonly certificate: Certificate
  readonly report: TaskReport
}

/** Labels that people gave are not mixed with a lead's answers: where both are there, the labels count. */
function ofOneReference(read: TaskExamples): TaskExamples {
  const labelled = read.examples.filter(({ requestedModel }) => requestedModel === LABELLED_MODEL)
  if (labelled.length === 0 || labelled.length === read.examples.length) return read
  const besideLabels = read.examples.length - labelled.length
  return {
    ...read,
    examples: labelled,
    notServable: { ...read.notServable, 'lead answers beside labels of people': besideLabels },
  }
}

/** What a result rests on: equal bases would only look at the same examples again, and pay for it. */
function basisOf({ examples }: TaskExamples, { params, parts }: OneTask): string {
  const { targetRisk, confidenceLevel, promise, seed, budgetMs } = params
  const encoder = parts.encoder?.weightsHash ?? null
  const ids = examples.map(({ id }) => id)
  return sha256(
    canonicalJson({
      ids,
      targetRisk,
      confidenceLevel,
      promise,
      seed,
      budgetMs,
      encoder,
      ...computedBy('encoder', parts.runtime?.provider),
    }),
  )
}

async function recall(row: CertificateRow, { context }: OneTask): Promise<LearnedOnce> {
  const { certificate, reportBlob } = row.outcome as StoredOutcome
  const bytes = await context.workspace.blobs.get(reportBlob)
  return { certificate, report: JSON.parse(new TextDecoder().decode(bytes)) as TaskReport }
}

async function learnAnew(
  count: TaskCount,
  read: TaskExamples,
  one: OneTask & { readonly earlier: readonly CertificateRow[]; readonly basis: string },
): Promise<LearnedOnce | { because: string }> {
  const { params, context, parts, basis } = one
  const { workspace, signal, onEvent } = context
  const { task } = count
  const look = nextLook(read, one.earlier)
  const outcome = await learnTask({
    examples: read.examples,
    learner: createClosedSetLearner(parts),
    existing: await workspace.store.assignments(task.id),
    targetRisk: params.targetRisk,
    delta: deltaOfLook(1 - params.confidenceLevel, look),
    promise: params.promise,
    seed: params.seed,
    budgetMs: one.budgetMs,
    signal,
    onProgress: (stage, done, total) => onEvent({ stage, done, total, note: task.name }),
  })
  if (!outcome.learnable) {
    await keepSplit(workspace, task.id, outcome.split)
    return { because: outcome.reason }
  }
  try {
    const certificate = certificateOf(outcome, read, { task: task.id, look, one })
    const latenciesMs = await measureLatency(outcome, context)
    const parts = { count, read, outcome, certificate }
    const report = reportTask({ ...parts, latenciesMs, prices: context.prices })
    await keepLearned(workspace, parts, { basis, report })
    return { certificate, report }
  } finally {
    await outcome.candidate.specialist.close()
  }
}

/** A look at examples that are all newer than the last look is a first look; any other spends more of δ (design §7). */
function nextLook({ examples }: TaskExamples, earlier: readonly CertificateRow[]): number {
  const newest = earlier
    .map(({ newestTime }) => newestTime ?? '9')
    .sort()
    .at(-1)
  if (newest === undefined) return 1
  const areAllNewer = examples.every(({ time }) => time > newest)
  return areAllNewer ? 1 : 1 + Math.max(...earlier.map(({ look }) => look))
}

function certificateOf(
  outcome: ClosedSetLearned,
  { examples }: TaskExamples,
  { task, look, one }: { task: string; look: number; one: OneTask },
): Certificate {
  const { specialist } = outcome.candidate
  const distinct = (values: readonly (string | null)[]): string[] =>
    [...new Set(values)].filter(value => value !== null).sort()
  return buildCertificate({
    id: newId('cert'),
    time: new Date(one.context.clock.now()).toISOString(),
    subject: {
      task,
      specialist: specialist.hash,
      leadRequested: distinct(examples.map(({ requestedModel }) => requestedModel)),
      leadReported: distinct(examples.map(({ reportedModel }) => reportedModel)),
      reference: examples[0]?.requestedModel === LABELLED_MODEL ? 'people' : 'lead',
      ...computedBy(specialist.tier, one.parts.runtime?.provider),
    },
    set: {
      id: outcome.set.id,
      look,
      delta: 1 - one.params.confidenceLevel,
      oldestTime: outcome.set.oldestTime,
      newestTime: outcome.set.newestTime,
    },
    outcome: outcome.certification,
  })
}

async function measureLatency(
  { candidate, rows }: ClosedSetLearned,
  { clock, signal }: LearnContext,
): Promise<number[]> {
  const samples: number[] = []
  const count = Math.min(rows.length, LATENCY_WARM_UP + LATENCY_SAMPLES)
  for (let i = 0; i < count; i++) {
    const startMs = clock.monotonic()
    await candidate.specialist.answer(rows[i]?.input ?? '', signal)
    if (i >= LATENCY_WARM_UP) samples.push(clock.monotonic() - startMs)
  }
  return samples
}
