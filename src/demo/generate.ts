/** A seeded day at the support desk, as log lines with the lead's imperfect answers. Reads neither clock nor entropy. */
import { createRng, type Rng } from '../util/index.ts'
import { type Answer, renderCompletion } from '../wire/index.ts'
import { pickWeighted } from './grammar.ts'
import type { Draft, Expectation, Job, Message } from './job.ts'
import { JOBS } from './jobs.ts'
import { mistype } from './typos.ts'

export interface DayOptions {
  readonly seed: number | string
  /** Counts from 1; another day is another sample of the same traffic. */
  readonly day: number
  readonly requestCount: number
}

/** One line of a native log. */
export interface LogLine {
  readonly id: string
  /** ISO 8601. */
  readonly time: string
  readonly app: string
  readonly status: number
  readonly latency_ms: number
  readonly request: Readonly<Record<string, unknown>>
  readonly response: Readonly<Record<string, unknown>>
}

/** What happened to the lead's answer on its way. */
export type LeadSlip = 'none' | 'wrong' | 'outside-the-set' | 'truncated' | 'refused' | 'failed'

/** A log line together with what only the generator knows. */
export interface LabelledLine {
  readonly line: LogLine
  readonly job: string
  readonly expectation: Expectation
  /** What a careful person would have answered; null where there is no single right answer. */
  readonly truth: string | null
  /** The label the lead gave; null where it gave none of the set. */
  readonly leadLabel: string | null
  readonly slip: LeadSlip
}

const REPEAT_RATE = 0.05
const NEAR_REPEAT_RATE = 0.03
const MEMORY = 400
const FIRST_DAY_MS = Date.UTC(2026, 2, 9)
const DAY_MS = 86_400_000
/** Relative traffic of each hour of the day. */
const HOURS = [1, 1, 1, 1, 1, 2, 4, 9, 16, 22, 24, 22, 18, 19, 21, 21, 19, 16, 12, 9, 7, 5, 3, 2]

/** The day's log lines in order of time, streaming. The same options give the same lines. */
export function* generateDay(options: DayOptions): Generator<LogLine> {
  for (const { line } of generateLabelledDay(options)) yield line
}

/** The day's log lines with their truths, for honest measurement beside the lead's own answers. */
export function* generateLabelledDay({
  seed,
  day,
  requestCount,
}: DayOptions): Generator<LabelledLine> {
  const rng = createRng(`support-desk/${seed}/${day}`)
  const memories = new Map<Job, Message[]>(JOBS.map(job => [job, []]))
  const shares = JOBS.map(job => job.share)
  for (let index = 0; index < requestCount; index++) {
    const job = JOBS[pickWeighted(shares, rng)] as Job
    const message = nextMessage(job, memories.get(job) as Message[], rng)
    const timeMs =
      FIRST_DAY_MS + (day - 1) * DAY_MS + timeOfDay((index + rng.next()) / requestCount)
    yield answerAs(job, job.draft(message, rng), {
      id: `d${day}-${String(index).padStart(6, '0')}`,
      timeMs,
      rng,
    })
  }
}

/** A new message, or one that the same or another customer sent before, perhaps retyped. */
function nextMessage(job: Job, memory: Message[], rng: Rng): Message {
  const draw = rng.next()
  if (memory.length > 20 && draw < REPEAT_RATE) return rng.pick(memory)
  if (memory.length > 20 && draw < REPEAT_RATE + NEAR_REPEAT_RATE) {
    const earlier = rng.pick(memory)
    return { ...earlier, text: mistype(earlier.text, rng) }
  }
  const message = job.compose(rng)
  if (memory.length < MEMORY) memory.push(message)
  else memory[rng.int(MEMORY)] = message
  return message
}

/** Milliseconds after midnight by which `share` of the day's traffic has come. */
function timeOfDay(share: number): number {
  const total = HOURS.reduce((sum, weight) => sum + weight, 0)
  let left = share * total
  for (let hour = 0; hour < HOURS.length; hour++) {
    const weight = HOURS[hour] as number
    if (left < weight) return Math.floor((hour + left / weight) * 3_600_000)
    left -= weight
  }
  return DAY_MS - 1
}

interface Envelope {
  readonly id: string
  readonly timeMs: number
  readonly rng: Rng
}

function answerAs(job: Job, draft: Draft, { id, timeMs, rng }: Envelope): LabelledLine {
  const { label, slip } = leadAnswers(job, draft, rng)
  const request = { model: job.model, ...draft.body }
  const answer =
    slip === 'outside-the-set' ? draft.render(offScript(label, rng)) : draft.render(label)
  const latencyMs = Math.round(job.medianLatencyMs * Math.exp(0.32 * rng.normal()))
  return {
    line: {
      id,
      time: new Date(timeMs).toISOString(),
      app: job.app,
      status: slip === 'failed' ? 429 : 200,
      latency_ms: slip === 'failed' ? 60 + rng.int(120) : latencyMs,
      request,
      response:
        slip === 'failed'
          ? RATE_LIMITED
          : completion(job, request, answer, slip, { id, timeMs, rng }),
    },
    job: job.name,
    expectation: job.expectation,
    truth: draft.truth,
    leadLabel: job.labels.length > 0 && (slip === 'none' || slip === 'wrong') ? label : null,
    slip,
  }
}

const RATE_LIMITED = {
  error: {
    message: 'Rate limit reached for requests. Please try again later.',
    type: 'rate_limit_error',
    param: null,
    code: 'rate_limit_exceeded',
  },
}

/** What the lead says: mostly the truth, more often wrong where the message could mean two things. */
function leadAnswers(job: Job, draft: Draft, rng: Rng): { label: string; slip: LeadSlip } {
  const label = draft.truth ?? ''
  const draw = rng.next()
  if (draw < 0.004) return { label, slip: 'failed' }
  if (draw < 0.0052) return { label, slip: 'refused' }
  if (draw < 0.0064) return { label, slip: 'truncated' }
  if (job.labels.length === 0) return { label, slip: 'none' }
  if (draw < 0.009) return { label, slip: 'outside-the-set' }
  const wrongRate = draft.rivals.length > 0 ? 0.25 : 0.007
  if (rng.next() >= wrongRate) return { label, slip: 'none' }
  const others = draft.rivals.length > 0 ? draft.rivals : job.labels.filter(one => one !== label)
  return { label: rng.pick(others), slip: 'wrong' }
}

/** A label as leads write it when they forget the list. */
function offScript(label: string, rng: Rng): string {
  return rng.pick([`Label: ${label}`, 'unclear', 'general_enquiry', `${label} (probably)`])
}

function completion(
  job: Job,
  request: object,
  answer: Answer,
  slip: LeadSlip,
  { id, timeMs, rng }: Envelope,
): Readonly<Record<string, unknown>> {
  const written = answer.kind === 'text' ? answer.text : answer.argumentsText
  const whole = renderCompletion({
    id: `chatcmpl-${id}-${rng.int(1e9).toString(36)}`,
    created: Math.floor(timeMs / 1000),
    model: job.reportedModel,
    answer,
    usage: {
      promptTokens: 12 + Math.ceil(JSON.stringify(request).length / 4.4),
      completionTokens: 2 + Math.ceil(written.length / 4.2),
    },
    systemFingerprint: 'fp_nordlicht',
  })
  if (slip === 'truncated') return withChoice(whole, { content: written.slice(0, 4) }, 'length')
  if (slip === 'refused') {
    return withChoice(whole, { content: null, refusal: 'I cannot help with this request.' }, 'stop')
  }
  return whole
}

/** The completion with parts of its message replaced, as a text answer. */
function withChoice(
  whole: Readonly<Record<string, unknown>>,
  change: object,
  finishReason: string,
): Readonly<Record<string, unknown>> {
  const message = { role: 'assistant', refusal: null, annotations: [], ...change }
  return {
    ...whole,
    choices: [{ index: 0, message, logprobs: null, finish_reason: finishReason }],
  }
}
