/** Values of an ONNX graph: immutable, typed, shaped. Knows no operator and no weights' meaning. */
import type { OperatorName } from './operators.ts'

export type DType =
  | 'float32'
  | 'float16'
  | 'int64'
  | 'int32'
  | 'int8'
  | 'uint8'
  | 'int4'
  | 'uint4'
  | 'bool'

/** A fixed size, or the name of one known only at run time, e.g. `batch`. Equal names are equal sizes. */
export type Dim = number | string

export interface TensorType {
  readonly dtype: DType
  readonly shape: readonly Dim[]
}

/** What is fed when the graph runs. */
export interface Input extends TensorType {
  readonly kind: 'input'
  readonly name: string
}

/** A tensor stored in the graph. `name` is a wish: an emitted graph numbers equal ones apart. */
export interface Constant extends TensorType {
  readonly kind: 'constant'
  readonly name: string
  readonly shape: readonly number[]
  /** By reference, never copied until the graph is emitted. */
  readonly data: ConstantData
}

/** One output of one operator. */
export interface Result extends TensorType {
  readonly kind: 'result'
  readonly node: Node
  /** Which output of the node. */
  readonly output: number
}

export type Value = Input | Constant | Result

/** `float16` as bits in 16-bit words; `int4` and `uint4` two to a byte, the first in the low half. */
export type ConstantData =
  | Float32Array
  | Uint16Array
  | BigInt64Array
  | Int32Array
  | Int8Array
  | Uint8Array

export type Attributes = Readonly<Record<string, number | string | readonly number[]>>

/** An operator applied to values. An input left out is undefined. */
export interface Node {
  readonly op: OperatorName
  readonly inputs: readonly (Value | undefined)[]
  readonly attributes: Attributes
  readonly outputs: readonly TensorType[]
}

/** A tensor to be fed under `name`. */
export function input(name: string, dtype: DType, shape: readonly Dim[]): Input {
  return Object.freeze({ kind: 'input', name, dtype, shape })
}

/** Weights or other floats, row-major. */
export function float32(name: string, data: Float32Array, shape: readonly number[]): Constant {
  return constant(name, 'float32', data, shape)
}

/** One float without dimensions. */
export function scalar(value: number): Constant {
  return constant('scalar', 'float32', Float32Array.of(value), [])
}

/** A list of 64-bit integers, as shapes, axes and indices need them. */
export function int64(...values: number[]): Constant {
  return constant('int64', 'int64', BigInt64Array.from(values, BigInt), [values.length])
}

/** A tensor of any type stored in the graph, row-major. */
export function constant(
  name: string,
  dtype: DType,
  data: ConstantData,
  shape: readonly number[],
): Constant {
  return Object.freeze({ kind: 'constant', name, dtype, data, shape })
}

/** `[batch, 384] float32`, as errors print it. */
export function describe({ shape, dtype }: TensorType): string {
  return `[${shape.join(', ')}] ${dtype}`
}
