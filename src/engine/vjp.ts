/**
 * The gradient of each operator: from gradients of its results to gradients of its inputs (vector–Jacobian products; Griewank &
 * Walther 2008, ch. 3). Knows single nodes, never a whole graph.
 */
import { scalar, type Value } from './graph.ts'
import type { OperatorName } from './operators.ts'
import * as ops from './ops.ts'
import { normaliseAxes } from './shapes.ts'
import {
  gelu,
  gemm,
  layerNormalization,
  product,
  quickGelu,
  rmsNormalization,
} from './vjp-compute.ts'
import { added, concat, gather, inversePerm, pad, rotary, slice, zerosLike } from './vjp-move.ts'
import {
  countOf,
  each,
  expandTo,
  kept,
  reducedAxes,
  reduction,
  unary,
  type VjpRule,
  winner,
} from './vjp-rules.ts'

const { Cast, Cos, Div, Equal, Exp, Greater, Log, Mul, Neg, Pow, ReduceSum, Reshape } = ops
const { Shape, Sign, Sin, Sub } = ops

/**
 * One row per operator, null where nothing is to be differentiated: results are integers or conditions. The third way in
 * which a row is tested, a PyTorch golden, lies in test/engine.
 */
export const VJP = {
  Add: each(({ g }) => [() => g, () => g]),
  Sub: each(({ g }) => [() => g, () => Neg(g)]),
  Mul: each(({ g }, a, b) => [() => Mul(g, b as Value), () => Mul(g, a as Value)]),
  Div: each(({ g, outputs: [y] }, _a, b) => [
    () => Div(g, b as Value),
    () => Neg(Div(Mul(g, y as Value), b as Value)),
  ]),
  Pow: each(({ g, outputs: [y] }, a, b) => [
    () => Mul(g, Mul(b as Value, Pow(a as Value, Sub(b as Value, scalar(1))))),
    () => Mul(g, Mul(y as Value, Log(a as Value))),
  ]),
  Max: winner((a, b) => Greater(a, b)),
  Min: winner((a, b) => ops.Less(a, b)),

  Equal: null,
  Greater: null,
  Less: null,

  Abs: unary(({ g, x }) => Mul(g, Sign(x))),
  Neg: unary(({ g }) => Neg(g)),
  Exp: unary(({ g, y }) => Mul(g, y)),
  Log: unary(({ g, x }) => Div(g, x)),
  Sqrt: unary(({ g, y }) => Div(Mul(scalar(0.5), g), y)),
  Reciprocal: unary(({ g, y }) => Neg(Mul(g, Mul(y, y)))),
  Tanh: unary(({ g, y }) => Mul(g, Sub(scalar(1), Mul(y, y)))),
  Sigmoid: unary(({ g, y }) => Mul(g, Mul(y, Sub(scalar(1), y)))),
  Relu: unary(({ g, x }) => Mul(g, Cast(Greater(x, scalar(0)), 'float32'))),
  Erf: unary(({ g, x }) => Mul(g, Mul(scalar(2 / Math.sqrt(Math.PI)), Exp(Neg(Mul(x, x)))))),
  Sin: unary(({ g, x }) => Mul(g, Cos(x))),
  Cos: unary(({ g, x }) => Neg(Mul(g, Sin(x)))),
  Sign: null,
  Gelu: gelu,
  QuickGelu: quickGelu,
  Identity: unary(({ g }) => g),
  Softmax: unary(({ g, y, attributes }) => {
    const axis = (attributes.axis as number | undefined) ?? -1
    return Mul(y, Sub(g, ReduceSum(Mul(g, y), [axis])))
  }),
  LogSoftmax: unary(({ g, y, attributes }) => {
    const axis = (attributes.axis as number | undefined) ?? -1
    return Sub(g, Mul(Exp(y), ReduceSum(g, [axis])))
  }),

  ReduceSum: reduction((g, x) => expandTo(g, x)),
  ReduceMean: each(({ g, inputs, attributes }, x) => [
    () => {
      const count = countOf(x as Value, reducedAxes(inputs, (x as Value).shape.length))
      return expandTo(Div(kept(g, x as Value, inputs, attributes), count), x as Value)
    },
  ]),
  ReduceMax: each(({ g, inputs, outputs: [y], attributes }, x) => [
    () => {
      const axes = reducedAxes(inputs, (x as Value).shape.length)
      const keep = (value: Value) => kept(value, x as Value, inputs, attributes)
      const isLargest = Cast(Equal(x as Value, keep(y as Value)), 'float32')
      return Mul(isLargest, Div(keep(g), ReduceSum(isLargest, axes)))
    },
  ]),
  // At the origin there is no slope: zero, as PyTorch has it, and not 0 / 0.
  ReduceL2: reduction((g, x, y) => Mul(x, Div(g, ops.Max(y, scalar(1e-30))))),
  ReduceSumSquare: reduction((g, x) => Mul(Mul(scalar(2), x), g)),
  ArgMax: null,
  TopK: each(({ g, outputs: [, indices], attributes }, x) => [
    () =>
      ops.ScatterElements(
        zerosLike(x as Value),
        indices as Value,
        g,
        (attributes.axis as number | undefined) ?? -1,
      ),
  ]),

  MatMul: product(false, false, 1),
  FusedMatMul: context => {
    const { transA = 0, transB = 0, alpha = 1 } = context.attributes as Record<string, number>
    return product(!!transA, !!transB, alpha)(context)
  },
  Gemm: gemm,
  LayerNormalization: layerNormalization,
  SimplifiedLayerNormalization: rmsNormalization,
  RotaryEmbedding: rotary,

  Where: each(({ g }, condition) => [
    () => scalar(0),
    () => ops.Where(condition as Value, g, scalar(0)),
    () => ops.Where(condition as Value, scalar(0), g),
  ]),
  Cast: unary(({ g, x }) => Cast(g, x.dtype)),

  Shape: null,
  Reshape: unary(({ g, x }) => Reshape(g, Shape(x))),
  Expand: unary(({ g }) => g),
  Transpose: unary(({ g, attributes }) => {
    const perm = attributes.perm as readonly number[]
    return ops.Transpose(g, inversePerm(normaliseAxes(perm, perm.length)))
  }),
  Unsqueeze: unary(({ g, x }) => Reshape(g, Shape(x))),
  Squeeze: unary(({ g, x }) => Reshape(g, Shape(x))),
  Concat: concat,
  Slice: slice,
  Pad: pad,
  Gather: gather,
  GatherElements: each(({ g, attributes }, x, indices) => [
    () =>
      ops.ScatterElements(
        zerosLike(x as Value),
        indices as Value,
        g,
        (attributes.axis as number | undefined) ?? 0,
      ),
  ]),
  ScatterElements: added(
    each(({ g, attributes }, _x, indices) => [
      () => g,
      () => scalar(0),
      () => ops.GatherElements(g, indices as Value, (attributes.axis as number | undefined) ?? 0),
    ]),
  ),
  ScatterND: added(
    each(({ g }, _x, indices) => [
      () => g,
      () => scalar(0),
      () => {
        const at = indices as Value
        if (at.shape.at(-1) !== 1) throw new Error('rows found by several indices')
        return ops.Gather(g, ops.Squeeze(at, [-1]))
      },
    ]),
  ),
} as const satisfies Record<OperatorName, VjpRule | null>
