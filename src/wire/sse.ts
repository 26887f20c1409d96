/** Server-sent events: bytes in, events out, and back. Knows nothing of what the events say. */

export interface SseEvent {
  /** `message` where the stream names none. */
  readonly event: string
  readonly data: string
  readonly id: string | null
}

export interface SseParser {
  /** Events completed by these bytes. */
  push(bytes: Uint8Array): readonly SseEvent[]
  /** The last event, where the stream ended without its closing blank line. */
  end(): readonly SseEvent[]
  /** True where an event outgrew the limit and was dropped. */
  readonly isOverflown: boolean
}

const DEFAULT_MAX_EVENT_LENGTH = 8 * 1024 * 1024

/**
 * An incremental parser after the WHATWG's event-stream grammar: LF, CRLF or CR; comments; data over several lines;
 * UTF-8 split anywhere. Holds at most one event of `maxEventLength` UTF-16 units; a longer one is dropped.
 */
export function createSseParser({
  maxEventLength = DEFAULT_MAX_EVENT_LENGTH,
}: {
  readonly maxEventLength?: number
} = {}): SseParser {
  const decoder = new TextDecoder('utf-8')
  let pending: string[] = []
  let pendingLength = 0
  let fields = emptyFields()
  let endedWithCr = false
  let isOverflown = false

  const readLine = (line: string, out: SseEvent[]): void => {
    if (line !== '') {
      if (fields.length + line.length <= maxEventLength) readField(line, fields)
      else isOverflown = fields.isTooLong = true
      return
    }
    if (fields.data.length > 0 && !fields.isTooLong) out.push(eventOf(fields))
    fields = emptyFields()
  }

  const takeLine = (piece: string, out: SseEvent[]): void => {
    const line = pending.length === 0 ? piece : pending.join('') + piece
    pending = []
    pendingLength = 0
    readLine(line, out)
  }

  const keep = (piece: string): void => {
    if (pendingLength + piece.length > maxEventLength) {
      isOverflown = fields.isTooLong = true
      // The line's first unit is kept, so that the line is not mistaken for the blank one that ends an event.
      pending = [':']
      pendingLength = 1
    } else {
      pending.push(piece)
      pendingLength += piece.length
    }
  }

  const feed = (text: string): readonly SseEvent[] => {
    const out: SseEvent[] = []
    let start = endedWithCr && text.startsWith('\n') ? 1 : 0
    if (text !== '') endedWithCr = text.endsWith('\r')
    const lineEnd = /\r\n|\n|\r/gu
    lineEnd.lastIndex = start
    for (let found = lineEnd.exec(text); found !== null; found = lineEnd.exec(text)) {
      takeLine(text.slice(start, found.index), out)
      start = lineEnd.lastIndex
    }
    if (start < text.length) keep(text.slice(start))
    return out
  }

  return {
    push: bytes => feed(decoder.decode(bytes, { stream: true })),
    end() {
      const out = [...feed(decoder.decode())]
      if (pending.length > 0) takeLine('', out)
      readLine('', out)
      return out
    },
    get isOverflown() {
      return isOverflown
    },
  }
}

interface Fields {
  event: string
  data: string[]
  id: string | null
  length: number
  isTooLong: boolean
}

function emptyFields(): Fields {
  return { event: 'message', data: [], id: null, length: 0, isTooLong: false }
}

function readField(line: string, fields: Fields): void {
  const colon = line.indexOf(':')
  if (colon === 0) return
  const name = colon === -1 ? line : line.slice(0, colon)
  const value = colon === -1 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1)
  fields.length += line.length
  if (name === 'data') fields.data.push(value)
  else if (name === 'event') fields.event = value
  else if (name === 'id') fields.id = value
}

function eventOf({ event, data, id }: Fields): SseEvent {
  return { event, data: data.join('\n'), id }
}

/** One event as text. Line breaks in `data` become several `data:` lines. */
export function formatSse(
  data: string,
  { event, id }: { event?: string; id?: string } = {},
): string {
  const head = `${event === undefined ? '' : `event: ${event}\n`}${id === undefined ? '' : `id: ${id}\n`}`
  const lines = data.includes('\n') || data.includes('\r') ? data.split(/\r\n|\n|\r/u) : [data]
  return `${head}${lines.map(line => `data: ${line}\n`).join('')}\n`
}

/** A comment, which every parser skips. */
export function formatSseComment(text: string): string {
  return `: ${text.replace(/[\r\n]+/gu, ' ')}\n\n`
}

/** The event that closes a stream of chunks. */
export const SSE_DONE = 'data: [DONE]\n\n'
