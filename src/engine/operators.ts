/** The one table of operators: inputs, attributes, and the rule for the result's type. Knows no model. */
import { UnderstudyError } from '../errors.ts'
import {
  type Attributes,
  type Dim,
  type DType,
  describe,
  type Node,
  type Result,
  type TensorType,
  type Value,
} from './graph.ts'
import {
  broadcast,
  knownIntegers,
  matMul,
  normaliseAxes,
  reduce,
  reshape,
  ShapeError,
  same,
  sliceDim,
} from './shapes.ts'

/** Inputs as a rule sees them: `inputs[i]` is undefined only beyond the required ones. */
type Inputs = readonly (Value | undefined)[]

export interface OperatorRule {
  /** Least and most inputs. */
  readonly inputs: readonly [number, number]
  /** How each attribute is written; others are refused. */
  readonly attributes?: Readonly<Record<string, 'int' | 'float' | 'ints' | 'string'>>
  /** Types of the results. @throws ShapeError */
  infer(inputs: Inputs, attributes: Attributes): readonly TensorType[]
}

const ALL_NUMBERS: readonly DType[] = ['float32', 'int64', 'int32', 'int8', 'uint8']

/** Rows grouped as in the ONNX specification. A gradient rule will be a second table with the same keys. */
export const OPERATORS = {
  Add: arithmetic(),
  Sub: arithmetic(),
  Mul: arithmetic(),
  Div: arithmetic(),
  Pow: arithmetic(),
  Max: arithmetic(),
  Min: arithmetic(),

  Equal: comparison(),
  Greater: comparison(),
  Less: comparison(),

  Abs: elementwise(),
  Neg: elementwise(),
  Exp: elementwise(),
  Log: elementwise(),
  Sqrt: elementwise(),
  Reciprocal: elementwise(),
  Tanh: elementwise(),
  Sigmoid: elementwise(),
  Relu: elementwise(),
  Erf: elementwise(),
  Gelu: elementwise({ approximate: 'string' }),
  Identity: { inputs: [1, 1], infer: ([x]) => [typeOf(x)] },
  Softmax: elementwise({ axis: 'int' }),
  LogSoftmax: elementwise({ axis: 'int' }),

  ReduceSum: reduction(),
  ReduceMean: reduction(),
  ReduceMax: reduction(),
  ReduceL2: reduction(),
  ArgMax: {
    inputs: [1, 1],
    attributes: { axis: 'int', keepdims: 'int' },
    infer: ([x], { axis, keepdims }) => [
      { dtype: 'int64', shape: reduce(of(x).shape, [axis as number], keepdims !== 0) },
    ],
  },
  TopK: {
    inputs: [2, 2],
    attributes: { axis: 'int' },
    infer: ([x, k], { axis = -1 }) => {
      const { shape, dtype } = typeOf(x)
      const [at] = normaliseAxes([axis as number], shape.length) as [number]
      const largest = shape.with(at, single(knownIntegers(of(k))))
      return [
        { dtype, shape: largest },
        { dtype: 'int64', shape: largest },
      ]
    },
  },

  MatMul: {
    inputs: [2, 2],
    infer: ([a, b]) => [{ dtype: sameType(a, b), shape: matMul(of(a).shape, of(b).shape) }],
  },
  Gemm: {
    inputs: [2, 3],
    attributes: { alpha: 'float', beta: 'float', transA: 'int', transB: 'int' },
    infer: ([a, b, c], { transA = 0, transB = 0 }) => {
      if (of(a).shape.length !== 2 || of(b).shape.length !== 2) {
        throw new ShapeError('both factors need exactly two dimensions')
      }
      const left = transA ? of(a).shape.toReversed() : of(a).shape
      const right = transB ? of(b).shape.toReversed() : of(b).shape
      const shape = matMul(left, right)
      if (c !== undefined) requireShape(broadcast(shape, c.shape), shape)
      return [{ dtype: sameType(a, b, c), shape }]
    },
  },
  LayerNormalization: {
    inputs: [2, 3],
    attributes: { axis: 'int', epsilon: 'float' },
    infer: ([x, scale, bias], { axis = -1 }) => {
      const [from] = normaliseAxes([axis as number], of(x).shape.length) as [number]
      const normalised = of(x).shape.slice(from)
      for (const part of [scale, bias]) {
        if (part !== undefined) requireShape(part.shape, normalised)
      }
      return [{ dtype: floats(sameType(x, scale, bias)), shape: of(x).shape }]
    },
  },

  Where: {
    inputs: [3, 3],
    infer: ([condition, a, b]) => {
      if (of(condition).dtype !== 'bool') throw new ShapeError('the condition must be bool')
      const shape = broadcast(of(condition).shape, of(a).shape, of(b).shape)
      return [{ dtype: sameType(a, b), shape }]
    },
  },
  Cast: {
    inputs: [1, 1],
    attributes: { to: 'int' },
    infer: ([x], { to }) => [{ dtype: castType(to as number), shape: of(x).shape }],
  },

  Shape: {
    inputs: [1, 1],
    attributes: { start: 'int', end: 'int' },
    infer: ([x], { start, end }) => {
      const dims = of(x).shape.slice(start as number | undefined, end as number | undefined)
      return [{ dtype: 'int64', shape: [dims.length] }]
    },
  },
  Reshape: {
    inputs: [2, 2],
    infer: ([x, shape]) => [
      { dtype: of(x).dtype, shape: reshape(of(x).shape, knownIntegers(of(shape))) },
    ],
  },
  Expand: {
    inputs: [2, 2],
    infer: ([x, shape]) => [
      { dtype: of(x).dtype, shape: broadcast(of(x).shape, knownIntegers(of(shape))) },
    ],
  },
  Transpose: {
    inputs: [1, 1],
    attributes: { perm: 'ints' },
    infer: ([x], { perm }) => {
      const { shape, dtype } = of(x)
      const order = normaliseAxes(perm as readonly number[], shape.length)
      if (order.length !== shape.length || new Set(order).size !== shape.length) {
        throw new ShapeError(`perm [${order}] does not name each axis once`)
      }
      return [{ dtype, shape: order.map(axis => shape[axis] as Dim) }]
    },
  },
  Unsqueeze: {
    inputs: [2, 2],
    infer: ([x, axes]) => {
      const { shape, dtype } = of(x)
      const wanted = integers(knownIntegers(of(axes)))
      const rank = shape.length + wanted.length
      const at = new Set(normaliseAxes(wanted, rank))
      const rest = shape.values()
      const out = Array.from({ length: rank }, (_, i) =>
        at.has(i) ? 1 : (rest.next().value as Dim),
      )
      return [{ dtype, shape: out }]
    },
  },
  Squeeze: {
    inputs: [2, 2],
    infer: ([x, axes]) => {
      const { shape, dtype } = of(x)
      const at = normaliseAxes(integers(knownIntegers(of(axes))), shape.length)
      for (const axis of at) same(shape[axis] as Dim, 1)
      return [{ dtype, shape: reduce(shape, at, false) }]
    },
  },
  Concat: {
    inputs: [1, Number.POSITIVE_INFINITY],
    attributes: { axis: 'int' },
    infer: (inputs, { axis }) => {
      const shapes = inputs.map(one => of(one).shape)
      const [first] = shapes as [readonly Dim[]]
      const [at] = normaliseAxes([axis as number], first.length) as [number]
      for (const shape of shapes) requireShape(shape.with(at, 0), first.with(at, 0))
      const joined = integers(shapes.map(shape => shape[at] as Dim)).reduce((a, b) => a + b)
      return [{ dtype: sameType(...inputs), shape: first.with(at, joined) }]
    },
  },
  Slice: {
    inputs: [3, 5],
    infer: ([x, starts, ends, axes, steps]) => {
      const { shape, dtype } = of(x)
      const start = knownIntegers(of(starts))
      const end = knownIntegers(of(ends))
      const along = axes ? integers(knownIntegers(axes)) : [...start.keys()]
      const step = steps ? integers(knownIntegers(steps)) : start.map(() => 1)
      const out = [...shape]
      normaliseAxes(along, shape.length).forEach((axis, i) => {
        out[axis] = sliceDim(out[axis] as Dim, start[i] as Dim, end[i] as Dim, step[i] as number)
      })
      return [{ dtype, shape: out }]
    },
  },
  Gather: {
    inputs: [2, 2],
    attributes: { axis: 'int' },
    infer: ([x, indices], { axis = 0 }) => {
      const { shape, dtype } = of(x)
      const [at] = normaliseAxes([axis as number], shape.length) as [number]
      return [{ dtype, shape: shape.toSpliced(at, 1, ...of(indices).shape) }]
    },
  },
} as const satisfies Record<string, OperatorRule>

export type OperatorName = keyof typeof OPERATORS

/**
 * Applies an operator: checks inputs and attributes, finds the results' types.
 * @throws bug naming the operator and its inputs when they do not fit
 */
export function apply(
  op: OperatorName,
  inputs: readonly (Value | undefined)[],
  attributes: Attributes = {},
): readonly Result[] {
  const rule: OperatorRule = OPERATORS[op]
  const [least, most] = rule.inputs
  try {
    if (
      inputs.length < least ||
      inputs.length > most ||
      inputs.slice(0, least).includes(undefined)
    ) {
      throw new ShapeError(`it takes ${least} to ${most} inputs`)
    }
    const unknown = Object.keys(attributes).find(name => rule.attributes?.[name] === undefined)
    if (unknown !== undefined) throw new ShapeError(`it has no attribute ${unknown}`)
    const outputs = rule.infer(inputs, attributes)
    const node: Node = Object.freeze({ op, inputs, attributes, outputs })
    return outputs.map((type, output) => Object.freeze({ kind: 'result', ...type, node, output }))
  } catch (cause) {
    if (!(cause instanceof ShapeError)) throw cause
    const given = inputs.map(one => (one === undefined ? '(none)' : describe(one))).join(', ')
    throw new UnderstudyError('bug', `${op}(${given}): ${cause.message}`, {
      help: 'Report it with the model or command that led here.',
      cause,
    })
  }
}

function arithmetic(): OperatorRule {
  return {
    inputs: [2, 2],
    infer: ([a, b]) => [
      { dtype: numbers(sameType(a, b)), shape: broadcast(of(a).shape, of(b).shape) },
    ],
  }
}

function comparison(): OperatorRule {
  return {
    inputs: [2, 2],
    infer: ([a, b]) => {
      sameType(a, b)
      return [{ dtype: 'bool', shape: broadcast(of(a).shape, of(b).shape) }]
    },
  }
}

function elementwise(attributes: NonNullable<OperatorRule['attributes']> = {}): OperatorRule {
  return {
    inputs: [1, 1],
    attributes,
    infer: ([x], given) => {
      if (given.axis !== undefined) normaliseAxes([given.axis as number], of(x).shape.length)
      return [{ dtype: numbers(of(x).dtype), shape: of(x).shape }]
    },
  }
}

function reduction(): OperatorRule {
  return {
    inputs: [1, 2],
    attributes: { keepdims: 'int' },
    infer: ([x, axes], { keepdims }) => {
      const along = axes === undefined ? [] : integers(knownIntegers(axes))
      return [{ dtype: numbers(of(x).dtype), shape: reduce(of(x).shape, along, keepdims !== 0) }]
    },
  }
}

/** ONNX's number of each type, which `Cast` takes. */
export const CAST_TO = {
  float32: 1,
  uint8: 2,
  int8: 3,
  int32: 6,
  int64: 7,
  bool: 9,
} as const satisfies Record<DType, number>

function castType(to: number): DType {
  const found = Object.entries(CAST_TO).find(([, number]) => number === to)
  if (found === undefined) throw new ShapeError(`there is no type ${to}`)
  return found[0] as DType
}

/** A required input: `apply` has checked that it is there. */
function of(value: Value | undefined): Value {
  return value as Value
}

function typeOf(value: Value | undefined): TensorType {
  const { dtype, shape } = of(value)
  return { dtype, shape }
}

function sameType(...values: Inputs): DType {
  const types = new Set(values.filter(one => one !== undefined).map(one => one.dtype))
  if (types.size !== 1) throw new ShapeError(`types differ: ${[...types].join(', ')}`)
  return [...types][0] as DType
}

function numbers(dtype: DType): DType {
  if (!ALL_NUMBERS.includes(dtype)) throw new ShapeError(`${dtype} is not a number`)
  return dtype
}

function floats(dtype: DType): DType {
  if (dtype !== 'float32') throw new ShapeError(`${dtype} is not floating-point`)
  return dtype
}

function integers(dims: readonly Dim[]): number[] {
  return dims.map(dim => {
    if (typeof dim === 'string') throw new ShapeError(`${dim} is not a known number`)
    return dim
  })
}

function single(dims: readonly Dim[]): Dim {
  if (dims.length !== 1) throw new ShapeError(`one number is needed, not [${dims}]`)
  return dims[0] as Dim
}

function requireShape(shape: readonly Dim[], wanted: readonly Dim[]): void {
  if (shape.length !== wanted.length || shape.some((dim, i) => dim !== wanted[i])) {
    throw new ShapeError(`[${shape}] is not [${wanted}]`)
  }
}
