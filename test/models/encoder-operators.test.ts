/** Every operator of the engine in ONNX Runtime: the inferred type is the real one, the values are right. */
import { afterAll, expect, it } from 'vitest'
import * as engine from '../../src/engine/index.ts'
import {
  type Dim,
  emit,
  float32,
  type Input,
  input,
  int64,
  OPERATORS,
  scalar,
  type Value,
} from '../../src/engine/index.ts'
import { openInProcessRuntime, type Tensor } from '../../src/runtimes/index.ts'

const runtime = await openInProcessRuntime()
afterAll(() => runtime.close())

/** Fed as [2, 3]: −1, 0.5, 2, 3, −0.25, 4. Declared with names, so that inference works with names. */
const x = input('x', 'float32', ['rows', 'columns'])
const X = [-1, 0.5, 2, 3, -0.25, 4]
/** Declared with sizes, where an operator needs them. */
const fixed = input('fixed', 'float32', [2, 3])
const ids = input('ids', 'int64', ['rows', 'columns'])
const IDS = [1, 0, 1, 1, 0, 0]
const SIZES: Record<string, number> = { rows: 2, columns: 3, 'rows*columns': 6 }

const TENSORS: Record<string, Tensor> = {
  x: { type: 'float32', dims: [2, 3], data: Float32Array.from(X) },
  fixed: { type: 'float32', dims: [2, 3], data: Float32Array.from(X) },
  ids: { type: 'int64', dims: [2, 3], data: BigInt64Array.from(IDS, BigInt) },
}

const map = (f: (value: number) => number) => X.map(f)
const rows = (f: (row: number[]) => number[]) => [...f(X.slice(0, 3)), ...f(X.slice(3))]
const sum = (values: number[]) => values.reduce((a, b) => a + b, 0)
const softmax = (row: number[]) => row.map(value => Math.exp(value) / sum(row.map(Math.exp)))
/** Abramowitz & Stegun 7.1.26 is too rough: the series of erf, which converges fast enough up to 4. */
function erf(value: number): number {
  let term = value
  let total = value
  for (let n = 1; n < 120; n++) {
    term *= -(value * value) / n
    total += term / (2 * n + 1)
  }
  return (2 / Math.sqrt(Math.PI)) * total
}
const layerNorm = (row: number[]) => {
  const mean = sum(row) / 3
  const variance = sum(row.map(value => (value - mean) ** 2)) / 3
  return row.map(value => ((value - mean) / Math.sqrt(variance + 0.1)) * 2 + 1)
}
const {
  Abs,
  Add,
  ArgMax,
  Cast,
  Concat,
  Div,
  Equal,
  Erf,
  Exp,
  Expand,
  Gather,
  Gelu,
  Gemm,
  Greater,
  Identity,
  LayerNormalization,
  Less,
  Log,
  LogSoftmax,
  MatMul,
  Max,
  Min,
  Mul,
  Neg,
  Pow,
  Reciprocal,
  ReduceL2,
  ReduceMax,
  ReduceMean,
  ReduceSum,
  Relu,
  Reshape,
  Shape,
  Sigmoid,
  Slice,
  Softmax,
  Sqrt,
  Squeeze,
  Sub,
  Tanh,
  TopK,
  Transpose,
  Unsqueeze,
  Where,
} = engine
const two = scalar(2)
const w = float32('w', Float32Array.of(1, 2, 3, 4, 5, 6), [3, 2])
const product = [1, 2].flatMap((_, r) =>
  [0, 1].map(c => sum([0, 1, 2].map(k => (X[r * 3 + k] as number) * (1 + k * 2 + c)))),
)
const transposed = [0, 1, 2].flatMap(c => [X[c] as number, X[3 + c] as number])

const CASES: Record<keyof typeof OPERATORS, readonly [value: Value, wanted: number[]][]> = {
  Add: [[Add(x, two), map(v => v + 2)]],
  Sub: [[Sub(x, two), map(v => v - 2)]],
  Mul: [[Mul(x, x), map(v => v * v)]],
  Div: [[Div(x, two), map(v => v / 2)]],
  Pow: [[Pow(x, two), map(v => v ** 2)]],
  Max: [[Max(x, two), map(v => Math.max(v, 2))]],
  Min: [[Min(x, two), map(v => Math.min(v, 2))]],
  Equal: [[Equal(x, two), map(v => +(v === 2))]],
  Greater: [[Greater(x, two), map(v => +(v > 2))]],
  Less: [[Less(x, two), map(v => +(v < 2))]],
  Abs: [[Abs(x), map(Math.abs)]],
  Neg: [[Neg(x), map(v => -v)]],
  Exp: [[Exp(x), map(Math.exp)]],
  Log: [[Log(Abs(x)), map(v => Math.log(Math.abs(v)))]],
  Sqrt: [[Sqrt(Abs(x)), map(v => Math.sqrt(Math.abs(v)))]],
  Reciprocal: [[Reciprocal(x), map(v => 1 / v)]],
  Tanh: [[Tanh(x), map(Math.tanh)]],
  Sigmoid: [[Sigmoid(x), map(v => 1 / (1 + Math.exp(-v)))]],
  Relu: [[Relu(x), map(v => Math.max(0, v))]],
  Erf: [[Erf(x), map(erf)]],
  Gelu: [
    [Gelu(x), map(v => (v / 2) * (1 + erf(v / Math.SQRT2)))],
    [
      Gelu(x, 'tanh'),
      map(v => (v / 2) * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v ** 3)))),
    ],
  ],
  Identity: [[Identity(x), X]],
  Softmax: [[Softmax(x), rows(softmax)]],
  LogSoftmax: [[LogSoftmax(x), rows(row => softmax(row).map(Math.log))]],
  ReduceSum: [
    [ReduceSum(x, [1]), rows(row => [sum(row)])],
    [ReduceSum(x, [0], { keep: false }), [2, 0.25, 6]],
    [ReduceSum(x, undefined, { keep: false }), [sum(X)]],
  ],
  ReduceMean: [[ReduceMean(x, [-1], { keep: false }), rows(row => [sum(row) / 3])]],
  ReduceMax: [[ReduceMax(x, [1]), [2, 4]]],
  ReduceL2: [[ReduceL2(x, [1]), rows(row => [Math.hypot(...row)])]],
  ArgMax: [
    [ArgMax(x, 1), [2, 2]],
    [ArgMax(x, 0, { keep: false }), [1, 0, 1]],
  ],
  TopK: [
    [TopK(x, 2).values, [2, 0.5, 4, 3]],
    [TopK(x, 2).indices, [2, 1, 2, 0]],
  ],
  MatMul: [[MatMul(fixed, w), product]],
  Gemm: [
    [
      Gemm(fixed, w, float32('b', Float32Array.of(1, 2), [2]), { alpha: 2 }),
      product.map((v, i) => 2 * v + 1 + (i % 2)),
    ],
    [
      Gemm(w, fixed, undefined, { transA: true, transB: true }),
      [0, 2, 1, 3].map(i => product[i] as number),
    ],
  ],
  LayerNormalization: [
    [
      LayerNormalization(
        fixed,
        float32('s', Float32Array.of(2, 2, 2), [3]),
        float32('b', Float32Array.of(1, 1, 1), [3]),
        0.1,
      ),
      rows(layerNorm),
    ],
  ],
  Where: [[Where(Greater(x, two), x, scalar(9)), map(v => (v > 2 ? v : 9))]],
  Cast: [
    [Cast(x, 'int64'), [-1, 0, 2, 3, 0, 4]],
    [Cast(ids, 'float32'), IDS],
    [Cast(ids, 'bool'), IDS],
  ],
  Shape: [
    [Shape(x), [2, 3]],
    [Shape(x, 1, 2), [3]],
  ],
  Reshape: [
    [Reshape(x, [-1]), X],
    [Reshape(Reshape(x, [-1]), Shape(x)), X],
    [Reshape(fixed, [0, -1, 1]), X],
  ],
  Expand: [[Expand(two, Shape(x)), X.map(() => 2)]],
  Transpose: [[Transpose(x, [1, 0]), transposed]],
  Unsqueeze: [[Unsqueeze(x, [0, -1]), X]],
  Squeeze: [[Squeeze(Unsqueeze(x, [1]), [1]), X]],
  Concat: [
    [Concat([fixed, fixed], 0), [...X, ...X]],
    [Concat([Shape(x, 0, 1), int64(7)], 0), [2, 7]],
  ],
  Slice: [
    [Slice(fixed, { axis: 1, start: 1, end: 3 }), rows(row => row.slice(1))],
    [Slice(fixed, { axis: 1, start: -2, end: -1 }), [0.5, -0.25]],
    [Slice(w, { axis: 0, end: Shape(x, 0, 1) }), [1, 2, 3, 4]],
  ],
  Gather: [
    [Gather(w, ids), IDS.flatMap(id => [1 + 2 * id, 2 + 2 * id])],
    [Gather(fixed, int64(2), 1), [2, 4]],
  ],
}

it.each(
  Object.entries(CASES).flatMap(([op, cases]) => cases.map((one, i) => [op, i + 1, one] as const)),
)('%s, case %i', async (op, i, [value, wanted]) => {
  const inputs: Input[] = [x, fixed, ids]
  const session = `${op} ${i}`
  await runtime.load(session, emit(op, { inputs, outputs: { value } }))
  const { value: got } = await runtime.run([{ session, feeds: TENSORS }])
  const size = (dim: Dim) => (typeof dim === 'number' ? dim : (SIZES[dim] as number))
  expect([got?.type, got?.dims]).toEqual([value.dtype, value.shape.map(size)])
  const values = Array.from(got?.data as ArrayLike<number | bigint>, Number)
  expect(values).toHaveLength(wanted.length)
  for (const [at, one] of values.entries()) expect(one).toBeCloseTo(wanted[at] as number, 5)
})

it('covers every operator', () => {
  expect(Object.keys(CASES).sort()).toEqual(Object.keys(OPERATORS).sort())
})
