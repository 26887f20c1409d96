/** Chat completions: a specialist answers, or the lead's bytes stream through; either way the exchange is recorded. */
import { REASONS, type Reason, type Verdict } from '../cascade/index.ts'
import { isUnderstudyError, UnderstudyError } from '../errors.ts'
import type { Decision, ServedBy } from '../ledger/index.ts'
import { newId } from '../util/index.ts'
import {
  type ChatRequest,
  type CompletionParts,
  errorBody,
  finishReasonFor,
  formatSse,
  parseChatRequest,
  parseJson,
  renderChunks,
  renderCompletion,
  reportedModel,
  SSE_DONE,
} from '../wire/index.ts'
import { createBoundedCopy, decodeUtf8, joined } from './body.ts'
import type { GatewayContext } from './context.ts'
import type { Incoming } from './incoming.ts'
import { type Intent, readIntent, servedHeaders } from './intent.ts'
import { callLead, checkedTarget, noLead } from './lead-call.ts'
import type { LeadWatch } from './lead-watch.ts'
import { readRecordedAnswer } from './recorded-answer.ts'
import type { Exchange, Recorder } from './recorder.ts'
import { headersFromLead, isEventStream, relayWithCopy, streamReply } from './relay.ts'
import { isBodiless, jsonReply, type Reply } from './reply.ts'
import type { Tally } from './tally.ts'

export interface ChatParts extends GatewayContext {
  readonly recorder: Recorder
  readonly tally: Tally
  readonly leadWatch: LeadWatch
}

/** One request on its way, with what its record will say in any case. */
interface Turn {
  readonly id: string
  readonly startedMs: number
  readonly startMs: number
  readonly chat: ChatRequest
  readonly intent: Intent
  readonly bytes: Uint8Array
  readonly incoming: Incoming
}

/** A plain answer is held back up to this size, so that its headers can say whether it was recorded. */
const HELD_BYTES = 1024 * 1024

/**
 * Answers one chat request.
 * @throws request-invalid, request-too-large, specialist-not-found, no-lead, upstream-unavailable, upstream-timeout, cancelled
 */
export async function answerChat(parts: ChatParts, incoming: Incoming): Promise<Reply> {
  const { clock, limits } = parts
  const [startedMs, startMs] = [clock.now(), clock.monotonic()]
  const intent = readIntent(incoming.headers, incoming.key)
  const bytes = await incoming.readBody(limits.maxBodyBytes)
  const chat = parseChatRequest(parseJson(decodeUtf8(bytes)))
  const turn: Turn = { id: newId('dec'), startedMs, startMs, chat, intent, bytes, incoming }
  const verdict = await parts.cascade.route(chat, intent, incoming.signal)
  if (verdict.serve) return answerHere(parts, turn, verdict)
  if (intent.mode === 'specialist') throw noSpecialist(verdict.decision)
  return answerByLead(parts, turn, verdict.decision)
}

function noSpecialist({ reason, reasonDetail }: Decision): UnderstudyError {
  const why = REASONS[reason as Reason] ?? reason
  const detail = reasonDetail === null ? '' : ` (${reasonDetail})`
  const canLearn = reason === 'no-specialist'
  return new UnderstudyError(
    'specialist-not-found',
    `No specialist answers this: ${why}${detail}.`,
    {
      help: canLearn
        ? 'Learn and promote one for this task, or leave x-understudy-mode out.'
        : 'Change the request, or leave x-understudy-mode out.',
    },
  )
}

async function answerHere(
  parts: ChatParts,
  turn: Turn,
  { task, answer, usage, certificate, decision }: Extract<Verdict, { serve: true }>,
): Promise<Reply> {
  const { chat, id } = turn
  const completion: CompletionParts = {
    id: `chatcmpl-${id.slice(id.indexOf('_') + 1)}`,
    created: Math.floor(turn.startedMs / 1000),
    model: task.reportedModel ?? chat.model,
    answer,
    usage,
    finishReason: finishReasonFor(chat, answer),
    systemFingerprint: `fp_${task.specialist.hash.slice(0, 10)}`,
  }
  const whole = renderCompletion(completion)
  const isRecorded = await parts.recorder.record({
    ...exchangeOf(parts, turn, decision),
    response: whole,
    status: 200,
    isStream: chat.isStream,
    isComplete: true,
  })
  parts.tally.count(decision.servedBy)
  const headers = servedHeaders({
    servedBy: decision.servedBy,
    task: task.name,
    decision,
    certificate,
    decisionId: isRecorded ? id : null,
  })
  if (!chat.isStream) return jsonReply(whole, 200, headers)
  const events = [...renderChunks(completion, chat.includeUsage)].map(chunk =>
    formatSse(JSON.stringify(chunk)),
  )
  return {
    status: 200,
    headers: {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache',
      ...headers,
    },
    body: events.join('') + SSE_DONE,
  }
}

function exchangeOf(
  { clock }: ChatParts,
  { id, startedMs, startMs, chat, intent }: Turn,
  decision: Decision,
): Omit<Exchange, 'response' | 'status' | 'isStream' | 'isComplete'> {
  return {
    id,
    startedMs,
    app: intent.app,
    request: chat.body,
    latencyMs: clock.monotonic() - startMs,
    declaredTask: intent.declaredTask,
    decision,
  }
}

async function answerByLead(parts: ChatParts, turn: Turn, decision: Decision): Promise<Reply> {
  const { lead, leadHasKey, keys, limits } = parts
  const { incoming, bytes, chat } = turn
  if (lead === null) throw noLead()
  const response = await sendToLead(parts, turn, decision, () =>
    callLead(lead, {
      method: 'POST',
      target: checkedTarget(incoming.target),
      // An answer that is not compressed can be recorded while it streams.
      headers: { ...incoming.headers, 'accept-encoding': 'identity' },
      body: bytes,
      keepsAuthorization: keys.length === 0 && !leadHasKey,
      caller: incoming,
    }),
  )
  const { status, headers, body } = response
  const copy = createBoundedCopy(limits.maxCopyBytes)
  const isCompressed = !['', 'identity'].includes(headers['content-encoding']?.trim() ?? '')
  const isEvents = isEventStream(headers)
  const record = (isWhole: boolean, isStream: boolean): Promise<boolean> => {
    const answer = readRecordedAnswer(copy, {
      encoding: headers['content-encoding'],
      maxBytes: limits.maxCopyBytes,
    })
    parts.leadWatch.note(decision.task, reportedModel(answer.response))
    return parts.recorder.record({
      ...exchangeOf(parts, turn, decision),
      response: answer.response,
      status,
      isStream,
      isComplete: isWhole && answer.isComplete,
    })
  }
  parts.tally.count('lead')
  const source = body[Symbol.asyncIterator]()
  const isStream = isEvents || (chat.isStream && status === 200)
  const taken: Uint8Array[] = []
  if (!isStream) {
    const held = await sendToLead(parts, turn, decision, () => hold(source, taken, copy))
    if (held === 'whole') {
      const isRecorded = await record(true, false)
      const named = leadHeaders(parts, decision, isRecorded ? turn.id : null)
      const whole = isBodiless(status) ? null : joined(taken)
      return { status, headers: { ...headersFromLead(headers), ...named }, body: whole }
    }
  }
  const pieces = relayWithCopy(source, {
    copy,
    taken,
    isEvents: isEvents && !isCompressed,
    onEnd: ({ isWhole }) => record(isWhole, isStream),
  })
  // Without a length the caller has the whole answer only at its end, which comes after the record.
  const { 'content-length': _, ...kept } = headersFromLead(headers)
  const named = leadHeaders(parts, decision, turn.id)
  return streamReply(pieces, { status, headers: { ...kept, ...named } }, incoming.abort)
}

/** Runs a step that needs the lead; where it fails, the failure is recorded as this exchange's answer. */
async function sendToLead<T>(
  parts: ChatParts,
  turn: Turn,
  decision: Decision,
  step: () => Promise<T>,
): Promise<T> {
  try {
    return await step()
  } catch (error) {
    const { status, body } = errorBody(error)
    const hasCallerLeft = isUnderstudyError(error) && error.code === 'cancelled'
    await parts.recorder.record({
      ...exchangeOf(parts, turn, decision),
      response: hasCallerLeft ? null : body,
      status,
      isStream: turn.chat.isStream,
      isComplete: false,
    })
    parts.tally.count('failed')
    throw error
  }
}

/** Takes parts until the body ends, or is too long to be held. */
async function hold(
  source: AsyncIterator<Uint8Array>,
  taken: Uint8Array[],
  copy: { add(part: Uint8Array): void },
): Promise<'whole' | 'begun'> {
  let length = 0
  while (length <= HELD_BYTES) {
    const next = await source.next()
    if (next.done) return 'whole'
    taken.push(next.value)
    copy.add(next.value)
    length += next.value.length
  }
  return 'begun'
}

function leadHeaders(
  { cascade }: ChatParts,
  decision: Decision,
  decisionId: string | null,
): Record<string, string> {
  const live = cascade.live().find(task => task.id === decision.task)
  return servedHeaders({
    servedBy: 'lead' satisfies ServedBy,
    task: live?.name ?? decision.declaredTask ?? decision.task,
    decision,
    certificate: null,
    decisionId,
  })
}
