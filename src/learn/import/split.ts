/** Cuts a stream of bytes into the texts of a JSON Lines file or of a JSON array. Knows nothing of what they say. */

/** One line, or one element of an array. */
export type Piece =
  | {
      readonly line: number
      readonly text: string
      /** Where its bytes lie in the (unpacked) file. */
      readonly offset: number
      readonly byteLength: number
    }
  | { readonly line: number; readonly reason: string }

export interface Splitter {
  /** Takes the next bytes and returns the pieces that they complete. */
  push(chunk: Uint8Array): Piece[]
  /** Returns what is left at the end of the file. */
  end(): Piece[]
}

const NEWLINE = 0x0a
const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const OPEN = new Set([0x5b, 0x7b])
const CLOSE = new Set([0x5d, 0x7d])
const SPACE = new Set([0x20, 0x09, 0x0a, 0x0d])
const BOM = [0xef, 0xbb, 0xbf]

/** Bytes of one piece, gathered over chunks; drops them once they are too many, so that memory stays flat. */
function createGatherer(maxBytes: number) {
  const decoder = new TextDecoder('utf-8', { fatal: true })
  let parts: Uint8Array[] = []
  let byteLength = 0
  return {
    add(bytes: Uint8Array): void {
      byteLength += bytes.length
      if (byteLength > maxBytes) parts = []
      else if (bytes.length > 0) parts.push(bytes)
    },
    /** The piece so far, null where it is blank; starts anew. */
    take(line: number, offset: number): Piece | null {
      const taken = parts
      const takenLength = byteLength
      parts = []
      byteLength = 0
      if (takenLength > maxBytes) {
        return { line, reason: `longer than ${maxBytes.toLocaleString('en')} bytes` }
      }
      try {
        const bytes = taken.length === 1 ? (taken[0] as Uint8Array) : Buffer.concat(taken)
        const text = decoder.decode(bytes).trim()
        return text === '' ? null : { line, text, offset, byteLength: takenLength }
      } catch {
        return { line, reason: 'not UTF-8 text' }
      }
    },
  }
}

/** A splitter that decides by the first byte: `[` opens an array, anything else is JSON Lines. */
export function createSplitter({ maxBytes }: { maxBytes: number }): Splitter {
  let inner: Splitter | null = null
  let head = Buffer.alloc(0)
  const start = (): Splitter => {
    const bomLength = BOM.every((byte, i) => head[i] === byte) ? BOM.length : 0
    const first = head.subarray(bomLength).find(byte => !SPACE.has(byte))
    return first === 0x5b ? createArraySplitter(maxBytes) : createLineSplitter(maxBytes)
  }
  return {
    push(chunk) {
      if (inner !== null) return inner.push(chunk)
      head = Buffer.concat([head, chunk])
      // Wait for the first byte that tells; white space alone does not.
      if (head.length < 4 || head.subarray(BOM.length).every(byte => SPACE.has(byte))) return []
      inner = start()
      return inner.push(head)
    },
    end() {
      if (inner === null) {
        inner = start()
        return [...inner.push(head), ...inner.end()]
      }
      return inner.end()
    },
  }
}

function createLineSplitter(maxBytes: number): Splitter {
  const gatherer = createGatherer(maxBytes)
  let line = 1
  let offset = 0
  let position = 0
  const finish = (pieces: Piece[]): void => {
    const piece = gatherer.take(line, offset)
    if (piece !== null) pieces.push(piece)
  }
  return {
    push(chunk) {
      const pieces: Piece[] = []
      let from = 0
      for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, from)) {
        gatherer.add(chunk.subarray(from, at))
        finish(pieces)
        from = at + 1
        line++
        offset = position + from
      }
      gatherer.add(chunk.subarray(from))
      position += chunk.length
      return pieces
    },
    end() {
      const pieces: Piece[] = []
      finish(pieces)
      return pieces
    },
  }
}

function createArraySplitter(maxBytes: number): Splitter {
  const gatherer = createGatherer(maxBytes)
  let line = 1
  let position = 0
  let depth = 0
  let isInString = false
  let isEscaped = false
  let isOver = false
  /** Line and offset of the element's first byte that is not white space; null between elements. */
  let started: { line: number; offset: number } | null = null

  const finish = (pieces: Piece[]): void => {
    if (started === null) return
    const piece = gatherer.take(started.line, started.offset)
    if (piece !== null) pieces.push(piece)
    started = null
  }

  return {
    push(chunk) {
      const pieces: Piece[] = []
      let from = 0
      for (let i = 0; i < chunk.length && !isOver; i++) {
        const byte = chunk[i] as number
        if (byte === NEWLINE) line++
        if (isInString) {
          if (isEscaped) isEscaped = false
          else if (byte === BACKSLASH) isEscaped = true
          else if (byte === QUOTE) isInString = false
          continue
        }
        const isEnd = depth === 1 && (byte === COMMA || CLOSE.has(byte))
        if (isEnd) {
          if (started !== null) gatherer.add(chunk.subarray(from, i))
          finish(pieces)
          isOver = byte !== COMMA
        } else if (depth === 1 && started === null && !SPACE.has(byte)) {
          started = { line, offset: position + i }
          from = i
        }
        if (byte === QUOTE) isInString = true
        else if (OPEN.has(byte)) depth++
        else if (CLOSE.has(byte)) depth--
      }
      if (started !== null) {
        gatherer.add(chunk.subarray(from))
      }
      position += chunk.length
      return pieces
    },
    end() {
      if (isOver) return []
      gatherer.take(line, 0)
      return [{ line: started?.line ?? line, reason: 'the array breaks off here' }]
    },
  }
}
