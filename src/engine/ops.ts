/** One function per operator, named exactly as in ONNX. Thin: the rules are in `operators.ts`. */
import { type Attributes, type DType, int64, type Result, type Value } from './graph.ts'
import { CAST_TO } from './operator-rules.ts'
import { apply, type OperatorName } from './operators.ts'

export * from './ops-quantized.ts'

function one(op: OperatorName, inputs: readonly (Value | undefined)[], attributes?: Attributes) {
  return apply(op, inputs, attributes)[0] as Result
}

type Unary = (x: Value) => Result
type Binary = (a: Value, b: Value) => Result

/** Reduces `axes`, all when left out, keeping them as 1 unless told otherwise. */
type Reduction = (x: Value, axes?: readonly number[], options?: { keep?: boolean }) => Result

const unary =
  (op: OperatorName): Unary =>
  x =>
    one(op, [x])

const binary =
  (op: OperatorName): Binary =>
  (a, b) =>
    one(op, [a, b])

const reduction =
  (op: OperatorName): Reduction =>
  (x, axes, { keep = true } = {}) =>
    one(op, [x, axes && int64(...axes)], { keepdims: keep ? 1 : 0 })

export const Add = binary('Add')
export const Sub = binary('Sub')
export const Mul = binary('Mul')
export const Div = binary('Div')
export const Pow = binary('Pow')
export const Max = binary('Max')
export const Min = binary('Min')

export const Equal = binary('Equal')
export const Greater = binary('Greater')
export const Less = binary('Less')

export const Abs = unary('Abs')
export const Neg = unary('Neg')
export const Exp = unary('Exp')
export const Log = unary('Log')
export const Sqrt = unary('Sqrt')
export const Reciprocal = unary('Reciprocal')
export const Tanh = unary('Tanh')
export const Sigmoid = unary('Sigmoid')
export const Relu = unary('Relu')
export const Erf = unary('Erf')
/** Exact by default; `tanh` is the approximation of Hendrycks & Gimpel 2016. */
export const Gelu = (x: Value, approximate: 'none' | 'tanh' = 'none') =>
  one('Gelu', [x], { approximate })
export const Identity = unary('Identity')
export const Softmax = (x: Value, axis = -1) => one('Softmax', [x], { axis })
export const LogSoftmax = (x: Value, axis = -1) => one('LogSoftmax', [x], { axis })

export const Sin = unary('Sin')
export const Cos = unary('Cos')
export const Sign = unary('Sign')

export const ReduceSum = reduction('ReduceSum')
export const ReduceMean = reduction('ReduceMean')
export const ReduceMax = reduction('ReduceMax')
export const ReduceL2 = reduction('ReduceL2')
export const ReduceSumSquare = reduction('ReduceSumSquare')
/** int64, the first of equals. */
export const ArgMax = (x: Value, axis: number, { keep = true } = {}) =>
  one('ArgMax', [x], { axis, keepdims: keep ? 1 : 0 })
/** The `k` largest along `axis`, largest first: values and int64 positions. */
export const TopK = (x: Value, k: number, axis = -1) => {
  const [values, indices] = apply('TopK', [x, int64(k)], { axis }) as [Result, Result]
  return { values, indices }
}

export const MatMul = binary('MatMul')
/** `a·b + c` over two dimensions, either factor transposed at no cost. */
export const Gemm = (
  a: Value,
  b: Value,
  c?: Value,
  { transA = false, transB = false, alpha = 1, beta = 1 } = {},
) => one('Gemm', [a, b, ...(c ? [c] : [])], { alpha, beta, transA: +transA, transB: +transB })
/** Over the last axis. */
export const LayerNormalization = (x: Value, scale: Value, bias: Value, epsilon: number) =>
  one('LayerNormalization', [x, scale, bias], { axis: -1, epsilon })

export const Where = (condition: Value, a: Value, b: Value) => one('Where', [condition, a, b])
export const Cast = (x: Value, to: DType) => one('Cast', [x], { to: CAST_TO[to] })

/** Sizes as int64, from `start` to before `end`. */
export const Shape = (x: Value, start = 0, end = x.shape.length) =>
  one('Shape', [x], { start, end })
/** 0 keeps a size, −1 is what remains; a value must come from constants and `Shape`. */
export const Reshape = (x: Value, shape: readonly number[] | Value) =>
  one('Reshape', [x, 'kind' in shape ? shape : int64(...shape)])
export const Expand = (x: Value, shape: Value) => one('Expand', [x, shape])
export const Transpose = (x: Value, perm: readonly number[]) => one('Transpose', [x], { perm })
export const Unsqueeze = (x: Value, axes: readonly number[]) =>
  one('Unsqueeze', [x, int64(...axes)])
export const Squeeze = (x: Value, axes: readonly number[]) => one('Squeeze', [x, int64(...axes)])
export const Concat = (values: readonly Value[], axis: number) => one('Concat', values, { axis })
/** From `start` to before `end` along one axis; either may be a value of one int64. */
export const Slice = (
  x: Value,
  { axis, start = 0, end }: { axis: number; start?: number; end: number | Value },
) => one('Slice', [x, int64(start), typeof end === 'number' ? int64(end) : end, int64(axis)])
export const Gather = (x: Value, indices: Value, axis = 0) => one('Gather', [x, indices], { axis })
export const GatherElements = (x: Value, indices: Value, axis: number) =>
  one('GatherElements', [x, indices], { axis })
/** `x` with `updates` added at `indices` along one axis. */
export const ScatterElements = (x: Value, indices: Value, updates: Value, axis: number) =>
  one('ScatterElements', [x, indices, updates], { axis, reduction: 'add' })
/** Zeros around `x`: how many before each axis, then how many after each. */
export const Pad = (x: Value, pads: readonly number[]) => one('Pad', [x, int64(...pads)])

/** `alpha · a·b` over the last two dimensions, either factor transposed at no cost. */
export const FusedMatMul = (
  a: Value,
  b: Value,
  { transA = false, transB = false, alpha = 1 } = {},
) => one('FusedMatMul', [a, b], { alpha, transA: +transA, transB: +transB })
/** `x · sigmoid(alpha · x)`; SiLU at alpha 1. */
export const QuickGelu = (x: Value, alpha = 1) => one('QuickGelu', [x], { alpha })
/** Root-mean-square norm over the last axis. */
export const SimplifiedLayerNormalization = (x: Value, scale: Value, epsilon: number) =>
  one('SimplifiedLayerNormalization', [x, scale], { axis: -1, epsilon, stash_type: 1 })
/**
 * Rotates the features of each head by its position. `x` [batch, heads, length, size], `positions` int64 [batch, length],
 * `cosines` and `sines` [positions, size / 2].
 */
export const RotaryEmbedding = (
  x: Value,
  positions: Value,
  cosines: Value,
  sines: Value,
  attributes: Attributes = {},
) => one('RotaryEmbedding', [x, positions, cosines, sines], attributes)
/** Scaled dot-product attention over heads laid side by side; `mask` int32 `[batch, length]`, 1 where a token is. */
export const MultiHeadAttention = (
  { query, key, value }: { readonly query: Value; readonly key: Value; readonly value: Value },
  mask: Value,
  headCount: number,
) => one('MultiHeadAttention', [query, key, value, undefined, mask], { num_heads: headCount })
