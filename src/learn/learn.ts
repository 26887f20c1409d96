/** One learning run: import, every recurring task from examples to certificate, records, report. Knows no HTTP. */

import type { PriceTable } from '../config/index.ts'
import { isUnderstudyError } from '../errors.ts'
import type { PromiseKind } from '../evals/index.ts'
import type { ClassifierParts } from '../models/index.ts'
import type { TaskCount } from '../store/index.ts'
import type { Clock } from '../util/index.ts'
import type { LogFormat } from '../wire/index.ts'
import type { Workspace } from '../workspace/index.ts'
import { loadExamples, type TaskExamples } from './examples.ts'
import { type ImportReport, importFiles } from './import.ts'
import type { JobEvent } from './job-messages.ts'
import { learnOne } from './learn-one.ts'
import type { ImportSummary, LearnReport, LeftAlone, TaskReport } from './report.ts'
import { buildReport } from './report-build.ts'

/** What a learning run is asked to do; plain JSON. */
export interface LearnParams {
  /** Absolute paths, imported first. */
  readonly files: readonly string[]
  readonly format: LogFormat | null
  readonly task: string | null
  readonly app: string | null
  readonly targetRisk: number
  /** 1 − δ. */
  readonly confidenceLevel: number
  readonly promise: PromiseKind
  /** For all fitting together. */
  readonly budgetMs: number
  readonly seed: number
  /** Put what is certified straight to live. */
  readonly promote: boolean
}

export interface LearnContext {
  readonly workspace: Workspace
  /** Makes the encoder and its runtime ready, on first need; null parts where there are none, with a notice why. */
  readonly openParts: () => Promise<{ parts: ClassifierParts; notice: string | null }>
  readonly prices: PriceTable
  readonly clock: Clock
  readonly signal: AbortSignal
  readonly onEvent: (event: JobEvent) => void
}

/** Fewer requests than this are not worth a look: nothing could be certified. */
const MIN_REQUESTS = 30

/**
 * Runs it.
 * @throws what importing throws; cancelled
 */
export async function learn(params: LearnParams, context: LearnContext): Promise<LearnReport> {
  const { workspace, clock } = context
  const imported = params.files.length === 0 ? null : await importAll(params, context)
  const tasks = await workspace.store.tasks()
  const large = tasks.filter(({ traceCount }) => traceCount >= MIN_REQUESTS)
  const notices = [
    'Examples were not redacted: personal data in the traffic is in the training data.',
  ]
  const reports: TaskReport[] = []
  const withoutEncoder: string[] = []
  const leftAlone: LeftAlone[] = tasks
    .filter(({ traceCount }) => traceCount < MIN_REQUESTS)
    .map(count => leave(count, `${count.traceCount} requests, at least ${MIN_REQUESTS} are needed`))
  const { parts, notice } = large.length === 0 ? noParts : await context.openParts()
  if (notice !== null) notices.push(notice)

  let budgetMs = params.budgetMs
  let waiting = large.reduce((sum, { traceCount }) => sum + traceCount, 0)
  for (const count of large) {
    const startMs = clock.monotonic()
    const outcome = await attempt(count, {
      params,
      context,
      parts,
      budgetMs: (budgetMs * count.traceCount) / waiting,
    })
    if ('report' in outcome) {
      reports.push(outcome.report)
      if (parts.encoder !== null && lacksEncoder(outcome.report)) {
        withoutEncoder.push(count.task.name)
        notices.push(
          `${count.task.name}: the time was up before an encoder was fitted; give it more with --budget.`,
        )
      }
      budgetMs -= Math.min(budgetMs * 0.9, clock.monotonic() - startMs)
    } else leftAlone.push(leave(count, outcome.because))
    waiting -= count.traceCount
  }
  return buildReport({
    generatedAt: new Date(clock.now()).toISOString(),
    settings: {
      targetRisk: params.targetRisk,
      confidenceLevel: params.confidenceLevel,
      promise: params.promise,
      seed: params.seed,
    },
    imported,
    requestCount: await workspace.store.traceCount(),
    tasks: reports,
    leftAlone,
    withoutEncoder,
    notices,
  })
}

function lacksEncoder({ specialist }: TaskReport): boolean {
  return specialist !== null && !specialist.candidates.some(({ name }) => name === 'encoder')
}

/** What fails for one task (a damaged record, a model that cannot run) does not stop the others. */
async function attempt(
  count: TaskCount,
  one: Parameters<typeof learnOne>[2],
): ReturnType<typeof learnOne> {
  try {
    return await learnOne(count, await read(count, one.context), one)
  } catch (error) {
    if (!isUnderstudyError(error) || error.code === 'cancelled' || error.code === 'bug') throw error
    return { because: `failed: ${error.message}` }
  }
}

const noParts = { parts: { encoder: null, runtime: null }, notice: null } as const

async function importAll(params: LearnParams, context: LearnContext): Promise<ImportSummary> {
  const { format, files, task, app } = params
  const report = await importFiles(context.workspace, files, {
    format: format ?? undefined,
    task: task ?? undefined,
    app: app ?? undefined,
    signal: context.signal,
    onProgress: context.onEvent,
    clock: context.clock,
  })
  return summarise(report)
}

function summarise({ files }: ImportReport): ImportSummary {
  const sum = (count: (file: ImportReport['files'][number]) => number): number =>
    files.reduce((total, file) => total + count(file), 0)
  return {
    files: files.map(({ path }) => path),
    importedCount: sum(file => file.importedCount),
    knownCount: sum(file => file.duplicateCount),
    brokenCount: sum(file => file.rejectedCount),
    broken: files.flatMap(({ path, rejected }) =>
      rejected.slice(0, 20).map(({ line, reason }) => ({ file: path, line, reason })),
    ),
  }
}

function read(
  count: TaskCount,
  { workspace, signal, onEvent }: LearnContext,
): Promise<TaskExamples> {
  onEvent({ stage: 'read', done: 0, total: count.traceCount, note: count.task.name })
  return loadExamples(workspace, count.task.id, { signal })
}

function leave({ task, traceCount }: TaskCount, because: string): LeftAlone {
  const key = task.key as { app?: string | null }
  return { name: task.name, app: key.app ?? null, requestCount: traceCount, because }
}
