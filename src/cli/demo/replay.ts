/** Sends a day's requests to a gateway at a steady pace and notes what came back. Judges nothing. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { LabelledLine } from '../../demo/index.ts'
import { systemClock } from '../../util/index.ts'
import { CHAT_PATH, isObject, tryJson } from '../../wire/index.ts'
import type { Client } from '../client.ts'

/** What came back for one request of the day. */
export interface Reply {
  readonly source: LabelledLine
  readonly status: number
  readonly body: unknown
  /** `lead`, `encoder`, `reflex` …; '' where the header is missing. */
  readonly servedBy: string
  readonly task: string | null
  readonly decisionId: string | null
  readonly hasCertificate: boolean
  /** As the client saw it, connection included. */
  readonly latencyMs: number
}

export interface ReplayOptions {
  /** Of the process that serves. */
  readonly client: Client
  readonly requestsPerSecond: number
  readonly signal: AbortSignal
  readonly onProgress: (doneCount: number) => void
}

/** More unanswered requests than this, and the next one waits: the gateway is not keeping up. */
const MAX_IN_FLIGHT = 256

/**
 * Sends the requests in their order, starting them at a steady pace whether or not earlier ones are answered, as
 * independent customers do. After an interruption, what is under way is left to end by itself.
 */
export async function replayDay(
  lines: readonly LabelledLine[],
  { client, requestsPerSecond, signal, onProgress }: ReplayOptions,
): Promise<readonly Reply[]> {
  const replies: Reply[] = []
  const inFlight = new Set<Promise<void>>()
  const startMs = systemClock.monotonic()
  for (const [index, source] of lines.entries()) {
    signal.throwIfAborted()
    const dueMs = startMs + (index * 1000) / requestsPerSecond
    const waitMs = dueMs - systemClock.monotonic()
    if (waitMs > 1) await sleep(waitMs, undefined, { signal })
    if (inFlight.size >= MAX_IN_FLIGHT) await Promise.race(inFlight)
    const sent: Promise<void> = send(source, client).then(reply => {
      replies.push(reply)
      inFlight.delete(sent)
      onProgress(replies.length)
    })
    inFlight.add(sent)
    // A failure ends the replay at the `all` below or at the next race; meanwhile it is not unhandled.
    sent.catch(() => {})
  }
  await Promise.all(inFlight)
  return replies
}

async function send(source: LabelledLine, client: Client): Promise<Reply> {
  const startMs = systemClock.monotonic()
  const response = await client.request(CHAT_PATH, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-understudy-app': source.line.app },
    body: JSON.stringify(source.line.request),
  })
  const text = await response.text()
  const latencyMs = systemClock.monotonic() - startMs
  const header = (name: string): string | null => response.headers.get(`x-understudy-${name}`)
  return {
    source,
    status: response.status,
    body: tryJson(text)?.value ?? null,
    servedBy: header('served-by') ?? '',
    task: header('task'),
    decisionId: header('decision'),
    hasCertificate: header('certificate') !== null,
    latencyMs,
  }
}

/** Reason codes of the replies that the lead gave, by how often they occur, read back from the decisions. */
export async function escalationReasons(
  replies: readonly Reply[],
  client: Client,
  signal: AbortSignal,
): Promise<Readonly<Record<string, number>>> {
  const counts: Record<string, number> = {}
  const waiting = replies.filter(reply => reply.servedBy === 'lead' && reply.decisionId !== null)
  const worker = async (): Promise<void> => {
    for (let reply = waiting.pop(); reply !== undefined; reply = waiting.pop()) {
      signal.throwIfAborted()
      const response = await client.request(`/understudy/v1/decisions/${reply.decisionId}`)
      const trace = tryJson(await response.text())?.value
      const decision = isObject(trace) && isObject(trace.decision) ? trace.decision : null
      const reason = typeof decision?.reason === 'string' ? decision.reason : 'unknown'
      counts[reason] = (counts[reason] ?? 0) + 1
    }
  }
  await Promise.all(Array.from({ length: 8 }, worker))
  return counts
}
