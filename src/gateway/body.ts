/** Bytes in: request bodies with a limit, and bounded copies of what passes through. Knows no JSON but its encoding. */
import { UnderstudyError } from '../errors.ts'

/**
 * The whole body of a request.
 * @throws request-too-large; cancelled when the caller left
 */
export async function readBody(request: Request, maxBytes: number): Promise<Uint8Array> {
  const announced = Number(request.headers.get('content-length') ?? Number.NaN)
  if (announced > maxBytes) throw tooLarge(maxBytes)
  try {
    if (announced <= maxBytes) return new Uint8Array(await request.arrayBuffer())
    return await readStream(request.body, maxBytes)
  } catch (cause) {
    if (cause instanceof UnderstudyError) throw cause
    throw new UnderstudyError('cancelled', 'The caller left before its request was complete.', {
      cause,
    })
  }
}

async function readStream(
  stream: ReadableStream<Uint8Array> | null,
  maxBytes: number,
): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  let length = 0
  for await (const part of stream ?? []) {
    length += part.length
    if (length > maxBytes) throw tooLarge(maxBytes)
    parts.push(part)
  }
  return Buffer.concat(parts)
}

/** The error of a body beyond the limit. */
export function tooLarge(maxBytes: number): UnderstudyError {
  return new UnderstudyError('request-too-large', `The body is larger than ${maxBytes} bytes.`, {
    help: 'Send less, or raise the limit.',
  })
}

const UTF8 = new TextDecoder('utf-8', { fatal: true })

/**
 * Text of a request body.
 * @throws request-invalid when it is not UTF-8
 */
export function decodeUtf8(bytes: Uint8Array): string {
  try {
    return UTF8.decode(bytes)
  } catch (cause) {
    throw new UnderstudyError('request-invalid', 'The body is not UTF-8.', {
      help: 'Encode the JSON as UTF-8.',
      cause,
    })
  }
}

/** Parts as one; no copy where there is one. */
export function joined(parts: readonly Uint8Array[]): Uint8Array {
  return parts.length === 1 ? (parts[0] as Uint8Array) : Buffer.concat(parts)
}

/** What was seen of a body, up to a limit. */
export interface BoundedCopy {
  add(part: Uint8Array): void
  bytes(): Uint8Array
  /** True where more came than was kept. */
  readonly isTruncated: boolean
}

/** Keeps references to the parts, no copies, until the limit. */
export function createBoundedCopy(maxBytes: number): BoundedCopy {
  const parts: Uint8Array[] = []
  let length = 0
  let isTruncated = false
  return {
    add(part) {
      if (isTruncated) return
      if (length + part.length > maxBytes) {
        isTruncated = true
        return
      }
      length += part.length
      parts.push(part)
    },
    bytes: () => joined(parts),
    get isTruncated() {
      return isTruncated
    },
  }
}
