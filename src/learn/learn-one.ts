/** One task of a learning run: learn, record, promote, report. */

import { fitUsage, type UsageModel } from '../cascade/index.ts'
import { type ModelPrice, type PriceTable, priceOf } from '../config/index.ts'
import { buildCertificate, type Certificate } from '../evals/index.ts'
import type {
  CertificationPayload,
  SpecialistPayload,
  SplitPayload,
  TransitionPayload,
} from '../ledger/index.ts'
import type { ClassifierParts } from '../models/index.ts'
import { kernelFamily } from '../platform/index.ts'
import { nextState } from '../rollout/index.ts'
import { ONNXRUNTIME_VERSION } from '../runtimes/index.ts'
import { deltaOfLook } from '../stats/index.ts'
import type { TaskCount } from '../store/index.ts'
import { answerKey, type ClosedSetSchema, classOf, type TaskKey } from '../tasks/index.ts'
import { clip, newId } from '../util/index.ts'
import type { LedgerEntry } from '../workspace/index.ts'
import { createClosedSetLearner } from './closed-set-learner.ts'
import type { TaskExamples } from './examples.ts'
import { leadAgainstItself } from './lead-against-itself.ts'
import type { LearnContext, LearnParams } from './learn.ts'
import type { Learned } from './learn-outcome.ts'
import { learnTask } from './learn-task.ts'
import type { SpecialistSummary, TaskReport, TaskSummary } from './report.ts'
import { buildTaskReport, evaluatedInputs } from './report-build.ts'

/** What a `specialist` record holds, so that the gateway can open and serve it. */
export interface StoredSpecialist {
  readonly kind: 'closed-set'
  /** Its hash is the specialist's. */
  readonly manifest: unknown
  readonly schema: ClosedSetSchema
  readonly usage: UsageModel
  /** What the lead calls itself in its answers; null where the labels are people's. */
  readonly reportedModel: string | null
  /** What computes the scores; other values void the certificate. */
  readonly runtime: string
  readonly kernelFamily: string
}

interface OneTask {
  readonly params: LearnParams
  readonly context: LearnContext
  readonly parts: ClassifierParts
  readonly budgetMs: number
}

type ClosedSetLearned = Learned<string, ClosedSetSchema>

const LATENCY_WARM_UP = 5
const LATENCY_SAMPLES = 60
const SYSTEM_EXCERPT = 80

/** Learns one task and records what came of it. */
export async function learnOne(
  count: TaskCount,
  read: TaskExamples,
  one: OneTask,
): Promise<{ report: TaskReport } | { because: string }> {
  const { params, context, parts } = one
  const { workspace, signal, onEvent } = context
  const { task } = count
  const look = await nextLook(count, read, context)
  const delta = deltaOfLook(1 - params.confidenceLevel, look)
  const outcome = await learnTask({
    examples: read.examples,
    learner: createClosedSetLearner(parts),
    existing: await workspace.store.assignments(task.id),
    targetRisk: params.targetRisk,
    delta,
    promise: params.promise,
    seed: params.seed,
    budgetMs: one.budgetMs,
    signal,
    onProgress: (stage, done, total) => onEvent({ stage, done, total, note: task.name }),
  })
  if (!outcome.learnable) return { because: outcome.reason }
  try {
    const certificate = certificateOf(outcome, { count, read, look, one })
    const state = await record(outcome, certificate, { count, read, one })
    const latenciesMs = await measureLatency(outcome, context)
    return { report: reportOf(outcome, certificate, { count, read, one, state, latenciesMs }) }
  } finally {
    await outcome.candidate.specialist.close()
  }
}

/** A look at examples that are all newer than the last look is a first look; any other spends more of δ (design §7). */
async function nextLook(
  { task }: TaskCount,
  { examples }: TaskExamples,
  { workspace }: LearnContext,
): Promise<number> {
  const earlier = await workspace.store.certificates(task.id)
  if (earlier.length === 0) return 1
  const newest = earlier
    .map(({ newestTime }) => newestTime ?? '9')
    .sort()
    .at(-1) as string
  const areAllNewer = examples.every(({ time }) => time > newest)
  return areAllNewer ? 1 : 1 + Math.max(...earlier.map(({ look }) => look))
}

interface Made {
  readonly count: TaskCount
  readonly read: TaskExamples
  readonly one: OneTask
}

function certificateOf(
  outcome: ClosedSetLearned,
  { count, read, look, one }: Made & { look: number },
): Certificate {
  const { specialist } = outcome.candidate
  const distinct = (values: readonly (string | null)[]): string[] =>
    [...new Set(values)].filter(value => value !== null).sort()
  return buildCertificate({
    id: newId('cert'),
    time: new Date(one.context.clock.now()).toISOString(),
    subject: {
      task: count.task.id,
      specialist: specialist.hash,
      leadRequested: distinct(read.examples.map(({ requestedModel }) => requestedModel)),
      leadReported: distinct(read.examples.map(({ reportedModel }) => reportedModel)),
      reference: count.task.isDeclared ? 'people' : 'lead',
      ...computedBy(specialist.tier),
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

/** What computes a tier's scores on this machine. The reflex is arithmetic of the language itself: the same everywhere. */
export function computedBy(tier: string): { runtime: string; kernelFamily: string } {
  return tier === 'reflex'
    ? { runtime: 'typescript', kernelFamily: 'any' }
    : { runtime: `onnxruntime-node ${ONNXRUNTIME_VERSION}`, kernelFamily: kernelFamily() }
}

/** Blobs first, then one batch of records: a crash between leaves bytes that nobody names. */
async function record(
  outcome: ClosedSetLearned,
  certificate: Certificate,
  { count, read, one }: Made,
): Promise<SpecialistSummary['state']> {
  const { workspace } = one.context
  const { candidate, split, set, schema } = outcome
  const { specialist } = candidate
  for (const blob of candidate.blobs.values()) await workspace.blobs.put(blob)
  const stored: StoredSpecialist = {
    kind: 'closed-set',
    manifest: candidate.manifest,
    schema,
    usage: usageModel(read),
    reportedModel: count.task.isDeclared ? null : reportedModelOf(read),
    ...computedBy(specialist.tier),
  }
  const records: LedgerEntry[] = [
    {
      kind: 'split',
      payload: {
        task: count.task.id,
        assignments: split.added,
        droppedGroups: split.droppedGroups,
      } satisfies SplitPayload,
    },
    {
      kind: 'specialist',
      payload: {
        hash: specialist.hash,
        task: count.task.id,
        taskName: count.task.name,
        tier: specialist.tier,
        manifest: stored,
      } satisfies SpecialistPayload,
    },
    {
      kind: 'certification',
      payload: {
        id: certificate.id,
        task: count.task.id,
        specialist: specialist.hash,
        certificationSet: set.id,
        look: certificate.set.look,
        newestTime: set.newestTime,
        outcome: { certificate, table: outcome.table },
      } satisfies CertificationPayload,
    },
  ]
  const transitions = one.params.promote
    ? await promotion(outcome, certificate, { count, one })
    : []
  await workspace.appendAndProject([
    ...records,
    ...transitions.map(payload => ({ kind: 'transition', payload }) as const),
  ])
  return transitions.some(({ to }) => to === 'live') ? 'live' : 'candidate'
}

/** The operator's override: a certified candidate straight to live, in place of whoever was. */
async function promotion(
  outcome: ClosedSetLearned,
  certificate: Certificate,
  { count, one }: Pick<Made, 'count' | 'one'>,
): Promise<TransitionPayload[]> {
  const { certification, candidate } = outcome
  const next = nextState('candidate', 'override', { isCertified: certification.claimed })
  if (next.to === null || !certification.claimed) return []
  const live = (await one.context.workspace.store.live()).filter(
    ({ task }) => task === count.task.id,
  )
  return [
    ...live
      .filter(({ specialist }) => specialist !== candidate.specialist.hash)
      .map(
        ({ specialist, certificate: old, threshold }): TransitionPayload => ({
          task: count.task.id,
          specialist,
          from: 'live',
          to: 'retired',
          by: 'operator',
          certificate: old,
          threshold,
        }),
      ),
    {
      task: count.task.id,
      specialist: candidate.specialist.hash,
      from: 'candidate',
      to: next.to,
      by: 'operator',
      certificate: certificate.id,
      threshold: certification.threshold,
    },
  ]
}

/** The newest name, since leads are renewed; the requested one where responses name none. */
function reportedModelOf({ examples }: TaskExamples): string | null {
  const newest = examples.at(-1)
  return newest?.reportedModel ?? newest?.requestedModel ?? null
}

function usageModel({ examples }: TaskExamples): UsageModel {
  return fitUsage(
    examples.flatMap(({ input, answer, usage }) =>
      answer === null || usage === null
        ? []
        : [{ characterCount: input.length, output: answerKey(answer), usage }],
    ),
  )
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

function reportOf(
  outcome: ClosedSetLearned,
  certificate: Certificate,
  {
    count,
    read,
    one,
    state,
    latenciesMs,
  }: Made & { state: SpecialistSummary['state']; latenciesMs: readonly number[] },
): TaskReport {
  const { candidate, candidates, schema, table } = outcome
  const label = (key: string): string => classOf(schema, key)?.label ?? key
  const labelOf = (answer: TaskExamples['examples'][number]['answer']): string | null => {
    if (answer === null) return null
    return classOf(schema, answerKey(answer))?.label ?? null
  }
  return buildTaskReport({
    id: count.task.id,
    name: count.task.name,
    key: summary(count, read, schema),
    requestCount: outcome.counts.requestCount,
    distinctInputCount: outcome.counts.distinctInputCount,
    withoutAnswer: read.withoutAnswer,
    specialist: {
      hash: candidate.specialist.hash,
      name: candidate.name,
      tier: candidate.specialist.tier,
      state,
      byteCount: [...candidate.blobs.values()].reduce((sum, blob) => sum + blob.byteLength, 0),
      trainingCount: outcome.counts.trainingInputCount,
      candidates: candidates.map(({ name, estimatedCoverage }) => ({ name, estimatedCoverage })),
    },
    goal: outcome.certification,
    certificateId: certificate.id,
    look: { number: certificate.set.look, delta: certificate.deltaSpent },
    selective: table.map(row => row.selective),
    marginal: table.map(row => row.marginal),
    leadAnswers: read.examples.map(({ answer }) => labelOf(answer)),
    evaluated: evaluatedInputs(outcome.rows, label),
    requests: outcome.requests,
    leadSelfDisagreement: selfDisagreementOf(outcome),
    times: read.examples.map(({ time }) => time),
    leadLatenciesMs: read.examples.flatMap(({ latencyMs }) =>
      latencyMs === null ? [] : [latencyMs],
    ),
    specialistLatenciesMs: latenciesMs,
    usages: read.examples.map(({ usage }) => usage),
    price: priceOfTask(read, one.context.prices),
  })
}

/** Null where no served input came twice. */
function selfDisagreementOf({ certification, requests }: ClosedSetLearned) {
  const { inputCount, rate } = leadAgainstItself(
    requests,
    certification.claimed ? certification.threshold : 0,
  )
  return inputCount === 0 ? null : { inputCount, rate }
}

function summary(
  { task }: TaskCount,
  { examples }: TaskExamples,
  schema: ClosedSetSchema,
): TaskSummary {
  const key = task.key as TaskKey
  const keyed = 'declared' in key ? null : key
  return {
    app: keyed?.app ?? null,
    model: keyed?.model ?? null,
    reportedModels: [...new Set(examples.map(({ reportedModel }) => reportedModel))].filter(
      name => name !== null,
    ),
    systemExcerpt: clip(keyed?.systemText ?? '', SYSTEM_EXCERPT),
    coat: coatOf(schema),
    isDeclared: task.isDeclared,
  }
}

function coatOf({ classes }: ClosedSetSchema): string {
  const [first] = classes
  if (first?.answer.kind === 'tool') return `tool ${first.answer.name}`
  return first !== undefined && first.label !== first.answer.text.trim()
    ? 'JSON field'
    : 'label text'
}

/** Price of the model that the lead reports, else of the one that was asked for. */
function priceOfTask({ examples }: TaskExamples, prices: PriceTable): ModelPrice | null {
  const newest = examples.at(-1)
  if (newest === undefined) return null
  const reported = newest.reportedModel === null ? null : priceOf(newest.reportedModel, prices)
  return reported ?? priceOf(newest.requestedModel, prices)
}
