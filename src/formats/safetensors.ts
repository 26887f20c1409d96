/** Reads and writes safetensors files as bytes. Trusts nothing in them, and knows no model. */
import { UnderstudyError } from '../errors.ts'
import { floatBitsToHalf, halfToFloatBits } from './half.ts'
import { duplicateKey } from './json-keys.ts'
import { show } from './show.ts'

/** Element types of the format and their sizes in bytes. */
export const SAFETENSORS_BYTES = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U64: 8,
  U32: 4,
  U16: 2,
  U8: 1,
  BOOL: 1,
} as const

export type SafetensorsType = keyof typeof SAFETENSORS_BYTES

export interface SafetensorsTensor {
  readonly type: SafetensorsType
  readonly shape: readonly number[]
  /** A view into the file's bytes, little-endian, row-major. */
  readonly bytes: Uint8Array
}

export interface Safetensors {
  readonly tensors: ReadonlyMap<string, SafetensorsTensor>
  readonly metadata: Readonly<Record<string, string>>
}

/** Where a tensor lies in its file: its first byte, and the one behind its last. */
export interface SafetensorsSpan extends Omit<SafetensorsTensor, 'bytes'> {
  readonly begin: number
  readonly end: number
}

/** What stands before the tensors of a file. */
export interface SafetensorsHead extends Pick<Safetensors, 'metadata'> {
  readonly spans: ReadonlyMap<string, SafetensorsSpan>
}

/** The reference implementation's limit on the header. */
const MAX_HEADER_BYTES = 100_000_000
/** Of the number that the file begins with: how long the header behind it is. */
const LENGTH_BYTES = 8
const MAX_RANK = 16
/** Several times what the deepest models need; messages and searches of other modules rely on it. */
const MAX_NAME_CHARACTERS = 512

/**
 * The tensors of a file, as views into `file`: nothing is copied.
 * @throws model-corrupt when the header lies, tensors overlap, leave gaps or reach past the end
 */
export function readSafetensors(file: Uint8Array): Safetensors {
  const { byteLength } = file
  const head = file.subarray(0, safetensorsHeadBytes(file, byteLength))
  const { spans, metadata } = readSafetensorsHead(head, byteLength)
  const tensors = new Map<string, SafetensorsTensor>()
  for (const [name, { type, shape, begin, end }] of spans) {
    tensors.set(name, { type, shape, bytes: file.subarray(begin, end) })
  }
  return { tensors, metadata }
}

/**
 * How long the head of a file is, by the file's first bytes: eight, or all where there are fewer.
 * @throws model-corrupt when the file is shorter
 */
export function safetensorsHeadBytes(start: Uint8Array, fileBytes: number): number {
  if (fileBytes < LENGTH_BYTES) throw corrupt(`the file has ${fileBytes} bytes, fewer than 8`)
  const view = new DataView(start.buffer, start.byteOffset, start.byteLength)
  const length = view.getBigUint64(0, true)
  if (length > BigInt(MAX_HEADER_BYTES)) throw corrupt(`its header claims ${length} bytes`)
  if (length > BigInt(fileBytes - LENGTH_BYTES)) {
    throw corrupt(`its header claims ${length} bytes, the file has ${fileBytes}`)
  }
  return LENGTH_BYTES + Number(length)
}

/**
 * Where the tensors of a file lie, for files too large to be read as a whole.
 * @throws model-corrupt as `readSafetensors` does
 */
export function readSafetensorsHead(head: Uint8Array, fileBytes: number): SafetensorsHead {
  const dataStart = head.byteLength
  const dataBytes = fileBytes - dataStart
  const spans = new Map<string, SafetensorsSpan>()
  let metadata: Record<string, string> = {}
  for (const [name, entry] of Object.entries(parseHeader(head.subarray(LENGTH_BYTES)))) {
    if (name === '__metadata__') metadata = parseMetadata(entry)
    else spans.set(name, parseEntry(name, entry, dataBytes))
  }
  requireGapless(spans, dataBytes)
  for (const [name, { begin, end, ...rest }] of spans) {
    spans.set(name, { ...rest, begin: dataStart + begin, end: dataStart + end })
  }
  return { spans, metadata }
}

/**
 * A tensor as 32-bit floats: a view where it is aligned, else a copy; F16 and BF16 are widened.
 * @throws model-corrupt for integer tensors
 */
export function float32Values(name: string, tensor: SafetensorsTensor): Float32Array {
  const { bytes, type } = tensor
  switch (type) {
    case 'F32': {
      // Not `slice`: that of a Buffer, which is what files are read into, copies nothing.
      const aligned = bytes.byteOffset % 4 === 0 ? bytes : new Uint8Array(bytes)
      return new Float32Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 4)
    }
    case 'BF16':
      return widen(bytes, bits => bits << 16)
    case 'F16':
      return widen(bytes, halfToFloatBits)
    default:
      throw corrupt(`tensor ${name} is ${type}, where floating-point numbers are needed`)
  }
}

/** Numbers as a tensor of 32-bit floats, without a copy. */
export function float32Tensor(values: Float32Array, shape: readonly number[]): SafetensorsTensor {
  const { buffer, byteOffset, byteLength } = values
  return { type: 'F32', shape, bytes: new Uint8Array(buffer, byteOffset, byteLength) }
}

/**
 * Numbers as a tensor of 16-bit floats, each rounded to the nearest: half the bytes, about three decimal digits.
 * @throws model-corrupt for numbers beyond 65,504, which would turn into infinity
 */
export function float16Tensor(values: Float32Array, shape: readonly number[]): SafetensorsTensor {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length)
  const bytes = new Uint8Array(values.length * 2)
  const view = new DataView(bytes.buffer)
  for (const [i, one] of bits.entries()) {
    const half = floatBitsToHalf(one)
    if ((half & 0x7fff) === 0x7c00 && Number.isFinite(values[i])) {
      throw new UnderstudyError('model-corrupt', `${values[i]} does not fit a 16-bit float`, {
        help: 'Write these weights as 32-bit floats.',
      })
    }
    view.setUint16(i * 2, half, true)
  }
  return { type: 'F16', shape, bytes }
}

/** The bytes of a safetensors file with these tensors, in this order. */
export function writeSafetensors(
  tensors: ReadonlyMap<string, SafetensorsTensor>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array<ArrayBuffer> {
  const parts = safetensorsParts(tensors, metadata)
  const file = new Uint8Array(parts.reduce((sum, { byteLength }) => sum + byteLength, 0))
  let at = 0
  for (const part of parts) {
    file.set(part, at)
    at += part.byteLength
  }
  return file
}

/** The same bytes in parts, for files too large for one array: the head, then those of each tensor, which are not copied. */
export function safetensorsParts(
  tensors: ReadonlyMap<string, SafetensorsTensor>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array[] {
  const header: [string, unknown][] =
    Object.keys(metadata).length > 0 ? [['__metadata__', metadata]] : []
  let end = 0
  for (const [name, tensor] of tensors) {
    const begin = end
    end += tensor.bytes.byteLength
    header.push([name, { dtype: tensor.type, shape: tensor.shape, data_offsets: [begin, end] }])
  }
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(header)))
  // Spaces up to a multiple of 8 keep every view aligned, as the format recommends.
  const headerBytes = Math.ceil(json.byteLength / 8) * 8
  const head = new Uint8Array(LENGTH_BYTES + headerBytes).fill(0x20)
  new DataView(head.buffer).setBigUint64(0, BigInt(headerBytes), true)
  head.set(json, LENGTH_BYTES)
  return [head, ...Array.from(tensors.values(), ({ bytes }) => bytes)]
}

function parseHeader(bytes: Uint8Array): Record<string, unknown> {
  let text: string
  let header: unknown
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    header = JSON.parse(text)
  } catch (cause) {
    throw corrupt('its header is not JSON', cause)
  }
  if (!isObject(header)) throw corrupt('its header is not a JSON object')
  const twice = duplicateKey(text)
  if (twice !== undefined) throw corrupt(`its header names ${show(twice)} twice`)
  return header
}

function parseMetadata(entry: unknown): Record<string, string> {
  if (!isObject(entry) || Object.values(entry).some(value => typeof value !== 'string')) {
    throw corrupt('its metadata is not a map of strings')
  }
  return entry as Record<string, string>
}

/** `begin` and `end` count from the first tensor. */
function parseEntry(name: string, entry: unknown, dataBytes: number): SafetensorsSpan {
  if (name.length > MAX_NAME_CHARACTERS) {
    throw corrupt(
      `the name of tensor ${show(name)} has ${name.length} characters, more than ${MAX_NAME_CHARACTERS}`,
    )
  }
  if (!isObject(entry)) throw corrupt(`tensor ${name} has no description`)
  const { dtype, shape, data_offsets: offsets } = entry
  if (typeof dtype !== 'string' || !Object.hasOwn(SAFETENSORS_BYTES, dtype)) {
    throw corrupt(`tensor ${name} has the unknown type ${show(dtype)}`)
  }
  if (!isSizes(shape)) throw corrupt(`tensor ${name} has no valid shape`)
  if (!isSizes(offsets) || offsets.length !== 2)
    throw corrupt(`tensor ${name} has no valid offsets`)
  const [begin, end] = offsets as [number, number]
  if (begin > end || end > dataBytes) {
    throw corrupt(`tensor ${name} claims bytes ${begin} to ${end} of ${dataBytes}`)
  }
  const type = dtype as SafetensorsType
  const bytes = shape.reduce((product, size) => product * size, SAFETENSORS_BYTES[type])
  if (bytes !== end - begin) {
    throw corrupt(`tensor ${name} [${shape}] of ${type} needs ${bytes} bytes, has ${end - begin}`)
  }
  return { type, shape, begin, end }
}

/** The format allows neither overlap nor unused bytes: a file cannot hide anything. */
function requireGapless(spans: ReadonlyMap<string, SafetensorsSpan>, total: number): void {
  const inOrder = [...spans].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end)
  let at = 0
  for (const [name, { begin, end }] of inOrder) {
    if (begin !== at) {
      throw corrupt(
        `tensor ${name} begins at ${begin}, ${begin < at ? 'inside' : 'after a gap behind'} the one that ends at ${at}`,
      )
    }
    at = end
  }
  if (at !== total) throw corrupt(`${total - at} bytes at its end belong to no tensor`)
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isSizes(value: unknown): value is number[] {
  return (
    Array.isArray(value) &&
    value.length <= MAX_RANK &&
    value.every(size => Number.isSafeInteger(size) && size >= 0)
  )
}

function widen(bytes: Uint8Array, toFloatBits: (bits: number) => number): Float32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const bits = new Uint32Array(bytes.byteLength / 2)
  for (let i = 0; i < bits.length; i++) bits[i] = toFloatBits(view.getUint16(i * 2, true))
  return new Float32Array(bits.buffer)
}

function corrupt(what: string, cause?: unknown): UnderstudyError {
  return new UnderstudyError('model-corrupt', `This is not a valid safetensors file: ${what}`, {
    help: 'Fetch the file again; its SHA-256 should match the one published.',
    cause,
  })
}
