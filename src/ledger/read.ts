/** Reads single records back by position. */
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { isUnderstudyError, UnderstudyError } from '../errors.ts'
import {
  decodeHeader,
  decodePayload,
  HEADER_BYTES_MAX,
  type Header,
  payloadState,
} from './format.ts'
import { findWriter, segmentName, unreadable } from './layout.ts'
import type { LedgerRecord, RecordPosition } from './records.ts'

/** What it takes to find a record. */
export type RecordAddress = Pick<RecordPosition, 'writer' | 'segment' | 'offset'>

/** Reads many records; keeps a few files open. */
export interface LedgerReader {
  /** @throws not-found, ledger-corrupt, file-unreadable */
  read(address: RecordAddress): Promise<LedgerRecord>
  close(): Promise<void>
}

const OPEN_FILES_MAX = 16

/** A header line and its payload line, with the offset of the latter. */
export interface RawRecord {
  readonly header: Header
  readonly payload: Buffer
  readonly payloadOffset: number
}

/** Opens a reader on a ledger folder; costs nothing until used. */
export function openLedgerReader(dir: string): LedgerReader {
  const files = new Map<string, Promise<FileHandle>>()

  const fileOf = async (address: RecordAddress): Promise<FileHandle> => {
    const name = `${address.writer}/${address.segment}`
    const opened = files.get(name) ?? openSegment(dir, address)
    // The one used last goes to the end, so that the first is the one to close.
    files.delete(name)
    files.set(name, opened)
    opened.catch(() => files.delete(name))
    const [oldest] = files
    if (files.size > OPEN_FILES_MAX && oldest !== undefined) {
      files.delete(oldest[0])
      setTimeout(() => void oldest[1].then(closeQuietly, () => undefined), CLOSE_AFTER_MS)
    }
    return opened
  }
  return {
    async read(address) {
      return toRecord(address, await readRaw(await fileOf(address), address))
    },
    async close() {
      const all = [...files.values()]
      files.clear()
      await Promise.all(all.map(file => file.then(closeQuietly, () => undefined)))
    },
  }
}

/** Reads that began before their file was pushed out end within this time. */
const CLOSE_AFTER_MS = 5_000

const closeQuietly = (file: FileHandle): Promise<void> => file.close().catch(() => undefined)

/**
 * Reads one record.
 * @throws not-found, ledger-corrupt, file-unreadable
 */
export async function readRecord(dir: string, address: RecordAddress): Promise<LedgerRecord> {
  const file = await openSegment(dir, address)
  try {
    return toRecord(address, await readRaw(file, address))
  } finally {
    await file.close()
  }
}

/** Opens the segment of an address. @throws not-found, file-unreadable */
export async function openSegment(
  dir: string,
  address: RecordAddress,
  flags: 'r' | 'r+' = 'r',
): Promise<FileHandle> {
  const folder = await findWriter(dir, address.writer)
  if (folder === null) throw notFound(address)
  const path = join(folder.path, segmentName(address.segment))
  return open(path, flags).catch(error => {
    throw error.code === 'ENOENT' ? notFound(address) : unreadable(path, error)
  })
}

/** Reads header and payload at an address. @throws not-found, ledger-corrupt */
export async function readRaw(file: FileHandle, address: RecordAddress): Promise<RawRecord> {
  try {
    const head = await readAt(file, HEADER_BYTES_MAX, address.offset)
    if (head.length === 0) throw notFound(address)
    const end = head.indexOf(10)
    const header = end < 0 ? 'there is no record header here' : decodeHeader(head.subarray(0, end))
    if (typeof header === 'string') throw corrupt(address, header)
    const payloadOffset = address.offset + end + 1
    const payload = await readAt(file, header.length, payloadOffset)
    if (payload.length < header.length) throw corrupt(address, 'the payload is incomplete')
    return { header, payload, payloadOffset }
  } catch (error) {
    if (isUnderstudyError(error)) throw error
    throw unreadable(`${address.writer}/${segmentName(address.segment)}`, error)
  }
}

async function readAt(file: FileHandle, length: number, position: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length)
  let filled = 0
  while (filled < length) {
    const { bytesRead } = await file.read(buffer, filled, length - filled, position + filled)
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return buffer.subarray(0, filled)
}

function toRecord(address: RecordAddress, { header, payload }: RawRecord): LedgerRecord {
  const state = payloadState(header, payload)
  if (state === 'altered') throw corrupt(address, 'the payload was altered')
  const { seq, hash, kind, time } = header
  const { writer, segment, offset } = address
  return {
    position: { writer, seq, segment, offset, hash },
    kind,
    time,
    payload: state === 'intact' ? decodePayload(payload) : null,
  }
}

function notFound({ writer, segment, offset }: RecordAddress): UnderstudyError {
  return new UnderstudyError('not-found', `no record at ${writer}/${segment}/${offset}`, {
    help: 'Run `understudy ledger verify`: a segment may be missing.',
  })
}

function corrupt({ writer, segment, offset }: RecordAddress, fault: string): UnderstudyError {
  return new UnderstudyError(
    'ledger-corrupt',
    `record at ${writer}/${segment}/${offset}: ${fault}`,
    {
      help: 'Run `understudy ledger verify` for all that is wrong, then restore a backup.',
    },
  )
}
