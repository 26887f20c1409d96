/** One exchange on any wire: a specialist answers, or the lead's bytes stream through; either way it is recorded. */
import { REASONS, type Reason, type Verdict } from '../cascade/index.ts'
import { hasCode, isUnderstudyError, UnderstudyError } from '../errors.ts'
import type { Decision, RouteTrail } from '../ledger/index.ts'
import { newId } from '../util/index.ts'
import {
  type AnswerParts,
  type ChatRequest,
  holdsAnswer,
  parseJson,
  type Rendered,
  reportedModel,
  type Wire,
} from '../wire/index.ts'
import type { AnswerCache } from './answer-cache.ts'
import { decodeUtf8, joined } from './body.ts'
import { type CacheSlot, cacheSlotOf, createTee } from './cached-route.ts'
import { type Capture, createCapture } from './capture.ts'
import { askedOf, type Incoming } from './incoming.ts'
import { readIntent, servedHeaders, trailHeaders } from './intent.ts'
import { callLead, checkedTarget, noLead } from './lead-call.ts'
import { checkCountable } from './pass-through.ts'
import {
  headersFromLead,
  isEventStream,
  isPlainEncoding,
  relayWithCapture,
  streamReply,
} from './relay.ts'
import { isBodiless, jsonReply, type Reply } from './reply.ts'
import { leadFor } from './translated-lead.ts'
import {
  type AnswerHead,
  chargeOf,
  chargeUnanswered,
  type ExchangeParts,
  exchangeOf,
  leadHeaders,
  type Turn,
  taskName,
} from './turn.ts'

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
  const ticket = parts.access.admit(incoming.key, askedOf(incoming, bytes, model))
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
    return {
      ...reply,
      headers: { ...reply.headers, ...ticket.headers() },
      onEnd(isWhole) {
        reply.onEnd?.(isWhole)
        // A body that nobody began to read settles nothing; one that was read has done so by now.
        setImmediate(() => void ticket.release())
      },
    }
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
  const slot = cacheSlotOf(parts, wire.path, request, { ...incoming, intent })
  const kept = slot?.mayRead === true ? slot.cache.get(slot.key) : null
  if (kept !== null) return answerFromCache(parts, turn, verdict.decision, kept)
  if (request.isDeferred === true) checkCountable(incoming, `${wire.path} in the background`)
  ticket.checkBudget()
  return answerByLead(parts, turn, verdict.decision, slot)
}

/** Gives an earlier answer again. Its record says so, and is never learned from or certified with. */
async function answerFromCache(
  parts: ExchangeParts,
  turn: Turn,
  asked: Decision,
  {
    headers,
    bytes,
    origin,
    response,
    isStream,
    ageMs,
  }: NonNullable<ReturnType<AnswerCache['get']>>,
): Promise<Reply> {
  const written = turn.ticket.release()
  const reason: Reason = 'cached'
  const decision: Decision = {
    ...asked,
    servedBy: 'cache',
    reason,
    reasonDetail: origin,
    leadProbability: 0,
  }
  const isRecorded = await parts.recorder.record(
    { ...exchangeOf(parts, turn, decision), response, status: 200, isStream, isComplete: true },
    turn.incoming.watch,
  )
  await written
  parts.tally.count('cache')
  const named = servedHeaders({
    servedBy: 'cache',
    task: taskName(parts, decision),
    decision,
    certificate: null,
    decisionId: isRecorded ? turn.id : null,
  })
  const age = String(Math.floor(ageMs / 1000))
  return {
    status: 200,
    headers: { ...headers, ...named, age, 'x-understudy-cache': 'hit' },
    body: bytes,
  }
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
  const written = turn.ticket.release()
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
  await written
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

async function answerByLead(
  parts: ExchangeParts,
  turn: Turn,
  decision: Decision,
  slot: CacheSlot | null,
): Promise<Reply> {
  const { lead, leadHasKey, access, limits } = parts
  const { wire, incoming, bytes, request } = turn
  if (lead === null) throw noLead()
  const asked = leadFor(lead, turn, limits.maxBodyBytes)
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
  const isPlain = isPlainEncoding(encoding)
  const isEvents = isEventStream(headers)
  const told = { ...trailHeaders(trail), ...(slot && { 'x-understudy-cache': 'miss' }) }
  const record = async (isWhole: boolean, isStream: boolean): Promise<boolean> => {
    const answer = capture.result()
    const isComplete = isWhole && answer.isComplete
    const { charge, written } = chargeOf(turn, response, { ...answer, isComplete })
    parts.leadWatch.note(decision.task, reportedModel(answer.response))
    const bytes = isComplete && status === 200 ? tee?.bytes() : null
    if (slot !== null && bytes && isPlain && holdsAnswer(answer.response)) {
      const type = { 'content-type': headers['content-type'] ?? 'application/json' }
      const { response: recorded } = answer
      const kept = { headers: type, bytes, origin: turn.id, response: recorded, isStream }
      slot.cache.put(slot.key, kept, slot.ttlMs)
    }
    parts.tally.count(isWhole ? 'lead' : 'failed')
    const isRecorded = await parts.recorder.record(
      {
        ...exchangeOf(parts, turn, decision),
        response: answer.response,
        status,
        isStream,
        isComplete,
        ...(trail === undefined ? {} : { trail }),
        ...(charge === null ? {} : { charge }),
      },
      incoming.watch,
    )
    await written
    return isRecorded
  }
  const tee =
    slot === null ? null : createTee(body[Symbol.asyncIterator](), slot.cache.maxAnswerBytes)
  const source = tee?.source ?? body[Symbol.asyncIterator]()
  // Where there is no body, whatever its type is said to be, the record can be there before the headers.
  const isStream = !isBodiless(status) && (isEvents || (request.isStream && status === 200))
  const taken: Uint8Array[] = []
  if (!isStream) {
    const taking = () => hold(source, taken, capture)
    const held = await sendToLead(parts, turn, decision, taking, response)
    if (held === 'whole') {
      const isRecorded = await record(true, false)
      const id = isRecorded ? turn.id : null
      const named = { ...leadHeaders(parts, decision, id), ...told }
      const whole = isBodiless(status) ? null : joined(taken)
      return { status, headers: { ...headersFromLead(headers), ...named }, body: whole }
    }
  }
  const pieces = relayWithCapture(source, {
    wire,
    capture,
    taken,
    isEvents: isEvents && isPlain,
    onEnd: ({ isWhole }) => record(isWhole, isStream),
  })
  // Without a length the caller has the whole answer only at its end, which comes after the record.
  const { 'content-length': _, ...kept } = headersFromLead(headers)
  const named = { ...leadHeaders(parts, decision, turn.id), ...told }
  return streamReply(pieces, { status, headers: { ...kept, ...named } }, incoming.abort)
}

/**
 * Runs a step that needs the lead; where it fails, the failure is recorded as this exchange's answer. `head` is that of the
 * lead's answer, once it has come.
 */
async function sendToLead<T>(
  parts: ExchangeParts,
  turn: Turn,
  decision: Decision,
  step: () => Promise<T>,
  head: AnswerHead | null = null,
): Promise<T> {
  try {
    return await step()
  } catch (error) {
    const { status: told, body } = turn.wire.error(error)
    const trail = (isUnderstudyError(error) && error.details.trail) || head?.trail
    const { charge, written } = chargeUnanswered(turn, error, head)
    const hasCallerLeft = hasCode(error, 'cancelled')
    await parts.recorder.record(
      {
        ...exchangeOf(parts, turn, decision),
        response: hasCallerLeft ? null : body,
        status: told,
        isStream: turn.request.isStream,
        isComplete: false,
        ...(trail === undefined ? {} : { trail: trail as RouteTrail }),
        ...(charge === null ? {} : { charge }),
      },
      turn.incoming.watch,
    )
    await written
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
