/** Captures a lead's answer as it passes: folded event by event, or kept and parsed. Trusts no header about what it is. */
import { brotliDecompressSync, gunzipSync, inflateSync } from 'node:zlib'
import {
  createSseParser,
  type SseParser,
  type StreamFold,
  tryJson,
  type Wire,
} from '../wire/index.ts'
import { createBoundedCopy } from './body.ts'
import { isPlainEncoding } from './relay.ts'

export interface CapturedAnswer {
  /** JSON where it parses, a stream folded into one response, else text; null where too little was kept. */
  readonly response: unknown
  /** False where the stream broke off, or more came than is kept. */
  readonly isComplete: boolean
}

export interface Capture {
  /** True from the event on that closes the stream, which is in these bytes or came before. Never throws. */
  add(part: Uint8Array): boolean
  /** What came so far. */
  result(): CapturedAnswer
}

export interface CaptureOptions {
  readonly wire: Pick<Wire, 'createFold' | 'closes'>
  /** The response's content encoding. */
  readonly encoding: string | undefined
  /** Most bytes of an answer that are looked at. */
  readonly maxBytes: number
}

const DECODERS: Readonly<Record<string, typeof gunzipSync>> = {
  gzip: gunzipSync,
  'x-gzip': gunzipSync,
  deflate: inflateSync,
  br: brotliDecompressSync,
}

/** Bytes after which an answer that has not begun like events is none. */
const SNIFFED_BYTES = 64

/** Memory: the fold of a stream, or at most `maxBytes` of anything else. */
export function createCapture({ wire, encoding, maxBytes }: CaptureOptions): Capture {
  const copy = createBoundedCopy(maxBytes)
  let kind: 'unknown' | 'events' | 'bytes' = isPlainEncoding(encoding) ? 'unknown' : 'bytes'
  let events: EventCapture | null = null
  const sniff = (): void => {
    const bytes = copy.bytes()
    if (looksLikeEventStream(bytes)) {
      kind = 'events'
      events = createEventCapture(wire, maxBytes)
      events.add(bytes)
    } else if (bytes.length >= SNIFFED_BYTES) kind = 'bytes'
  }
  return {
    add(part) {
      if (events !== null) return events.add(part)
      copy.add(part)
      if (kind === 'unknown') sniff()
      return (events as EventCapture | null)?.isClosed ?? false
    },
    result() {
      if (events !== null) return events.result()
      const bytes = decompressed(copy.bytes(), encoding, maxBytes)
      if (bytes === null || copy.isTruncated) return { response: null, isComplete: false }
      if (looksLikeEventStream(bytes)) {
        const late = createEventCapture(wire, maxBytes)
        late.add(bytes)
        return late.result()
      }
      const text = new TextDecoder().decode(bytes)
      const json = tryJson(text)
      return { response: json === null ? text : json.value, isComplete: json !== null }
    },
  }
}

interface EventCapture {
  add(part: Uint8Array): boolean
  readonly isClosed: boolean
  result(): CapturedAnswer
}

function createEventCapture(
  wire: Pick<Wire, 'createFold' | 'closes'>,
  maxBytes: number,
): EventCapture {
  const parser: SseParser = createSseParser({ maxEventLength: maxBytes })
  const fold: StreamFold = wire.createFold()
  let length = 0
  let isClosed = false
  const take = (found: ReturnType<SseParser['push']>): void => {
    for (const event of found) {
      if (length <= maxBytes) fold.add(event)
      isClosed ||= wire.closes(event)
    }
  }
  return {
    add(part) {
      length += part.length
      take(parser.push(part))
      return isClosed
    },
    get isClosed() {
      return isClosed
    },
    result() {
      take(parser.end())
      const { response, isComplete } = fold.result()
      const isCut = length > maxBytes || parser.isOverflown
      return { response, isComplete: isComplete && !isCut }
    },
  }
}

function decompressed(
  bytes: Uint8Array,
  encoding: string | undefined,
  maxOutputLength: number,
): Uint8Array | null {
  if (isPlainEncoding(encoding)) return bytes
  const name = encoding?.trim().toLowerCase() ?? ''
  const decode = Object.hasOwn(DECODERS, name) ? DECODERS[name] : undefined
  try {
    return decode?.(bytes, { maxOutputLength }) ?? null
  } catch {
    return null
  }
}

/** JSON never begins with a field name and a colon, or with a bare colon. */
function looksLikeEventStream(bytes: Uint8Array): boolean {
  const start = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, SNIFFED_BYTES))
  return /^\uFEFF?\s*(?:data|event|id|retry)?:/u.test(start.toString('utf8'))
}
