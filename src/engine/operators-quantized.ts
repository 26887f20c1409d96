/** Rows of operators over integers that stand for floats. Knows no model; how weights become integers is `models/quantize.ts`. */
import type { Attributes, Dim, DType, TensorType } from './graph.ts'
import {
  floats,
  type Inputs,
  integers,
  type OperatorRule,
  of,
  requireShape,
} from './operator-rules.ts'
import { matMul, normaliseAxes, ShapeError } from './shapes.ts'

const MICROSOFT = 'com.microsoft'
const BYTES: readonly DType[] = ['int8', 'uint8']

export const QUANTIZED_OPERATORS = {
  /** To uint8 by the range of the whole tensor, found at run time: bytes, scale, zero point. */
  DynamicQuantizeLinear: {
    inputs: [1, 1],
    infer: ([x]) => [
      { dtype: 'uint8', shape: of(x).shape },
      { dtype: floats(of(x).dtype), shape: [] },
      { dtype: 'uint8', shape: [] },
    ],
  },
  /** `(x − zeroPoint) · scale`, with scales per tensor, along one axis, or per block of one axis. */
  DequantizeLinear: {
    inputs: [2, 3],
    attributes: { axis: 'int', block_size: 'int' },
    infer: ([x, scale]) => [{ dtype: floats(of(scale).dtype), shape: of(x).shape }],
  },
  /** `(a − aZero)·(b − bZero)` in 32 bits. */
  MatMulInteger: {
    inputs: [2, 4],
    infer: ([a, b]) => [{ dtype: 'int32', shape: byteProduct(a, b) }],
  },
  /** The same, times `aScale · bScale`, plus a bias: a, b, aScale, bScale, aZero, bZero, bias. */
  MatMulIntegerToFloat: {
    inputs: [4, 7],
    domain: MICROSOFT,
    infer: ([a, b, , bScale, , , bias]) => [scaledProduct(byteProduct(a, b), bScale, bias)],
  },
  /** A float matrix times bytes, quantised on the way: a, b, bScale, bZero, bias. */
  DynamicQuantizeMatMul: {
    inputs: [3, 5],
    domain: MICROSOFT,
    infer: ([a, b, bScale, , bias]) => {
      floats(of(a).dtype)
      bytes(of(b))
      return [scaledProduct(matMul(of(a).shape, of(b).shape), bScale, bias)]
    },
  },
  /**
   * A float matrix times `[N, K]` in 4 or 8 bits, a scale for each block of K: a, packed `[N, blocks, bytes]`, scales
   * `[N · blocks]`, zero points, group indices, bias.
   */
  MatMulNBits: {
    inputs: [3, 6],
    domain: MICROSOFT,
    attributes: { K: 'int', N: 'int', bits: 'int', block_size: 'int', accuracy_level: 'int' },
    infer: ([a, packed, scales, , , bias], { K, N, bits, block_size: block }) => {
      const { shape, dtype } = of(a)
      const [k, n, size] = [K, N, block] as [number, number, number]
      requireShape(shape.slice(-1), [k])
      const blocks = Math.ceil(k / size)
      requireShape(of(packed).shape, [n, blocks, (size * (bits as number)) / 8])
      requireShape([elementCount(of(scales))], [n * blocks])
      if (bias !== undefined) requireShape(bias.shape, [n])
      return [{ dtype: floats(dtype), shape: shape.with(-1, n) }]
    },
  },
  /** Rows of a quantised table, as floats: data, indices, scales per block of the last axis, zero points. */
  GatherBlockQuantized: {
    inputs: [3, 4],
    domain: MICROSOFT,
    attributes: { gather_axis: 'int', quantize_axis: 'int', block_size: 'int', bits: 'int' },
    infer: ([data, indices, scales], attributes) => [gathered([data, indices, scales], attributes)],
  },
} as const satisfies Record<string, OperatorRule>

function bytes({ dtype }: TensorType): DType {
  if (!BYTES.includes(dtype)) throw new ShapeError(`${dtype} is not an 8-bit integer`)
  return dtype
}

function byteProduct(a: Inputs[number], b: Inputs[number]): Dim[] {
  bytes(of(a))
  bytes(of(b))
  return matMul(of(a).shape, of(b).shape)
}

/** The float result of an integer product: one scale in all or one per column. */
function scaledProduct(shape: Dim[], scale: Inputs[number], bias: Inputs[number]): TensorType {
  const columns = shape.slice(-1)
  if (elementCount(of(scale)) !== 1) requireShape(of(scale).shape, columns)
  if (bias !== undefined) requireShape(bias.shape, columns)
  return { dtype: floats(of(scale).dtype), shape }
}

function gathered([data, indices, scales]: Inputs, attributes: Attributes): TensorType {
  const { gather_axis: axis = 0, bits = 4 } = attributes
  const { dtype, shape } = of(data)
  const [at] = normaliseAxes([axis as number], shape.length) as [number]
  // Bytes that hold several values each are unpacked; the 4-bit types count values already.
  const perElement = dtype === 'uint8' ? 8 / (bits as number) : 1
  const last = integers(shape.slice(-1)).map(size => size * perElement)
  const unpacked = [...shape.slice(0, -1), ...last]
  return {
    dtype: floats(of(scales).dtype),
    shape: unpacked.toSpliced(at, 1, ...of(indices).shape),
  }
}

function elementCount({ shape }: TensorType): number {
  return integers(shape).reduce((a, b) => a * b, 1)
}
