/** What the projection should know of a trace: its model, tokens, task, and whether learning may use it. */
import { isUnderstudyError } from '../errors.ts'
import type { TracePayload } from '../ledger/index.ts'
import { type ChatRequest, type Wire, wireAt } from '../wire/index.ts'
import type { TraceDescription } from '../workspace/index.ts'
import { declaredTask, inputHash, keyedTask, slotOf, type TaskIdentity } from './key.ts'

/** Describes a trace; the same trace always gives the same description, so that the projection can be rebuilt. */
export function describeTrace(trace: TracePayload): TraceDescription {
  const wire = wireAt(trace.endpoint)
  const request = wire === null ? null : parsed(wire, trace.request)
  const usage = wire?.usageOf(trace.response)
  const input = request === null ? null : slotOf(request)
  return {
    model: request?.model ?? null,
    promptTokens: usage?.promptTokens ?? null,
    completionTokens: usage?.completionTokens ?? null,
    task: request === null || input === null ? null : taskOf(trace, request),
    inputHash: input === null ? null : inputHash(input),
    isIndependent: isIndependent(trace),
  }
}

/**
 * The lead's answer is here, and whether it was asked did not depend on a specialist's score: certification uses nothing else
 * (once a specialist serves, lead answers exist only for what it was unsure of).
 */
function isIndependent({ decision, isComplete }: TracePayload): boolean {
  if (!isComplete) return false
  return decision === null || (decision.servedBy === 'lead' && decision.specialist === null)
}

/** The task that the request was routed by where it was, else the one that its own features define. */
function taskOf(
  { declaredTask: declared, decision, app }: TracePayload,
  request: ChatRequest,
): TaskIdentity | null {
  const name = decision === null ? declared : decision.declaredTask
  if (name !== null) return declaredTask(name)
  const ofAnyApp = keyedTask(request, null)
  return decision !== null && decision.task === ofAnyApp?.id ? ofAnyApp : keyedTask(request, app)
}

/** Null for a request that nobody can parse: such traces are kept, but belong to no task. */
function parsed(wire: Wire, body: unknown): ChatRequest | null {
  try {
    return wire.parse(body)
  } catch (error) {
    if (isUnderstudyError(error)) return null
    throw error
  }
}
