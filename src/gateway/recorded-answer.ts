/** Makes the record's copy of a lead's answer: decompressed, folded, parsed. Trusts no header about what it is. */
import { brotliDecompressSync, gunzipSync, inflateSync } from 'node:zlib'
import { createSseParser, foldChunks, tryJson } from '../wire/index.ts'
import type { BoundedCopy } from './body.ts'

export interface RecordedAnswer {
  /** JSON where it parses, a stream folded into one completion, else text; null where too little was kept. */
  readonly response: unknown
  /** False where the stream broke off, or the copy was cut. */
  readonly isComplete: boolean
}

const DECODERS: Readonly<Record<string, typeof gunzipSync>> = {
  gzip: gunzipSync,
  'x-gzip': gunzipSync,
  deflate: inflateSync,
  br: brotliDecompressSync,
}

/** Reads the copy of an answer's bytes. Never throws. */
export function readRecordedAnswer(
  copy: BoundedCopy,
  { encoding, maxBytes }: { readonly encoding: string | undefined; readonly maxBytes: number },
): RecordedAnswer {
  const bytes = decompressed(copy.bytes(), encoding, maxBytes)
  if (bytes === null) return { response: null, isComplete: false }
  if (looksLikeEventStream(bytes)) {
    const parser = createSseParser()
    const { response, isComplete } = foldChunks([...parser.push(bytes), ...parser.end()])
    return { response, isComplete: isComplete && !copy.isTruncated }
  }
  if (copy.isTruncated) return { response: null, isComplete: false }
  const text = new TextDecoder().decode(bytes)
  const json = tryJson(text)
  return { response: json === null ? text : json.value, isComplete: json !== null }
}

function decompressed(
  bytes: Uint8Array,
  encoding: string | undefined,
  maxOutputLength: number,
): Uint8Array | null {
  const name = encoding?.trim().toLowerCase() ?? ''
  if (name === '' || name === 'identity') return bytes
  const decode = Object.hasOwn(DECODERS, name) ? DECODERS[name] : undefined
  try {
    return decode?.(bytes, { maxOutputLength }) ?? null
  } catch {
    return null
  }
}

/** JSON never begins with a field name and a colon, or with a bare colon. */
function looksLikeEventStream(bytes: Uint8Array): boolean {
  const start = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, 64))
  return /^\uFEFF?\s*(?:data|event|id|retry)?:/u.test(start.toString('utf8'))
}
