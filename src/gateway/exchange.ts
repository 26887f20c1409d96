/** One exchange on any wire: a specialist answers, or the lead's bytes stream through; either way it is recorded. */
import type { Access, Ticket } from '../access/index.ts'
import { REASONS, type Reason, type Verdict } from '../cascade/index.ts'
import { isUnderstudyError, UnderstudyError } from '../errors.ts'
import type { Charge, Decision, RouteTrail, ServedBy } from '../ledger/index.ts'
import type { Lead, LeadResponse } from '../runtimes/index.ts'
import { newId } from '../util/index.ts'
import {
  type AnswerParts,
  type ChatRequest,
  parseJson,
  type Rendered,
  reportedModel,
  type Wire,
} from '../wire/index.ts'
import { decodeUtf8, joined } from './body.ts'
import { type Capture, createCapture } from './capture.ts'
import type { GatewayContext } from './context.ts'
import type { Incoming } from './incoming.ts'
import { type Intent, readIntent, servedHeaders, trailHeaders } from './intent.ts'
import { callLead, checkedTarget, noLead } from './lead-call.ts'
import type { LeadWatch } from './lead-watch.ts'
import type { Exchange, Recorder } from './recorder.ts'
import { headersFromLead, isEventStream, relayWithCapture, streamReply } from './relay.ts'
import { isBodiless, jsonReply, type Reply } from './reply.ts'
import type { Tally } from './tally.ts'
import { translatedLead } from './translated-lead.ts'

export interface ExchangeParts extends GatewayContext {
  readonly recorder: Recorder
  readonly tally: Tally
  readonly leadWatch: LeadWatch
  readonly access: Access
}

/** One request on its way, with what its record will say in any case. */
interface Turn {
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

/** A plain answer is held back up to this size, so that its headers can say whether it was recorded. */
const HELD_BYTES = 1024 * 1024

/**
 * Answers one request.
 * @throws request-invalid, request-too-large, specialist-not-found, no-lead, upstream-unavailable, upstream-timeout, cancelled
 */
export async function answerExchange(
  wire: Wire,
  parts: ExchangeParts,
  incoming: Incoming,
): Promise<Reply> {
  const { clock, limits } = parts
  const [startedMs, startMs] = [clock.now(), clock.monotonic()]
  const intent = readIntent(incoming.headers, incoming.key)
  const bytes = await incoming.readBody(limits.maxBodyBytes)
  const request = wire.parse(parseJson(decodeUtf8(bytes)))
  const { model } = request
  const ticket = parts.access.admit(incoming.key, { model, byteCount: bytes.length })
  const turn: Turn = {
    wire,
    id: newId('dec'),
    startedMs,
    startMs,
    request,
    intent,
    bytes,
    incoming,
    ticket,
  }
  try {
    const reply = await answerTurn(parts, turn)
    return { ...reply, headers: { ...reply.headers, ...ticket.headers() } }
  } catch (error) {
    await ticket.release()
    throw error
  }
}

async function answerTurn(parts: ExchangeParts, turn: Turn): Promise<Reply> {
  const { wire, request, intent, incoming, ticket } = turn
  const verdict = await parts.cascade.route(request, intent, incoming.signal)
  if (verdict.serve && wire.render !== null) {
    return answerHere(parts, turn, verdict, renderFor(turn, verdict, wire.render))
  }
  const own =
    intent.mode === 'lead' ? null : await parts.localAnswer?.(wire, request, incoming.signal)
  if (own) return answerHere(parts, turn, localVerdict(verdict.decision), { body: own })
  if (intent.mode === 'specialist') throw noSpecialist(verdict.decision)
  ticket.checkBudget()
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

function renderFor(
  { id, startedMs, request }: Turn,
  { task, answer, usage }: Extract<Verdict, { serve: true }>,
  render: (request: ChatRequest, parts: AnswerParts) => Rendered,
): Rendered {
  return render(request, {
    id: id.slice(id.indexOf('_') + 1),
    created: Math.floor(startedMs / 1000),
    model: task.reportedModel ?? request.model,
    answer,
    usage,
    fingerprint: task.specialist.hash,
  })
}

/** What an answer of this machine's rests on: the certificate of a specialist, or nothing but the model's name. */
interface OwnVerdict {
  readonly task: { readonly name: string } | null
  readonly certificate: string | null
  readonly decision: Decision
}

function localVerdict(decision: Decision): OwnVerdict {
  const reason: Reason = 'local-model'
  return {
    task: null,
    certificate: null,
    decision: { ...decision, servedBy: 'encoder', reason, leadProbability: 0 },
  }
}

async function answerHere(
  parts: ExchangeParts,
  turn: Turn,
  { task, certificate, decision }: OwnVerdict,
  rendered: Pick<Rendered, 'body'> & Partial<Rendered>,
): Promise<Reply> {
  const { request, id } = turn
  await turn.ticket.release()
  const isRecorded = await parts.recorder.record(
    {
      ...exchangeOf(parts, turn, decision),
      response: rendered.body,
      status: 200,
      isStream: request.isStream,
      isComplete: true,
    },
    turn.incoming.watch,
  )
  parts.tally.count(decision.servedBy)
  const headers = servedHeaders({
    servedBy: decision.servedBy,
    task: task?.name ?? null,
    decision,
    certificate,
    decisionId: isRecorded ? id : null,
  })
  const { stream } = rendered
  if (!request.isStream || stream === undefined) return jsonReply(rendered.body, 200, headers)
  return {
    status: 200,
    headers: {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache',
      ...headers,
    },
    body: stream(),
  }
}

function exchangeOf(
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

async function answerByLead(parts: ExchangeParts, turn: Turn, decision: Decision): Promise<Reply> {
  const { lead, leadHasKey, access, limits } = parts
  const { wire, incoming, bytes, request } = turn
  if (lead === null) throw noLead()
  const asked = leadFor(parts, lead, turn)
  const response = await sendToLead(parts, turn, decision, () =>
    callLead(asked, {
      method: 'POST',
      target: checkedTarget(incoming.target),
      // An answer that is not compressed can be recorded while it streams.
      headers: { ...incoming.headers, 'accept-encoding': 'identity' },
      body: bytes,
      keepsAuthorization: !access.keys.areRequired && !leadHasKey,
      caller: incoming,
    }),
  )
  const { status, headers, body, trail } = response
  const encoding = headers['content-encoding']
  const capture = createCapture({ wire, encoding, maxBytes: limits.maxCopyBytes })
  const isCompressed = !['', 'identity'].includes(encoding?.trim() ?? '')
  const isEvents = isEventStream(headers)
  const record = async (isWhole: boolean, isStream: boolean): Promise<boolean> => {
    const answer = capture.result()
    const charge = await chargeOf(turn, response, answer.response)
    parts.leadWatch.note(decision.task, reportedModel(answer.response))
    return parts.recorder.record(
      {
        ...exchangeOf(parts, turn, decision),
        response: answer.response,
        status,
        isStream,
        isComplete: isWhole && answer.isComplete,
        ...(trail === undefined ? {} : { trail }),
        ...(charge === null ? {} : { charge }),
      },
      incoming.watch,
    )
  }
  parts.tally.count('lead')
  const source = body[Symbol.asyncIterator]()
  const isStream = isEvents || (request.isStream && status === 200)
  const taken: Uint8Array[] = []
  if (!isStream) {
    const held = await sendToLead(parts, turn, decision, () => hold(source, taken, capture))
    if (held === 'whole') {
      const isRecorded = await record(true, false)
      const id = isRecorded ? turn.id : null
      const named = { ...leadHeaders(parts, decision, id), ...trailHeaders(trail) }
      const whole = isBodiless(status) ? null : joined(taken)
      return { status, headers: { ...headersFromLead(headers), ...named }, body: whole }
    }
  }
  const pieces = relayWithCapture(source, {
    wire,
    capture,
    taken,
    isEvents: isEvents && !isCompressed,
    onEnd: ({ isWhole }) => record(isWhole, isStream),
  })
  // Without a length the caller has the whole answer only at its end, which comes after the record.
  const { 'content-length': _, ...kept } = headersFromLead(headers)
  const named = { ...leadHeaders(parts, decision, turn.id), ...trailHeaders(trail) }
  return streamReply(pieces, { status, headers: { ...kept, ...named } }, incoming.abort)
}

/** Counts what the lead's answer cost against the caller's key. What it refused costs nothing. */
async function chargeOf(
  { wire, ticket }: Turn,
  { status, trail }: LeadResponse,
  response: unknown,
): Promise<Charge | null> {
  if (status < 200 || status > 299) {
    await ticket.release()
    return null
  }
  return ticket.settle({
    model: reportedModel(response) ?? trail?.model ?? null,
    usage: wire.usageOf(response),
    byteCount: textLength(wire, response, status),
  })
}

/** Length of what was written, without its envelope where that can be told apart. */
function textLength(wire: Wire, response: unknown, status: number): number {
  const { answer } = wire.answerOf(response, status)
  if (answer === null) return Buffer.byteLength(JSON.stringify(response) ?? '')
  return Buffer.byteLength(answer.kind === 'text' ? answer.text : answer.argumentsText)
}

/** The lead itself, or what makes it understand this wire. */
function leadFor({ limits }: ExchangeParts, lead: Lead, turn: Turn): Lead {
  const { wire, request, id, startedMs } = turn
  const isSpoken = lead.speaks?.(wire.path, request.model) ?? true
  if (isSpoken || wire.speech === null) return lead
  return translatedLead(lead, {
    speech: wire.speech,
    request,
    head: {
      id: id.slice(id.indexOf('_') + 1),
      created: Math.floor(startedMs / 1000),
      model: request.model,
    },
    maxBytes: limits.maxBodyBytes,
  })
}

/** Runs a step that needs the lead; where it fails, the failure is recorded as this exchange's answer. */
async function sendToLead<T>(
  parts: ExchangeParts,
  turn: Turn,
  decision: Decision,
  step: () => Promise<T>,
): Promise<T> {
  try {
    return await step()
  } catch (error) {
    const { status, body } = turn.wire.error(error)
    const trail = isUnderstudyError(error) ? error.details.trail : undefined
    const hasCallerLeft = isUnderstudyError(error) && error.code === 'cancelled'
    await parts.recorder.record(
      {
        ...exchangeOf(parts, turn, decision),
        response: hasCallerLeft ? null : body,
        status,
        isStream: turn.request.isStream,
        isComplete: false,
        ...(trail === undefined ? {} : { trail: trail as RouteTrail }),
      },
      turn.incoming.watch,
    )
    parts.tally.count('failed')
    throw error
  }
}

/** Takes parts until the body ends, or is too long to be held. */
async function hold(
  source: AsyncIterator<Uint8Array>,
  taken: Uint8Array[],
  capture: Capture,
): Promise<'whole' | 'begun'> {
  let length = 0
  while (length <= HELD_BYTES) {
    const next = await source.next()
    if (next.done) return 'whole'
    taken.push(next.value)
    capture.add(next.value)
    length += next.value.length
  }
  return 'begun'
}

function leadHeaders(
  { cascade }: ExchangeParts,
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
