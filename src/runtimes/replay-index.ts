/** Where each recorded request lies in a native log, by what it asks. Holds offsets, never bodies. */
import { type FileHandle, open } from 'node:fs/promises'
import { UnderstudyError } from '../errors.ts'
import { sha256 } from '../platform/index.ts'
import { canonicalJson } from '../util/index.ts'
import { deliveryOf, parseLogLine, tryJson } from '../wire/index.ts'

type Json = Readonly<Record<string, unknown>>

/** One line of the log, read back. */
export interface Recording {
  readonly request: Json
  readonly response: Json
  readonly status: number
  readonly latencyMs: number
}

export interface ReplayIndex {
  /** The next recording of this request, null where there is none; several are taken in turn, for ever. */
  next(request: Json): Promise<Recording | null>
  /** Models that recorded requests name. */
  readonly models: ReadonlySet<string>
  readonly recordingCount: number
  /** Lines that hold no recording. */
  readonly brokenLineCount: number
  close(): Promise<void>
}

interface Places {
  /** Offset and length of each line, alternating. */
  readonly spans: number[]
  turn: number
}

/** A line longer than this is skipped as broken. */
const MAX_LINE_BYTES = 64 * 1024 * 1024
const CHUNK_BYTES = 1024 * 1024
const LINE_FEED = 10

/** What makes two requests the same: everything but how the answer is to be delivered. */
function keyOf(request: Json): string {
  return sha256(canonicalJson(deliveryOf(request).asked)).slice(0, 24)
}

/**
 * Reads the log once, front to back.
 * @throws file-unreadable
 */
export async function openReplayIndex(file: string): Promise<ReplayIndex> {
  const handle = await openLog(file)
  const places = new Map<string, Places>()
  const models = new Set<string>()
  let recordingCount = 0
  let brokenLineCount = 0
  for await (const { offset, bytes, length } of linesOf(handle)) {
    const recording = bytes === null ? null : recordingOf(bytes)
    if (recording === null) {
      brokenLineCount++
      continue
    }
    const key = keyOf(recording.request)
    const known = places.get(key)
    if (known === undefined) places.set(key, { spans: [offset, length], turn: 0 })
    else known.spans.push(offset, length)
    if (typeof recording.request.model === 'string') models.add(recording.request.model)
    recordingCount++
  }
  return {
    models,
    recordingCount,
    brokenLineCount,
    async next(request) {
      const found = places.get(keyOf(request))
      if (found === undefined) return null
      const at = found.turn * 2
      found.turn = (found.turn + 1) % (found.spans.length / 2)
      return readRecording(handle, found.spans[at] as number, found.spans[at + 1] as number)
    },
    close: () => handle.close(),
  }
}

async function openLog(file: string): Promise<FileHandle> {
  try {
    const handle = await open(file, 'r')
    if ((await handle.stat()).isFile()) return handle
    await handle.close()
  } catch (cause) {
    throw unreadable(file, cause)
  }
  throw unreadable(file, undefined)
}

function unreadable(file: string, cause: unknown): UnderstudyError {
  return new UnderstudyError('file-unreadable', `The recorded traffic '${file}' cannot be read.`, {
    help: 'Give a file of JSON Lines, one object with `request` and `response` a line.',
    cause,
  })
}

async function readRecording(
  handle: FileHandle,
  offset: number,
  length: number,
): Promise<Recording | null> {
  const bytes = Buffer.allocUnsafe(length)
  const { bytesRead } = await handle.read(bytes, 0, length, offset)
  return recordingOf(bytes.subarray(0, bytesRead))
}

function recordingOf(bytes: Uint8Array): Recording | null {
  const line = tryJson(new TextDecoder().decode(bytes))
  const parsed = line === null ? null : parseLogLine('native', line.value)
  if (parsed?.kind !== 'entry') return null
  const { request, response, status, latencyMs } = parsed.entry
  return { request, response, status, latencyMs: latencyMs ?? 0 }
}

interface Line {
  readonly offset: number
  readonly length: number
  /** Null where the line is too long to be held. */
  readonly bytes: Uint8Array | null
}

/** Lines with their byte offsets; blank ones are left out. Memory: one line and one chunk. */
async function* linesOf(handle: FileHandle): AsyncGenerator<Line> {
  let parts: Uint8Array[] = []
  let start = 0
  let held = 0
  let position = 0
  const finish = (length: number): Line | null => {
    const bytes = held < length ? null : Buffer.concat(parts)
    const line = { offset: start, length, bytes }
    const isBlank = bytes !== null && bytes.toString('latin1').trim() === ''
    parts = []
    held = 0
    return isBlank ? null : line
  }
  const keep = (part: Uint8Array): void => {
    if (held + part.length > MAX_LINE_BYTES) return
    parts.push(part)
    held += part.length
  }
  for (;;) {
    const chunk = Buffer.allocUnsafe(CHUNK_BYTES)
    const { bytesRead } = await handle.read(chunk, 0, CHUNK_BYTES, position)
    if (bytesRead === 0) break
    const bytes = chunk.subarray(0, bytesRead)
    let from = 0
    for (let at = bytes.indexOf(LINE_FEED); at !== -1; at = bytes.indexOf(LINE_FEED, from)) {
      keep(bytes.subarray(from, at))
      const line = finish(position + at - start)
      if (line !== null) yield line
      from = at + 1
      start = position + from
    }
    keep(bytes.subarray(from))
    position += bytesRead
  }
  const last = finish(position - start)
  if (last !== null) yield last
}
