/** One request on its way through the gateway, and what is said of it whoever answers. Answers nothing itself. */
import type { Access, Settled, Ticket } from '../access/index.ts'
import { isUnderstudyError } from '../errors.ts'
import type { Decision, RouteTrail } from '../ledger/index.ts'
import type { LeadResponse } from '../runtimes/index.ts'
import { type ChatRequest, isObject, reportedModel, type Wire } from '../wire/index.ts'
import type { CapturedAnswer } from './capture.ts'
import type { GatewayContext } from './context.ts'
import type { Incoming } from './incoming.ts'
import { type Intent, servedHeaders } from './intent.ts'
import type { LeadWatch } from './lead-watch.ts'
import type { Exchange, Recorder } from './recorder.ts'
import type { Tally } from './tally.ts'

export interface ExchangeParts extends GatewayContext {
  readonly recorder: Recorder
  readonly tally: Tally
  readonly leadWatch: LeadWatch
  readonly access: Access
}

/** One request on its way, with what its record will say in any case. */
export interface Turn {
  readonly wire: Wire
  readonly id: string
  readonly startedMs: number
  readonly startMs: number
  readonly request: ChatRequest
  readonly intent: Intent
  readonly bytes: Uint8Array
  readonly incoming: Incoming
  readonly ticket: Ticket
}

/** What the record says of a request whoever answers it. */
export function exchangeOf(
  { clock }: ExchangeParts,
  { wire, id, startedMs, startMs, request, intent }: Turn,
  decision: Decision,
): Omit<Exchange, 'response' | 'status' | 'isStream' | 'isComplete'> {
  return {
    id,
    startedMs,
    app: intent.app,
    endpoint: wire.path,
    request: request.body,
    latencyMs: clock.monotonic() - startMs,
    declaredTask: intent.declaredTask,
    decision,
  }
}

/** Counts what the lead's answer cost against the caller's key. What it refused costs nothing. */
export function chargeOf(
  { wire, ticket }: Turn,
  { status, trail }: AnswerHead,
  { response, isComplete }: CapturedAnswer,
): Settled {
  if (isRefusal(status)) return { charge: null, written: ticket.release() }
  return ticket.settle({
    model: reportedModel(response) ?? trail?.model ?? null,
    usage: wire.usageOf(response),
    isComplete,
    byteCount: isComplete ? textLength(wire, response, status) : writtenLength(wire, response),
  })
}

/** What is known of an answer before its body. */
export type AnswerHead = Pick<LeadResponse, 'status' | 'trail'>

/**
 * Counts what a lead cost that was asked and gave no answer in time, or none that the caller waited for: it has the prompt.
 * `head` is that of the answer, where it had come.
 */
export function chargeUnanswered(
  { ticket }: Turn,
  error: unknown,
  head: AnswerHead | null,
): Settled {
  const isAtWork = isUnderstudyError(error) && WORKS_ON.has(error.code)
  const { isUnsent, trail = head?.trail } = isAtWork ? error.details : { isUnsent: true }
  if (isUnsent === true || (head !== null && isRefusal(head.status))) {
    return { charge: null, written: ticket.release() }
  }
  const model = (trail as RouteTrail | undefined)?.tries.at(-1)?.model ?? null
  return ticket.settle({ model, usage: null, isComplete: false, byteCount: 0 })
}

/** Failures after which the lead may be at work on the request, or done. */
const WORKS_ON: ReadonlySet<string> = new Set(['cancelled', 'upstream-timeout'])

function isRefusal(status: number): boolean {
  return status < 200 || status > 299
}

/** Length of what was written, without its envelope where that can be told apart. */
function textLength(wire: Wire, response: unknown, status: number): number {
  const { answer } = wire.answerOf(response, status)
  if (answer === null) return writtenLength(wire, response)
  return Buffer.byteLength(answer.kind === 'text' ? answer.text : answer.argumentsText)
}

/** The envelope stays out where it can be told apart: beside what was written, some repeat the request. */
function writtenLength({ writtenField }: Wire, response: unknown): number {
  const written = writtenField !== null && isObject(response) ? response[writtenField] : undefined
  return Buffer.byteLength(JSON.stringify(written ?? response) ?? '')
}

/** Headers of an answer that the lead gave. */
export function leadHeaders(
  parts: ExchangeParts,
  decision: Decision,
  decisionId: string | null,
): Record<string, string> {
  return servedHeaders({
    servedBy: 'lead',
    task: taskName(parts, decision),
    decision,
    certificate: null,
    decisionId,
  })
}

/** Name of the task; its id where nothing is live for it. */
export function taskName(
  { cascade }: ExchangeParts,
  { task, declaredTask }: Decision,
): string | null {
  return cascade.live().find(({ id }) => id === task)?.name ?? declaredTask ?? task
}
