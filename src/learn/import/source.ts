/** Opens the files of an import and reads their records as a stream: JSON Lines, JSON arrays, CSV, TSV, each also gzipped. */
import { createReadStream } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { createGunzip } from 'node:zlib'
import { isUnderstudyError, UnderstudyError } from '../../errors.ts'
import { tryJson } from '../../wire/index.ts'
import { isCsvName, readCsv } from './csv.ts'
import { createSplitter, type Piece } from './split.ts'

/** One record of a file, or why there is none. `offset` and `byteLength` locate it where the file is plain JSON Lines. */
export type SourceItem =
  | {
      readonly line: number
      readonly text: string
      readonly value: unknown
      readonly offset: number
      readonly byteLength: number
    }
  | { readonly line: number; readonly reason: string }

export interface SourceFile {
  readonly path: string
  readonly byteLength: number
  readonly isGzip: boolean
  readonly isCsv: boolean
}

/** Longer lines are skipped unread: no honest exchange comes near. */
export const MAX_LINE_BYTES = 64 * 2 ** 20
const CHUNK_BYTES = 2 ** 20
const HEAD_BYTES = 4096

/** @throws file-unreadable */
export async function openSource(path: string): Promise<SourceFile> {
  try {
    const info = await stat(path)
    if (info.isDirectory()) throw new Error('it is a folder')
    if (!info.isFile()) throw new Error('it is no regular file')
    const head = await headOf(path)
    if (isBinary(head)) {
      throw unreadable(
        path,
        'it is not text',
        'Give CSV, TSV, JSON Lines or JSON, or one of them gzipped.',
      )
    }
    return {
      path,
      byteLength: info.size,
      isGzip: head[0] === 0x1f && head[1] === 0x8b,
      isCsv: isCsvName(path),
    }
  } catch (cause) {
    throw isUnderstudyError(cause) ? cause : unreadable(path, cause)
  }
}

async function headOf(path: string): Promise<Buffer> {
  const file = await open(path)
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(HEAD_BYTES), 0, HEAD_BYTES, 0)
    return buffer.subarray(0, bytesRead)
  } finally {
    await file.close()
  }
}

/** Of random bytes a tenth are control characters that no text has; of UTF-16, of which CSV may be the little-endian kind, many are zero. */
function isBinary(head: Buffer): boolean {
  const mark = head.subarray(0, 2).toString('hex')
  if (['1f8b', 'fffe'].includes(mark)) return false
  const odd = head.filter(byte => byte < 9 || (byte > 13 && byte < 32 && byte !== 27))
  return odd.length > 2 + 0.02 * head.length
}

export function unreadable(
  path: string,
  cause: unknown,
  help = 'Check the path and the permissions.',
): UnderstudyError {
  const isMissing = cause instanceof Error && (cause as NodeJS.ErrnoException).code === 'ENOENT'
  const message = cause instanceof Error ? cause.message.replace(/, .*/, '') : String(cause)
  const why = isMissing ? 'there is no such file' : message
  return new UnderstudyError('file-unreadable', `${path} cannot be read: ${why}.`, {
    help,
    cause,
  })
}

export interface ReadOptions {
  readonly maxLineBytes?: number
  /** Told the bytes of the file read so far (packed, where it is packed). */
  readonly onBytes?: (byteCount: number) => void
}

/**
 * The records of a file, some at a time. Damage is a record with a reason, not an error.
 * @throws file-unreadable where reading itself fails, or a name of a column of CSV stands for two
 */
export async function* readSource(
  file: SourceFile,
  options: ReadOptions = {},
): AsyncGenerator<readonly SourceItem[]> {
  const maxBytes = options.maxLineBytes ?? MAX_LINE_BYTES
  const bytes = readBytes(file, options)
  try {
    if (file.isCsv) yield* readCsv(bytes, { path: file.path, maxBytes })
    else yield* readJson(bytes, maxBytes)
  } catch (error) {
    // Where lines cannot be told apart behind it, as in CSV, damage ends the reading.
    if (!isDamage(error)) throw error
    throw unreadable(
      file.path,
      new Error(`the gzip data is damaged or cut off (${error.message})`),
      'Copy or download the file again.',
    )
  }
}

async function* readJson(
  chunks: AsyncIterable<Uint8Array>,
  maxBytes: number,
): AsyncGenerator<readonly SourceItem[]> {
  const splitter = createSplitter({ maxBytes })
  try {
    for await (const chunk of chunks) yield splitter.push(chunk).map(parsePiece)
  } catch (error) {
    if (!isDamage(error)) throw error
    yield [
      ...splitter.end().map(parsePiece),
      { line: 0, reason: `the gzip data is damaged: ${error.message}` },
    ]
    return
  }
  yield splitter.end().map(parsePiece)
}

function parsePiece(piece: Piece): SourceItem {
  if ('reason' in piece) return piece
  const parsed = tryJson(piece.text)
  return parsed === null
    ? { line: piece.line, reason: 'not valid JSON' }
    : { ...piece, value: parsed.value }
}

async function* readBytes(file: SourceFile, { onBytes }: ReadOptions): AsyncGenerator<Uint8Array> {
  const raw = createReadStream(file.path, { highWaterMark: CHUNK_BYTES })
  const gunzip = file.isGzip ? raw.pipe(createGunzip({ chunkSize: CHUNK_BYTES })) : null
  raw.on('error', error => gunzip?.destroy(error))
  let byteCount = 0
  try {
    for await (const chunk of (gunzip ?? raw) as AsyncIterable<Buffer>) {
      byteCount = gunzip === null ? byteCount + chunk.length : gunzip.bytesWritten
      onBytes?.(byteCount)
      yield chunk
    }
  } catch (error) {
    throw isDamage(error) ? error : unreadable(file.path, error)
  } finally {
    raw.destroy()
    gunzip?.destroy()
  }
}

/** An error of the gzip format, as opposed to one of the disk. */
function isDamage(error: unknown): error is Error {
  return error instanceof Error && String((error as { code?: unknown }).code).startsWith('Z_')
}

/** Reads records of a plain JSON Lines file again, by their place. */
export interface RecordReader {
  read(offset: number, byteLength: number): Promise<unknown>
  close(): Promise<void>
}

/** @throws file-unreadable */
export async function openRecords(path: string): Promise<RecordReader> {
  try {
    const file = await open(path)
    return {
      async read(offset, byteLength) {
        const { buffer } = await file.read(Buffer.alloc(byteLength), 0, byteLength, offset)
        return tryJson(buffer.toString('utf8').trim())?.value
      },
      close: () => file.close(),
    }
  } catch (cause) {
    throw unreadable(path, cause)
  }
}
