/** The lead's bytes on their way to the caller, captured for the record. Never alters them. */
import { hasCode } from '../errors.ts'
import type { LeadResponse } from '../runtimes/index.ts'
import { formatSseComment, type Wire } from '../wire/index.ts'
import type { Capture } from './capture.ts'
import type { HeaderMap } from './intent.ts'
import { isBodiless, type Reply } from './reply.ts'

/** What becomes of the capture when the body has ended. Resolves to false where it could not be recorded. */
export type OnEnd = (end: { readonly isWhole: boolean }) => Promise<boolean>

/** What a browser would obey as this gateway's own word: who may read answers, and where the gateway is. */
const OF_THE_SITE =
  /^(?:access-control-.*|cross-origin-.*|alt-svc|clear-site-data|refresh|service-worker-allowed|strict-transport-security)$/u

/** Headers of the lead's response that go to the caller: none that speaks for the gateway, none that Node would not send. */
export function headersFromLead(headers: HeaderMap): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).filter(
      ([name, value]) =>
        !name.startsWith('x-understudy-') &&
        !OF_THE_SITE.test(name) &&
        /^[\t\x20-\x7e\x80-\xff]*$/u.test(value),
    ),
  )
}

export function isEventStream(headers: HeaderMap): boolean {
  return /^\s*text\/event-stream\b/iu.test(headers['content-type'] ?? '')
}

/** True where nothing was done to the bytes. */
export function isPlainEncoding(encoding: string | undefined): boolean {
  return encoding === undefined || /^\s*(?:identity\s*)?$/iu.test(encoding)
}

/** A reply whose body flows as the caller takes it. */
export function streamReply(
  body: AsyncGenerator<Uint8Array>,
  init: { readonly status: number; readonly headers: HeaderMap },
  abort: () => void,
): Reply {
  if (!isBodiless(init.status)) return { ...init, body }
  abort()
  void body.return(undefined)
  return { ...init, body: null }
}

/** The body as it is. */
export async function* relay({ body }: LeadResponse): AsyncGenerator<Uint8Array> {
  yield* body
}

export interface CapturedRelayOptions {
  readonly wire: Pick<Wire, 'errorEvent'>
  readonly capture: Capture
  readonly onEnd: OnEnd
  /** True where the caller reads events, so that notices can be added between them. */
  readonly isEvents: boolean
  /** Parts taken off the body, and captured, before. */
  readonly taken?: readonly Uint8Array[]
}

/**
 * The body as it is, while it is captured. The record is written before the last byte goes out: before the event that
 * closes a stream, else before the end of the response. Where the lead breaks off within a stream, one last event holds
 * the error.
 */
export async function* relayWithCapture(
  parts: AsyncIterator<Uint8Array>,
  { wire, capture, onEnd, isEvents, taken = [] }: CapturedRelayOptions,
): AsyncGenerator<Uint8Array> {
  let isEnded = false
  const end = async (isWhole: boolean): Promise<string> => {
    if (isEnded) return ''
    isEnded = true
    const isRecorded = await onEnd({ isWhole })
    return isRecorded || !isEvents
      ? ''
      : formatSseComment('understudy could not record this answer')
  }
  try {
    for (const part of taken) yield part
    for (let next = await parts.next(); !next.done; next = await parts.next()) {
      const part = next.value
      const isClosed = capture.add(part)
      if (isEvents && isClosed) {
        const notice = await end(true)
        yield part
        if (notice !== '') yield bytesOf(notice)
      } else {
        yield part
      }
    }
    const notice = await end(true)
    if (notice !== '') yield bytesOf(`\n\n${notice}`)
  } catch (error) {
    const notice = await end(false)
    if (!isEvents || hasCode(error, 'cancelled')) throw error
    // The break may fall within an event: a blank line ends it first.
    yield bytesOf(`\n\n${notice}${wire.errorEvent(error)}`)
  } finally {
    await end(false)
    await parts.return?.()
  }
}

function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}
