/** The one table of operators: inputs, attributes, and the rule for the result's type. Knows no model. */
import { UnderstudyError } from '../errors.ts'
import { type Attributes, type Dim, describe, type Node, type Result, type Value } from './graph.ts'
import {
  arithmetic,
  castType,
  comparison,
  elementwise,
  floats,
  integers,
  type OperatorRule,
  of,
  reduction,
  requireShape,
  sameType,
  scatter,
  single,
  typeOf,
} from './operator-rules.ts'
import { CONTRIB_OPERATORS } from './operators-contrib.ts'
import { QUANTIZED_OPERATORS } from './operators-quantized.ts'
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

/** Rows grouped as in the ONNX specification. The gradient of each is in `vjp.ts`, under the same key. */
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
  Sin: elementwise(),
  Cos: elementwise(),
  Sign: elementwise(),
  Gelu: elementwise({ approximate: 'string' }),
  Identity: { inputs: [1, 1], infer: ([x]) => [typeOf(x)] },
  Softmax: elementwise({ axis: 'int' }),
  LogSoftmax: elementwise({ axis: 'int' }),

  ReduceSum: reduction(),
  ReduceMean: reduction(),
  ReduceMax: reduction(),
  ReduceL2: reduction(),
  ReduceSumSquare: reduction(),
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
    optionalFrom: 1,
    infer: ([x, scale, bias], { axis = -1 }) => {
      const { shape } = of(x)
      const [from] = normaliseAxes([axis as number], shape.length) as [number]
      const normalised = shape.slice(from)
      for (const part of [scale, bias]) {
        if (part !== undefined) requireShape(part.shape, normalised)
      }
      const dtype = floats(sameType(x, scale, bias))
      const statistics = shape.map((dim, i) => (i < from ? dim : 1))
      // The normalised value, then mean and reciprocal deviation, which the gradient needs.
      return [
        { dtype, shape },
        { dtype, shape: statistics },
        { dtype, shape: statistics },
      ]
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
  GatherElements: {
    inputs: [2, 2],
    attributes: { axis: 'int' },
    infer: ([x, indices]) => [{ dtype: of(x).dtype, shape: of(indices).shape }],
  },
  ScatterElements: scatter({ axis: 'int', reduction: 'string' }),
  Pad: {
    inputs: [2, 2],
    attributes: { mode: 'string' },
    infer: ([x, pads]) => {
      const { shape, dtype } = of(x)
      const amounts = integers(knownIntegers(of(pads)))
      if (amounts.length !== 2 * shape.length)
        throw new ShapeError('pads name each end of each axis')
      const padded = shape.map((dim, i) => {
        const added = (amounts[i] as number) + (amounts[i + shape.length] as number)
        return added === 0 ? dim : (integers([dim])[0] as number) + added
      })
      return [{ dtype, shape: padded }]
    },
  },

  ...CONTRIB_OPERATORS,
  ...QUANTIZED_OPERATORS,
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
