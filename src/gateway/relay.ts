/** The lead's bytes on their way to the caller, with a copy for the record. Never alters them. */
import { isUnderstudyError } from '../errors.ts'
import type { LeadResponse } from '../runtimes/index.ts'
import { errorBody, formatSse, formatSseComment } from '../wire/index.ts'
import type { BoundedCopy } from './body.ts'
import type { HeaderMap } from './intent.ts'
import { isBodiless, type Reply } from './reply.ts'

/** What becomes of the copy when the body has ended. Resolves to false where it could not be recorded. */
export type OnEnd = (end: { readonly isWhole: boolean }) => Promise<boolean>

/** Headers of the lead's response that go to the caller. */
export function headersFromLead(headers: HeaderMap): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => !name.startsWith('x-understudy-')),
  )
}

export function isEventStream(headers: HeaderMap): boolean {
  return /^\s*text\/event-stream\b/iu.test(headers['content-type'] ?? '')
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

export interface CopiedRelayOptions {
  readonly copy: BoundedCopy
  readonly onEnd: OnEnd
  /** True where the caller reads events, so that notices can be added between them. */
  readonly isEvents: boolean
  /** Parts taken off the body before. */
  readonly taken?: readonly Uint8Array[]
}

/**
 * The body as it is, while a copy is kept. The record is written before the last byte goes out: before the event that
 * closes a stream, else before the end of the response. Where the lead breaks off within a stream, one last event holds
 * the error.
 */
export async function* relayWithCopy(
  parts: AsyncIterator<Uint8Array>,
  { copy, onEnd, isEvents, taken = [] }: CopiedRelayOptions,
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
  const isClosing = closingDetector()
  try {
    for (const part of taken) yield part
    for (let next = await parts.next(); !next.done; next = await parts.next()) {
      const part = next.value
      copy.add(part)
      if (isEvents && isClosing(part)) {
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
    if (!isEvents || (isUnderstudyError(error) && error.code === 'cancelled')) throw error
    // The break may fall within an event: a blank line ends it first.
    yield bytesOf(`\n\n${notice}${formatSse(JSON.stringify(errorBody(error).body))}`)
  } finally {
    await end(false)
  }
}

/** Tells whether the event that closes a stream is in this part, also where it is cut in two. */
function closingDetector(): (part: Uint8Array) => boolean {
  let tail = '\n'
  return part => {
    const text = tail + Buffer.from(part.buffer, part.byteOffset, part.length).toString('latin1')
    tail = text.slice(-16)
    return /[\r\n]data: ?\[DONE\]/u.test(text)
  }
}

function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}
