/** Turns a task's recorded traces into examples. Reads the ledger; knows no model. */
import type { TracePayload } from '../ledger/index.ts'
import type { TraceRow } from '../store/index.ts'
import { slotOf } from '../tasks/index.ts'
import {
  type Answer,
  answerOf,
  type NoAnswerReason,
  parseChatRequest,
  reportedModel,
  type Usage,
  usageOf,
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
  readonly withoutAnswer: Readonly<Partial<Record<NoAnswerReason, number>>>
  /** Requests that the lead never answered (errors): they say nothing about its answers and are left out. */
  readonly failedCount: number
  /** Traces left out because whether the lead was asked depended on a specialist's score. */
  readonly dependentCount: number
  /** Traces whose payload was erased. */
  readonly erasedCount: number
}

/** Older traces of a larger task are left out: fitting holds all examples in memory. */
export const MAX_EXAMPLES = 200_000

/** Reads the newest examples of a task, oldest first. */
export async function loadExamples(
  workspace: Workspace,
  task: string,
  { traceCount, signal }: { traceCount: number; signal: AbortSignal },
): Promise<TaskExamples> {
  const examples: TaskExample[] = []
  const withoutAnswer: Partial<Record<NoAnswerReason, number>> = {}
  const counts = { failedCount: 0, dependentCount: 0, erasedCount: 0 }
  let toSkip = Math.max(0, traceCount - MAX_EXAMPLES)
  for await (const page of workspace.store.tracesOfTask(task)) {
    signal.throwIfAborted()
    for (const row of page) {
      if (toSkip-- > 0) continue
      if (!row.isIndependent) {
        counts.dependentCount++
        continue
      }
      const { payload } = await workspace.read(row.position)
      if (payload === null) {
        counts.erasedCount++
        continue
      }
      const outcome = exampleOf(row, payload as TracePayload)
      if (outcome === 'failed') counts.failedCount++
      else {
        examples.push(outcome.example)
        if (outcome.reason !== null)
          withoutAnswer[outcome.reason] = (withoutAnswer[outcome.reason] ?? 0) + 1
      }
    }
  }
  return { examples, withoutAnswer, ...counts }
}

function exampleOf(
  row: TraceRow,
  trace: TracePayload,
): 'failed' | { example: TaskExample; reason: NoAnswerReason | null } {
  const request = parseChatRequest(trace.request)
  const input = slotOf(request)
  const given = answerOf(trace.response, trace.status)
  const reason = given.answer === null ? given.reason : null
  if (input === null || reason === 'error-status') return 'failed'
  const example: TaskExample = {
    id: row.id,
    input,
    answer: given.answer,
    time: row.time,
    latencyMs: row.latencyMs,
    usage: usageOf(trace.response),
    requestedModel: request.model,
    reportedModel: reportedModel(trace.response),
  }
  return { example, reason }
}
