/** Turns a task's recorded traces into examples. Reads the ledger; knows no model. */
import type { TracePayload } from '../ledger/index.ts'
import type { TraceRow } from '../store/index.ts'
import { slotOf } from '../tasks/index.ts'
import {
  type Answer,
  CHAT,
  type NoAnswerReason,
  reportedModel,
  type Usage,
  wireAt,
} from '../wire/index.ts'
import type { Workspace } from '../workspace/index.ts'

/** One request of a task with what the lead answered. */
export interface TaskExample {
  /** Decision id of the trace. */
  readonly id: string
  readonly input: string
  /** Null where the response holds none (refused, truncated …): the specialist's answer then counts as different. */
  readonly answer: Answer | null
  /** ISO 8601. */
  readonly time: string
  readonly latencyMs: number | null
  readonly usage: Usage | null
  readonly requestedModel: string
  readonly reportedModel: string | null
}

export interface TaskExamples {
  readonly examples: readonly TaskExample[]
  /** Lead answers that were refused, truncated or otherwise unusable, by reason; they are in `examples` with a null answer. */
  readonly withoutAnswer: Readonly<Record<string, number>>
  /** Requests that the lead never answered (errors): they say nothing about its answers and are left out. */
  readonly failedCount: number
  /** Requests that no specialist may answer (unforced tools, several choices …), by reason: nothing is promised of them. */
  readonly notServable: Readonly<Record<string, number>>
  /** Traces whose payload was erased. */
  readonly erasedCount: number
}

/** Older traces of a larger task are left out: fitting holds all examples in memory. */
export const MAX_EXAMPLES = 200_000

/**
 * Reads the newest examples of a task, oldest first: traces whose lead answer does not depend on a specialist's score, of
 * requests that a specialist could answer.
 */
export async function loadExamples(
  workspace: Pick<Workspace, 'store' | 'read'>,
  task: string,
  { signal }: { signal: AbortSignal },
): Promise<TaskExamples> {
  const examples: TaskExample[] = []
  const withoutAnswer: Record<string, number> = {}
  const notServable: Record<string, number> = {}
  let failedCount = 0
  let erasedCount = 0
  const count = (counts: Record<string, number>, reason: string): void => {
    counts[reason] = (counts[reason] ?? 0) + 1
  }
  for (const row of await newestRows(workspace, task, signal)) {
    signal.throwIfAborted()
    const { payload } = await workspace.read(row.position)
    const outcome = payload === null ? 'erased' : exampleOf(row, payload as TracePayload)
    if (outcome === 'erased') erasedCount++
    else if (outcome === 'failed') failedCount++
    else if ('notServable' in outcome) count(notServable, outcome.notServable)
    else {
      examples.push(outcome.example)
      if (outcome.reason !== null) count(withoutAnswer, outcome.reason)
    }
  }
  return { examples, withoutAnswer, notServable, failedCount, erasedCount }
}

async function newestRows(
  { store }: Pick<Workspace, 'store'>,
  task: string,
  signal: AbortSignal,
): Promise<readonly TraceRow[]> {
  let rows: TraceRow[] = []
  for await (const page of store.tracesOfTask(task, { independentOnly: true })) {
    signal.throwIfAborted()
    rows.push(...page)
    if (rows.length > 2 * MAX_EXAMPLES) rows = rows.slice(-MAX_EXAMPLES)
  }
  return rows.slice(-MAX_EXAMPLES)
}

function exampleOf(
  row: TraceRow,
  trace: TracePayload,
): 'failed' | { notServable: string } | { example: TaskExample; reason: NoAnswerReason | null } {
  const wire = wireAt(trace.endpoint) ?? CHAT
  const request = wire.parse(trace.request)
  const [escalation] = request.escalations
  if (escalation !== undefined) return { notServable: escalation.reason }
  const input = slotOf(request)
  const given = wire.answerOf(trace.response, trace.status)
  const reason = given.answer === null ? given.reason : null
  if (input === null || reason === 'error-status') return 'failed'
  const example: TaskExample = {
    id: row.id,
    input,
    answer: given.answer,
    time: row.time,
    latencyMs: row.latencyMs,
    usage: wire.usageOf(trace.response),
    requestedModel: request.model,
    reportedModel: reportedModel(trace.response),
  }
  return { example, reason }
}
