/** What the rows of the operator table are made of: checks, and rules that several operators share. Knows no operator by name. */
import { ONNX_TYPES } from '../formats/index.ts'
import type { Attributes, Dim, DType, TensorType, Value } from './graph.ts'
import { broadcast, knownIntegers, normaliseAxes, reduce, ShapeError } from './shapes.ts'

/** Inputs as a rule sees them: `inputs[i]` is undefined only beyond the required ones. */
export type Inputs = readonly (Value | undefined)[]

export interface OperatorRule {
  /** Least and most inputs. */
  readonly inputs: readonly [number, number]
  /** How each attribute is written; others are refused. */
  readonly attributes?: Readonly<Record<string, 'int' | 'float' | 'ints' | 'string'>>
  /** The operator set it belongs to where that is not ONNX's own. */
  readonly domain?: string
  /** Results from this one on are left out of the emitted graph where nothing uses them. */
  readonly optionalFrom?: number
  /** Types of the results. @throws ShapeError */
  infer(inputs: Inputs, attributes: Attributes): readonly TensorType[]
}

const ALL_NUMBERS: readonly DType[] = ['float32', 'float16', 'int64', 'int32', 'int8', 'uint8']
const FLOATS: readonly DType[] = ['float32', 'float16']

export function arithmetic(): OperatorRule {
  return {
    inputs: [2, 2],
    infer: ([a, b]) => [
      { dtype: numbers(sameType(a, b)), shape: broadcast(of(a).shape, of(b).shape) },
    ],
  }
}

export function comparison(): OperatorRule {
  return {
    inputs: [2, 2],
    infer: ([a, b]) => {
      sameType(a, b)
      return [{ dtype: 'bool', shape: broadcast(of(a).shape, of(b).shape) }]
    },
  }
}

export function elementwise(
  attributes: NonNullable<OperatorRule['attributes']> = {},
): OperatorRule {
  return {
    inputs: [1, 1],
    attributes,
    infer: ([x], given) => {
      if (given.axis !== undefined) normaliseAxes([given.axis as number], of(x).shape.length)
      return [{ dtype: numbers(of(x).dtype), shape: of(x).shape }]
    },
  }
}

export function reduction(): OperatorRule {
  return {
    inputs: [1, 2],
    attributes: { keepdims: 'int' },
    infer: ([x, axes], { keepdims }) => {
      const along = axes === undefined ? [] : integers(knownIntegers(axes))
      return [{ dtype: numbers(of(x).dtype), shape: reduce(of(x).shape, along, keepdims !== 0) }]
    },
  }
}

/** A copy of the first input with some elements replaced, or added to. */
export function scatter(attributes: NonNullable<OperatorRule['attributes']>): OperatorRule {
  return {
    inputs: [3, 3],
    attributes,
    infer: ([x, , updates]) => [{ dtype: sameType(x, updates), shape: of(x).shape }],
  }
}

/** ONNX's number of each type, which `Cast` takes. */
export const CAST_TO: Readonly<Record<DType, number>> = ONNX_TYPES

export function castType(to: number): DType {
  const found = Object.entries(CAST_TO).find(([, number]) => number === to)
  if (found === undefined) throw new ShapeError(`there is no type ${to}`)
  return found[0] as DType
}

/** A required input: `apply` has checked that it is there. */
export function of(value: Value | undefined): Value {
  return value as Value
}

export function typeOf(value: Value | undefined): TensorType {
  const { dtype, shape } = of(value)
  return { dtype, shape }
}

export function sameType(...values: Inputs): DType {
  const types = new Set(values.filter(one => one !== undefined).map(one => one.dtype))
  if (types.size !== 1) throw new ShapeError(`types differ: ${[...types].join(', ')}`)
  return [...types][0] as DType
}

export function numbers(dtype: DType): DType {
  if (!ALL_NUMBERS.includes(dtype)) throw new ShapeError(`${dtype} is not a number`)
  return dtype
}

export function floats(dtype: DType): DType {
  if (!FLOATS.includes(dtype)) throw new ShapeError(`${dtype} is not floating-point`)
  return dtype
}

export function integers(dims: readonly Dim[]): number[] {
  return dims.map(dim => {
    if (typeof dim === 'string') throw new ShapeError(`${dim} is not a known number`)
    return dim
  })
}

export function single(dims: readonly Dim[]): Dim {
  if (dims.length !== 1) throw new ShapeError(`one number is needed, not [${dims}]`)
  return dims[0] as Dim
}

export function requireShape(shape: readonly Dim[], wanted: readonly Dim[]): void {
  if (shape.length !== wanted.length || shape.some((dim, i) => dim !== wanted[i])) {
    throw new ShapeError(`[${shape}] is not [${wanted}]`)
  }
}
