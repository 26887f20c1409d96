/** Walks one writer's chain from a point to its end, with memory for one record. Knows nothing of other writers. */
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import {
  decodeHeader,
  decodePayload,
  HEADER_BYTES_MAX,
  type Header,
  NO_HASH,
  payloadState,
} from './format.ts'
import { findWriter, listSegments, segmentName, unreadable } from './layout.ts'
import type { LedgerRecord } from './records.ts'

/** Where to go on: the next record's place, and the last record before it. */
export interface ScanCursor {
  readonly segment: number
  readonly offset: number
  /** Of the last record before; −1 at the start. */
  readonly seq: number
  readonly hash: string
}

/** The start of a writer. */
export const START: ScanCursor = { segment: 0, offset: 0, seq: -1, hash: NO_HASH }

/** One thing found on the way. */
export type ScanItem =
  | {
      readonly type: 'record'
      readonly record: LedgerRecord
      /** `filler`: the payload was overwritten; whether rightly so, an `erasure` record says. */
      readonly payload: 'intact' | 'filler' | 'altered'
      /** What is wrong with the record or its place in the chain; null: nothing. */
      readonly fault: string | null
      readonly next: ScanCursor
    }
  /** The rest of a segment cannot be read as records. */
  | {
      readonly type: 'broken'
      readonly seq: number
      readonly segment: number
      readonly offset: number
      readonly fault: string
    }
  /** The last record is incomplete, as a crash leaves it; `offset` is where it begins. */
  | {
      readonly type: 'torn'
      readonly seq: number
      readonly segment: number
      readonly offset: number
      readonly byteCount: number
    }

const CHUNK_BYTES = 1024 * 1024

/**
 * Streams what a writer wrote, from a cursor on. Damage is an item, not an exception.
 * @throws file-unreadable when the operating system refuses
 */
export async function* scanWriter(
  dir: string,
  writer: string,
  from: ScanCursor = START,
  { parse = () => true }: { parse?: (kind: string) => boolean } = {},
): AsyncGenerator<ScanItem> {
  const folder = await findWriter(dir, writer)
  if (folder !== null) yield* scanFolder(folder.path, writer, from, parse)
}

/** The same for a folder that is already known. `parse` says of which kinds the payload is wanted. */
export async function* scanFolder(
  path: string,
  writer: string,
  from: ScanCursor = START,
  parse: (kind: string) => boolean = () => true,
): AsyncGenerator<ScanItem> {
  const present = await listSegments(path)
  const last = present.at(-1) ?? -1
  let cursor = from
  for (let segment = from.segment; segment <= last; segment++) {
    const start = segment === from.segment ? from.offset : 0
    cursor = { ...cursor, segment, offset: start }
    if (!present.includes(segment)) {
      yield broken(cursor, `segment ${segmentName(segment)} is missing`)
      continue
    }
    const isLast = segment === last
    for await (const item of scanSegment(path, writer, cursor, isLast, parse)) {
      if (item.type === 'record') cursor = item.next
      yield item
    }
  }
}

async function* scanSegment(
  path: string,
  writer: string,
  from: ScanCursor,
  isLast: boolean,
  parse: (kind: string) => boolean,
): AsyncGenerator<ScanItem> {
  const file = join(path, segmentName(from.segment))
  const handle = await open(file, 'r').catch(error => {
    throw unreadable(file, error)
  })
  try {
    const window = new Window(handle, from.offset)
    let cursor = from
    for (;;) {
      const frame = await readFrame(window)
      if (frame === 'end') return
      if (frame === 'short' || typeof frame.header === 'string') {
        const fault = frame === 'short' ? 'the record is incomplete' : (frame.header as string)
        yield await endOfReadable(window, cursor, isLast, frame === 'short', fault)
        return
      }
      const item = toItem(writer, cursor, frame as Frame, parse)
      cursor = item.next
      window.advance((frame as Frame).byteCount)
      yield item
    }
  } catch (error) {
    throw unreadable(file, error)
  } finally {
    await handle.close()
  }
}

function toItem(
  writer: string,
  at: ScanCursor,
  { header, payload: line, byteCount }: Frame,
  parse: (kind: string) => boolean,
): Extract<ScanItem, { type: 'record' }> {
  const state = payloadState(header, line)
  const { segment, offset } = at
  const { seq, hash, kind, time } = header
  const payload = state === 'intact' && parse(kind) ? (decodePayload(line) ?? null) : null
  return {
    type: 'record',
    record: { position: { writer, seq, segment, offset, hash }, kind, time, payload },
    payload: state,
    fault: chainFault(at, header) ?? (state === 'altered' ? 'the payload was altered' : null),
    next: { segment, offset: offset + byteCount, seq, hash },
  }
}

function chainFault(before: ScanCursor, header: Header): string | null {
  if (header.seq !== before.seq + 1) {
    return `record ${header.seq} stands where record ${before.seq + 1} belongs`
  }
  return header.prev === before.hash ? null : 'it does not continue the record before it'
}

/** Junk at the very end of the last segment is what a crash leaves, unless whole lines of it are there. */
async function endOfReadable(
  window: Window,
  at: ScanCursor,
  isLast: boolean,
  isShort: boolean,
  fault: string,
): Promise<ScanItem> {
  const { segment, offset } = at
  if (isLast && (isShort || (await window.endsInZeros()))) {
    const byteCount = (await window.size()) - offset
    return { type: 'torn', seq: at.seq + 1, segment, offset, byteCount }
  }
  return broken(at, fault)
}

function broken(at: ScanCursor, fault: string): ScanItem {
  const { seq, segment, offset } = at
  return { type: 'broken', seq: seq + 1, segment, offset, fault }
}

interface Frame {
  readonly header: Header
  readonly payload: Buffer
  readonly byteCount: number
}

/** `short`: the file ends inside the record. A string as header says why there is none. */
async function readFrame(window: Window): Promise<Frame | { header: string } | 'end' | 'short'> {
  const head = await window.peek(HEADER_BYTES_MAX)
  if (head.length === 0) return 'end'
  const end = head.indexOf(10)
  if (end < 0) {
    return head.length < HEADER_BYTES_MAX ? 'short' : { header: 'there is no record header here' }
  }
  const header = decodeHeader(head.subarray(0, end))
  if (typeof header === 'string') return { header }
  const byteCount = end + 1 + header.length + 1
  const whole = await window.peek(byteCount)
  if (whole.length < byteCount) return 'short'
  if (whole[byteCount - 1] !== 10) return { header: 'the payload is longer than its header says' }
  return { header, payload: whole.subarray(end + 1, byteCount - 1), byteCount }
}

/** A sliding view of a file: reads ahead in chunks, keeps one record. */
class Window {
  readonly #handle: FileHandle
  #offset: number
  #bytes: Buffer = Buffer.alloc(0)

  constructor(handle: FileHandle, offset: number) {
    this.#handle = handle
    this.#offset = offset
  }

  /** Up to `length` bytes from here; fewer only at the end of the file. */
  async peek(length: number): Promise<Buffer> {
    if (this.#bytes.length < length) {
      const want = Math.max(length - this.#bytes.length, CHUNK_BYTES)
      const buffer = Buffer.allocUnsafe(this.#bytes.length + want)
      this.#bytes.copy(buffer)
      let filled = this.#bytes.length
      while (filled < length) {
        const at = this.#offset + filled
        const { bytesRead } = await this.#handle.read(buffer, filled, buffer.length - filled, at)
        if (bytesRead === 0) break
        filled += bytesRead
      }
      this.#bytes = buffer.subarray(0, filled)
    }
    return this.#bytes.subarray(0, length)
  }

  advance(length: number): void {
    this.#bytes = this.#bytes.subarray(length)
    this.#offset += length
  }

  async size(): Promise<number> {
    return (await this.#handle.stat()).size
  }

  /** True where the file ends in a zero byte: a power cut left a length without its data. */
  async endsInZeros(): Promise<boolean> {
    const last = Buffer.alloc(1)
    await this.#handle.read(last, 0, 1, (await this.size()) - 1)
    return last[0] === 0
  }
}
