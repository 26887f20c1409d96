/** Finds keys that a JSON text names twice, which `JSON.parse` hides. Knows no format built on JSON. */

/**
 * The first key that occurs twice in one object, at any depth; undefined when there is none.
 * @param json text that `JSON.parse` accepts
 */
export function duplicateKey(json: string): string | undefined {
  const open: (Set<string> | null)[] = []
  for (const match of json.matchAll(/"[^"\\]*(?:\\.[^"\\]*)*"(\s*:)?|[{}[\]]/gu)) {
    const [token, colon] = match
    if (token === '{') open.push(new Set())
    else if (token === '[') open.push(null)
    else if (token === '}' || token === ']') open.pop()
    else if (colon !== undefined) {
      const key = JSON.parse(token.slice(0, -colon.length)) as string
      const keys = open.at(-1)
      if (keys?.has(key)) return key
      keys?.add(key)
    }
  }
  return undefined
}
