/** Takes single members out of a zip file as streams, with bounds. Knows stored and deflated members, nothing of wheels. */
import { type FileHandle, open } from 'node:fs/promises'
import { pipeline, Readable } from 'node:stream'
import { createInflateRaw } from 'node:zlib'

const END_SIGNATURE = 0x06054b50
const ENTRY_SIGNATURE = 0x02014b50
const LOCAL_SIGNATURE = 0x04034b50
const END_BYTES = 22
const MAX_COMMENT = 0xffff
const MAX_DIRECTORY = 16 * 2 ** 20
const STORED = 0
const DEFLATED = 8

export interface ZipMember {
  readonly name: string
  readonly bytes: number
  /** The content, read when iterated. The caller counts what arrives: the header may lie. */
  open(): Promise<AsyncIterable<Uint8Array>>
}

export interface ZipFile {
  readonly members: ReadonlyMap<string, ZipMember>
  close(): Promise<void>
}

/** @throws Error saying what is wrong with the file (APPNOTE.TXT 6.3, sections 4.3.7, 4.3.12, 4.3.16) */
export async function openZip(path: string): Promise<ZipFile> {
  const file = await open(path)
  try {
    const members = await readDirectory(file)
    return { members, close: () => file.close() }
  } catch (error) {
    await file.close()
    throw error
  }
}

async function readDirectory(file: FileHandle): Promise<ReadonlyMap<string, ZipMember>> {
  const { size } = await file.stat()
  const tail = await readAt(file, Math.max(0, size - END_BYTES - MAX_COMMENT), size)
  let at = tail.byteLength - END_BYTES
  while (at >= 0 && tail.readUInt32LE(at) !== END_SIGNATURE) at--
  if (at < 0) throw new Error('it is not a zip file')
  const count = tail.readUInt16LE(at + 10)
  const length = tail.readUInt32LE(at + 12)
  const start = tail.readUInt32LE(at + 16)
  if (count === 0xffff || start === 0xffffffff) throw new Error('it is a zip64 file')
  if (length > MAX_DIRECTORY || start + length > size) throw new Error('its directory lies')
  const directory = await readAt(file, start, start + length)
  const members = new Map<string, ZipMember>()
  for (let i = 0, entry = 0; i < count; i++) {
    if (entry + 46 > length || directory.readUInt32LE(entry) !== ENTRY_SIGNATURE) {
      throw new Error('its directory is damaged')
    }
    const nameEnd = entry + 46 + directory.readUInt16LE(entry + 28)
    const name = directory.toString('utf8', entry + 46, nameEnd)
    members.set(name, member(file, size, name, directory.subarray(entry, entry + 46)))
    entry = nameEnd + directory.readUInt16LE(entry + 30) + directory.readUInt16LE(entry + 32)
  }
  return members
}

function member(file: FileHandle, size: number, name: string, entry: Buffer): ZipMember {
  const method = entry.readUInt16LE(10)
  const packed = entry.readUInt32LE(20)
  const local = entry.readUInt32LE(42)
  return {
    name,
    bytes: entry.readUInt32LE(24),
    async open() {
      if (method !== STORED && method !== DEFLATED) {
        throw new Error(`${name} is packed by the unknown method ${method}`)
      }
      const header = await readAt(file, local, local + 30)
      if (header.byteLength < 30 || header.readUInt32LE(0) !== LOCAL_SIGNATURE) {
        throw new Error(`${name} is not where the directory says`)
      }
      const start = local + 30 + header.readUInt16LE(26) + header.readUInt16LE(28)
      if (start + packed > size) throw new Error(`${name} reaches past the end`)
      const raw = Readable.from(slices(file, start, start + packed))
      if (method === STORED) return raw
      // The callback is pipeline's; whoever reads `inflate` meets the same error there.
      return pipeline(raw, createInflateRaw(), () => {})
    },
  }
}

async function* slices(file: FileHandle, start: number, end: number): AsyncIterable<Buffer> {
  for (let at = start; at < end; ) {
    const slice = await readAt(file, at, Math.min(end, at + 2 ** 18))
    if (slice.byteLength === 0) throw new Error('the zip file ends too early')
    at += slice.byteLength
    yield slice
  }
}

async function readAt(file: FileHandle, start: number, end: number): Promise<Buffer> {
  const buffer = Buffer.alloc(Math.max(0, end - start))
  const { bytesRead } = await file.read(buffer, 0, buffer.byteLength, start)
  return buffer.subarray(0, bytesRead)
}
