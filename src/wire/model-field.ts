/** The `model` of a JSON body, read and replaced where it stands, so that every other byte stays as the caller wrote it. */

/** Where a value of `model` begins and ends, quotes included; offsets into the bytes. */
interface Place {
  readonly start: number
  readonly end: number
}

/** What a body asks for; null where it is no JSON object with a text under `model`. As parsers do, the last one counts. */
export function modelIn(body: Uint8Array): string | null {
  const text = latin1(body)
  const place = modelPlaces(text).at(-1)
  return place === undefined ? null : unquoted(body.subarray(place.start, place.end))
}

/**
 * Every model that a body names at its top: readers differ in which of two they take, and some do not tell `Model` from
 * `model`.
 */
export function modelsIn(body: Uint8Array): readonly string[] {
  const values = modelPlaces(latin1(body), key => key.toLowerCase() === 'model').map(
    ({ start, end }) => body.subarray(start, end),
  )
  return values.flatMap(value => unquoted(value) ?? [])
}

/** The body with another model: in every place, should it be named twice, since readers differ in which one they take. */
export function withModel(body: Uint8Array, model: string): Uint8Array {
  const places = modelPlaces(latin1(body))
  if (places.length === 0) return body
  const named = new TextEncoder().encode(JSON.stringify(model))
  const parts: Uint8Array[] = []
  let at = 0
  for (const { start, end } of places) {
    parts.push(body.subarray(at, start), named)
    at = end
  }
  parts.push(body.subarray(at))
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0))
  let offset = 0
  for (const part of parts) {
    whole.set(part, offset)
    offset += part.length
  }
  return whole
}

/** One character a byte: JSON's own signs are ASCII, and no byte of a longer UTF-8 character looks like one. */
function latin1(body: Uint8Array): string {
  return new TextDecoder('latin1').decode(body)
}

/** Text values of top-level `model` keys, in order. Reads no further than brackets and strings; the rest need not be JSON. */
function modelPlaces(
  text: string,
  isModel: (key: string) => boolean = key => key === 'model',
): readonly Place[] {
  const places: Place[] = []
  let depth = 0
  let isKeyNext = false
  for (let i = 0; i < text.length; i++) {
    const sign = text[i]
    if (sign === '"') {
      const end = endOfString(text, i)
      if (depth === 1 && isKeyNext && isModelKey(text.slice(i, end), isModel)) {
        const value = valueAfter(text, end)
        if (value !== null) places.push(value)
      }
      isKeyNext = false
      i = end - 1
    } else if (sign === '{' || sign === '[') {
      depth++
      isKeyNext = sign === '{'
      // A body that is a list, or a bare value, names no model.
      if (depth === 1 && sign === '[') return []
    } else if (sign === '}' || sign === ']') {
      depth--
    } else if (sign === ',') {
      isKeyNext = true
    }
  }
  return places
}

function isModelKey(quoted: string, isModel: (key: string) => boolean): boolean {
  if (!quoted.includes('\\')) return isModel(quoted.slice(1, -1))
  return quoted.length < 64 && isModel(parsedText(quoted) ?? '')
}

/** The text value behind a key's closing quote; null where the value is no text. */
function valueAfter(text: string, from: number): Place | null {
  const colon = afterSpace(text, from)
  if (text[colon] !== ':') return null
  const at = afterSpace(text, colon + 1)
  return text[at] === '"' ? { start: at, end: endOfString(text, at) } : null
}

function afterSpace(text: string, from: number): number {
  let at = from
  while (' \t\r\n'.includes(text[at] ?? '.')) at++
  return at
}

/** Index behind the quote that closes the string opened at `start`; the end of the text where none does. */
function endOfString(text: string, start: number): number {
  let at = text.indexOf('"', start + 1)
  while (at !== -1) {
    let slashes = 0
    while (text.charCodeAt(at - 1 - slashes) === 0x5c) slashes++
    if (slashes % 2 === 0) return at + 1
    at = text.indexOf('"', at + 1)
  }
  return text.length
}

function unquoted(bytes: Uint8Array): string | null {
  return parsedText(new TextDecoder().decode(bytes))
}

function parsedText(quoted: string): string | null {
  try {
    const value: unknown = JSON.parse(quoted)
    return typeof value === 'string' ? value : null
  } catch {
    return null
  }
}
