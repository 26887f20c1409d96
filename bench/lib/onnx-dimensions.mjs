/** Puts numbers in the place of named dimensions of an ONNX model's inputs; the rest of the bytes stays. */

/** Field numbers from ModelProto down to the dimensions of an input: graph, input, type, tensor_type, shape, dim. */
const PATH = [7, 11, 2, 1, 2, 1]
const DIM_VALUE = 1
const DIM_PARAM = 2

/** @param {Readonly<Record<string, number>>} known by name */
export function withDimensions(bytes, known) {
  return rewrite(bytes, 0, known)
}

function rewrite(bytes, depth, known) {
  if (depth === PATH.length) return dimension(bytes, known)
  const parts = fields(bytes).map(({ number, from, start, end }) =>
    number === PATH[depth]
      ? lengthDelimited(number, rewrite(bytes.subarray(start, end), depth + 1, known))
      : bytes.subarray(from, end),
  )
  return Buffer.concat(parts)
}

function dimension(bytes, known) {
  const named = fields(bytes).find(({ number }) => number === DIM_PARAM)
  const value = named && known[Buffer.from(bytes.subarray(named.start, named.end)).toString()]
  return value === undefined ? bytes : Buffer.from([DIM_VALUE << 3, ...varint(value)])
}

/** Where the fields of a message lie: `from` with their tag, `start` without it. */
function fields(bytes) {
  const found = []
  for (let at = 0; at < bytes.length; ) {
    const from = at
    const [tag, afterTag] = readVarint(bytes, at)
    const wire = tag & 7
    let start = afterTag
    let end = start
    if (wire === 0) end = readVarint(bytes, start)[1]
    else if (wire === 1) end = start + 8
    else if (wire === 5) end = start + 4
    else {
      const [length, after] = readVarint(bytes, start)
      start = after
      end = after + length
    }
    found.push({ number: Math.floor(tag / 8), from, start, end })
    at = end
  }
  return found
}

function lengthDelimited(number, bytes) {
  return Buffer.concat([Buffer.from([...varint(number * 8 + 2), ...varint(bytes.length)]), bytes])
}

/** Of numbers below 2⁵³. */
function readVarint(bytes, start) {
  let value = 0
  let factor = 1
  for (let at = start; ; at++) {
    value += (bytes[at] & 127) * factor
    if (bytes[at] < 128) return [value, at + 1]
    factor *= 128
  }
}

function varint(value) {
  const bytes = []
  for (let left = value; ; left = Math.floor(left / 128)) {
    if (left < 128) return [...bytes, left]
    bytes.push((left % 128) + 128)
  }
}
