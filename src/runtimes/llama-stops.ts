/** Where a text that grows piece by piece must end: stop sequences, or the end of a JSON value. Knows no tokens. */

export interface StopFilter {
  /** Text that may go out now. After `isStopped`, nothing more does. */
  push(piece: string): string
  /** What was held back in case a stop sequence was beginning. */
  flush(): string
  readonly isStopped: boolean
}

/** Cuts before the first stop sequence, and holds back a tail that may become one. */
export function createStopFilter(stops: readonly string[]): StopFilter {
  let held = ''
  let isStopped = false
  return {
    push(piece) {
      if (isStopped) return ''
      held += piece
      const found = stops.map(stop => held.indexOf(stop)).filter(at => at >= 0)
      const isFound = found.length > 0
      const end = isFound ? Math.min(...found) : held.length - beginningStop(held, stops)
      const out = held.slice(0, end)
      held = isFound ? '' : held.slice(end)
      isStopped = isFound
      return out
    },
    flush() {
      const out = held
      held = ''
      return out
    },
    get isStopped() {
      return isStopped
    },
  }
}

/** Length of the longest tail of `text` that begins one of the stops. */
function beginningStop(text: string, stops: readonly string[]): number {
  let longest = 0
  for (const stop of stops) {
    for (let length = Math.min(stop.length - 1, text.length); length > longest; length--) {
      if (text.endsWith(stop.slice(0, length))) longest = length
    }
  }
  return longest
}

/**
 * Cuts after the first JSON object or list; text before it (white space) passes. A bare value such as `"a"` has no
 * closing bracket: the grammar ends it with line breaks, which are cut as well.
 */
export function createJsonFilter(): StopFilter {
  let depth = 0
  let isInString = false
  let isEscaped = false
  let isStopped = false
  let isBracketed: boolean | undefined
  const bare = createStopFilter(['\n'])

  const endsAt = (char: string): boolean => {
    if (isInString) {
      if (isEscaped) isEscaped = false
      else if (char === '\\') isEscaped = true
      else if (char === '"') isInString = false
      return false
    }
    if (char === '"') isInString = true
    else if (char === '{' || char === '[') depth++
    else if (char === '}' || char === ']') depth--
    return depth === 0 && (char === '}' || char === ']')
  }

  return {
    push(piece) {
      if (isStopped) return ''
      if (isBracketed === undefined) {
        const first = piece.trimStart()[0]
        if (first !== undefined) isBracketed = first === '{' || first === '['
      }
      if (isBracketed === undefined) return ''
      if (!isBracketed) {
        const out = bare.push(piece)
        isStopped = bare.isStopped
        return out
      }
      for (let at = 0; at < piece.length; at++) {
        if (endsAt(piece[at] as string)) {
          isStopped = true
          return piece.slice(0, at + 1)
        }
      }
      return piece
    },
    flush: () => bare.flush(),
    get isStopped() {
      return isStopped
    },
  }
}

/** Text that passes both, one after the other; stopped when either is. */
export function chainFilters(first: StopFilter, second: StopFilter): StopFilter {
  return {
    push: piece => second.push(first.push(piece)),
    flush: () => second.push(first.flush()) + second.flush(),
    get isStopped() {
      return first.isStopped || second.isStopped
    },
  }
}
