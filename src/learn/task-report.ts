/** One learned task's part of the report, from its outcome and its examples. */
import { type ModelPrice, type PriceTable, priceOf } from '../config/index.ts'
import type { Certificate } from '../evals/index.ts'
import type { TaskCount } from '../store/index.ts'
import { answerKey, type ClosedSetSchema, classOf, type TaskKey } from '../tasks/index.ts'
import { clip } from '../util/index.ts'
import type { TaskExamples } from './examples.ts'
import { leadAgainstItself } from './lead-against-itself.ts'
import type { Learned } from './learn-outcome.ts'
import type { TaskReport, TaskSummary } from './report.ts'
import { buildTaskReport, evaluatedInputs } from './report-build.ts'

export interface TaskReportParts {
  readonly count: TaskCount
  readonly read: TaskExamples
  readonly outcome: Learned<string, ClosedSetSchema>
  readonly certificate: Certificate
  /** Of single answers, warm. */
  readonly latenciesMs: readonly number[]
  readonly prices: PriceTable
}

const SYSTEM_EXCERPT = 80

/** The report of a candidate, before anybody promotes it. */
export function reportTask({
  count,
  read,
  outcome,
  certificate,
  latenciesMs,
  prices,
}: TaskReportParts): TaskReport {
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
    notServable: read.notServable,
    specialist: {
      hash: candidate.specialist.hash,
      name: candidate.name,
      tier: candidate.specialist.tier,
      state: 'candidate',
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
    price: priceOfTask(read, prices),
  })
}

/** Null where no served input came twice. */
function selfDisagreementOf({ certification, requests }: TaskReportParts['outcome']) {
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
