/** Finds keys that a JSON text names twice, which `JSON.parse` hides. Knows no format built on JSON. */

/**
 * The first key that occurs twice in one object, at any depth; undefined when there is none.
 * @param json text that `JSON.parse` accepts
 */
export function duplicateKey(json: string): string | undefined {
  const open: (Set<string> | null)[] = []
  /** The string read last: a key where a colon follows. */
  let [start, end] = [0, 0]
  for (let at = 0; at < json.length; at++) {
    switch (json[at]) {
      case '{':
        open.push(new Set())
        break
      case '[':
        open.push(null)
        break
      case '}':
      case ']':
        open.pop()
        break
      case '"':
        ;[start, end] = [at, stringEnd(json, at)]
        at = end - 1
        break
      case ':': {
        const key = JSON.parse(json.slice(start, end)) as string
        const keys = open.at(-1)
        if (keys?.has(key)) return key
        keys?.add(key)
      }
    }
  }
  return undefined
}

/** Behind the closing quote of the string at `start`. A loop, since a regular expression takes stack for every escape. */
function stringEnd(json: string, start: number): number {
  let at = start + 1
  while (at < json.length && json[at] !== '"') at += json[at] === '\\' ? 2 : 1
  return at + 1
}
