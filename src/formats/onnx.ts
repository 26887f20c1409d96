/** Writes ONNX models as protobuf bytes. Knows the message layout of onnx.proto, nothing of what operators mean. */
import { UnderstudyError } from '../errors.ts'

/** Element types this writer can name, with their numbers in `TensorProto.DataType`. */
export const ONNX_TYPES = {
  float32: 1,
  uint8: 2,
  int8: 3,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  uint4: 21,
  int4: 22,
} as const

export type OnnxType = keyof typeof ONNX_TYPES

/** A fixed size, or the name of a size that is known only when the graph runs. */
export type OnnxDim = number | string

export interface OnnxTensor {
  readonly name: string
  readonly type: OnnxType
  readonly dims: readonly number[]
  /** Little-endian elements; kept by reference until `writeOnnx` joins everything once. */
  readonly data: ArrayBufferView
  /** Left out of the file: whoever opens it is handed the elements under the tensor's name. */
  readonly isExternal?: boolean
}

export type OnnxAttribute =
  | { readonly kind: 'int'; readonly value: number }
  | { readonly kind: 'float'; readonly value: number }
  | { readonly kind: 'string'; readonly value: string }
  | { readonly kind: 'ints'; readonly value: readonly number[] }

export interface OnnxNode {
  readonly op: string
  readonly name: string
  /** An operator set other than ONNX's own, e.g. `com.microsoft`. */
  readonly domain?: string
  /** Names; an empty name is an optional input left out. */
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  readonly attributes: Readonly<Record<string, OnnxAttribute>>
}

export interface OnnxValueInfo {
  readonly name: string
  readonly type: OnnxType
  readonly shape: readonly OnnxDim[]
}

export interface OnnxModel {
  readonly name: string
  /** Version of each operator set; the empty name is ONNX's own. */
  readonly opsets: Readonly<Record<string, number>>
  /** In an order in which each node finds its inputs made. */
  readonly nodes: readonly OnnxNode[]
  readonly initializers: readonly OnnxTensor[]
  readonly inputs: readonly OnnxValueInfo[]
  readonly outputs: readonly OnnxValueInfo[]
}

/** Byte pieces that are joined once at the end, so that weights are copied a single time. */
type Pieces = readonly Uint8Array[]

const IR_VERSION = 10
/** `TensorProto.DataLocation.EXTERNAL`. */
const EXTERNAL = 1
const PROTOBUF_LIMIT = 2 ** 31 - 1
const encoder = new TextEncoder()

/**
 * The model as the bytes of a `ModelProto`.
 * @throws model-corrupt when it would pass protobuf's limit of 2 GiB
 */
export function writeOnnx(model: OnnxModel): Uint8Array<ArrayBuffer> {
  const pieces = [
    ...int(1, IR_VERSION),
    ...text(2, 'understudy'),
    ...message(7, graph(model)),
    ...Object.entries(model.opsets).flatMap(([domain, version]) =>
      message(8, [...text(1, domain), ...int(2, version)]),
    ),
  ]
  const length = size(pieces)
  if (length > PROTOBUF_LIMIT) {
    throw new UnderstudyError('model-corrupt', `The graph ${model.name} has ${length} bytes`, {
      help: 'Use a smaller model: one ONNX file holds at most 2 GiB.',
    })
  }
  return join(pieces, length)
}

function graph(model: OnnxModel): Pieces {
  return [
    ...model.nodes.flatMap(node => message(1, nodeFields(node))),
    ...text(2, model.name),
    ...model.initializers.flatMap(tensor => message(5, tensorFields(tensor))),
    ...model.inputs.flatMap(value => message(11, valueFields(value))),
    ...model.outputs.flatMap(value => message(12, valueFields(value))),
  ]
}

function nodeFields(node: OnnxNode): Pieces {
  return [
    ...node.inputs.flatMap(name => text(1, name)),
    ...node.outputs.flatMap(name => text(2, name)),
    ...text(3, node.name),
    ...text(4, node.op),
    ...Object.entries(node.attributes).flatMap(([name, attribute]) =>
      message(5, [...text(1, name), ...attributeFields(attribute)]),
    ),
    ...(node.domain === undefined ? [] : text(7, node.domain)),
  ]
}

function attributeFields(attribute: OnnxAttribute): Pieces {
  switch (attribute.kind) {
    case 'float':
      return [...float(2, attribute.value), ...int(20, 1)]
    case 'int':
      return [...int(3, attribute.value), ...int(20, 2)]
    case 'string':
      return [...text(4, attribute.value), ...int(20, 3)]
    case 'ints':
      return [...attribute.value.flatMap(value => int(8, value)), ...int(20, 7)]
  }
}

function tensorFields(tensor: OnnxTensor): Pieces {
  const { buffer, byteOffset, byteLength } = tensor.data
  return [
    ...tensor.dims.flatMap(dim => int(1, dim)),
    ...int(2, ONNX_TYPES[tensor.type]),
    ...text(8, tensor.name),
    ...(tensor.isExternal
      ? [
          ...entry('location', tensor.name),
          ...entry('offset', '0'),
          ...entry('length', String(byteLength)),
          ...int(14, EXTERNAL),
        ]
      : message(9, [new Uint8Array(buffer, byteOffset, byteLength)])),
  ]
}

/** One `external_data` entry of a tensor. */
function entry(key: string, value: string): Pieces {
  return message(13, [...text(1, key), ...text(2, value)])
}

function valueFields(value: OnnxValueInfo): Pieces {
  const shape = value.shape.flatMap(dim =>
    message(1, typeof dim === 'number' ? int(1, dim) : text(2, dim)),
  )
  const tensorType = [...int(1, ONNX_TYPES[value.type]), ...message(2, shape)]
  return [...text(1, value.name), ...message(2, message(1, tensorType))]
}

/** Wire type 0. */
function int(field: number, value: number): Pieces {
  return [varint(BigInt(field) << 3n), varint(BigInt.asUintN(64, BigInt(value)))]
}

/** Wire type 5. */
function float(field: number, value: number): Pieces {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setFloat32(0, value, true)
  return [varint((BigInt(field) << 3n) | 5n), bytes]
}

/** Wire type 2, for messages and raw bytes alike. */
function message(field: number, pieces: Pieces): Pieces {
  return [varint((BigInt(field) << 3n) | 2n), varint(BigInt(size(pieces))), ...pieces]
}

function text(field: number, value: string): Pieces {
  return message(field, [encoder.encode(value)])
}

/** Base-128, low bits first (Protocol Buffers encoding, "Base 128 Varints"). */
function varint(value: bigint): Uint8Array {
  const bytes: number[] = []
  let rest = value
  while (rest >= 128n) {
    bytes.push(Number(rest & 127n) | 128)
    rest >>= 7n
  }
  bytes.push(Number(rest))
  return Uint8Array.from(bytes)
}

function size(pieces: Pieces): number {
  return pieces.reduce((sum, piece) => sum + piece.byteLength, 0)
}

function join(pieces: Pieces, length: number): Uint8Array<ArrayBuffer> {
  const joined = new Uint8Array(length)
  let at = 0
  for (const piece of pieces) {
    joined.set(piece, at)
    at += piece.byteLength
  }
  return joined
}
