/** One line per operator and mode: what is drawn, what is built. test/parity/make-operator-goldens.py has a twin of each line. */
import * as engine from '../../src/engine/index.ts'
import { constant, int64, type OperatorName, scalar, type Value } from '../../src/engine/index.ts'
import { apply } from '../../src/engine/operators.ts'
import { below, type Draw, flags, floats, given, integers, positives } from './draws.ts'

/** The first word is the operator's name. */
type CaseName = OperatorName | `${OperatorName}${' ' | ', '}${string}`

interface CaseOptions {
  /** Places of float inputs that have no gradient, since the operator's rule refuses it. */
  readonly frozen?: readonly number[]
  /** Why differences do not show the gradient that is meant: only PyTorch's convention does. */
  readonly kink?: string
  /** Relative, and why it is not the usual one. */
  readonly tolerance?: { readonly relative: number; readonly reason: string }
}

/** What is built may be several results; the gradient is that of the first. */
export type OperatorCase = readonly [
  name: CaseName,
  draws: readonly Draw[],
  build: (...inputs: Value[]) => Value | readonly Value[],
  options?: CaseOptions,
]

const all = (op: OperatorName, inputs: readonly (Value | undefined)[], attributes = {}) =>
  apply(op, inputs, attributes)
const drop = { keep: false }
const {
  Abs,
  Add,
  ArgMax,
  Cast,
  Concat,
  Cos,
  DequantizeLinear,
  Div,
  DynamicQuantizeMatMul,
  Equal,
  Erf,
  Exp,
  Expand,
  FusedMatMul,
  Gather,
  GatherBlockQuantized,
  GatherElements,
  Gelu,
  Gemm,
  Greater,
  Identity,
  LayerNormalization,
  Less,
  Log,
  LogSoftmax,
  MatMul,
  MatMulInteger,
  MatMulIntegerToFloat,
  MatMulNBits,
  Max,
  Min,
  Mul,
  MultiHeadAttention,
  Neg,
  Pad,
  Pow,
  QuickGelu,
  Reciprocal,
  ReduceL2,
  ReduceMax,
  ReduceMean,
  ReduceSum,
  ReduceSumSquare,
  Relu,
  Reshape,
  RotaryEmbedding,
  ScatterElements,
  Shape,
  Sigmoid,
  Sign,
  SimplifiedLayerNormalization,
  Sin,
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

const ELEMENTWISE: readonly OperatorCase[] = [
  ['Add', [floats(2, 3), floats(2, 3)], Add],
  ['Add a row', [floats(2, 3), floats(3)], Add],
  ['Add a column', [floats(2, 1), floats(2, 3)], Add],
  ['Add both ways', [floats(2, 1, 3), floats(4, 1)], Add],
  ['Add a scalar', [floats(2, 3), floats()], Add],
  ['Add named sizes', [floats('rows', 3), floats('rows', 1)], Add],
  ['Add integers', [below(9, 2, 3), below(9, 3)], Add],
  ['Sub', [floats(2, 3), floats(2, 3)], Sub],
  ['Sub from a column', [floats(2, 1), floats(2, 3)], Sub],
  ['Mul', [floats(2, 3), floats(2, 3)], Mul],
  ['Mul both ways', [floats(2, 1, 3), floats(4, 1)], Mul],
  ['Mul by itself', [floats(2, 3)], x => Mul(x, x)],
  ['Div', [floats(2, 3), positives(2, 3)], Div],
  ['Div by a row', [floats(2, 3), positives(3)], Div],
  ['Div of a row', [floats(3), positives(2, 3)], Div],
  ['Div of integers', [integers([7, -7, 6, -1], 4)], x => Div(x, int64(3))],
  ['Pow', [positives(2, 3), floats(2, 3)], Pow],
  ['Pow both ways', [positives(2, 1), floats(3)], Pow],
  ['Pow to 2', [floats(2, 3)], x => Pow(x, scalar(2))],
  ['Pow to 3', [floats(2, 3)], x => Pow(x, scalar(3))],
  ['Pow to a half', [positives(2, 3)], x => Pow(x, scalar(0.5))],
  ['Pow to -1.5', [positives(2, 3)], x => Pow(x, scalar(-1.5))],
  ['Pow of zero to 2', [given([0, 1, -1], 3)], x => Pow(x, scalar(2))],
  ['Pow of zero to what trains', [given([0, 0, 2], 3), given([2, 1, 0], 3)], Pow],
  ['Max', [floats(2, 3), floats(2, 3)], Max],
  ['Max of a scalar', [floats(2, 3)], x => Max(x, scalar(0.5))],
  ['Max of both ways', [floats(2, 1), floats(3)], Max],
  ['Max of ties', [given([1, 2, 3], 3), given([1, 3, 2], 3)], Max],
  ['Min', [floats(2, 3), floats(2, 3)], Min],
  ['Min of both ways', [floats(2, 1), floats(3)], Min],
  ['Min of ties', [given([1, 2, 3], 3), given([1, 3, 2], 3)], Min],

  ['Equal', [below(3, 2, 3), below(3, 3)], Equal],
  ['Equal floats', [given([1, 2, 0], 3), given([1, 3, -0], 3)], Equal],
  ['Greater', [floats(2, 3), floats(3)], Greater],
  ['Less', [below(3, 2, 3), below(3, 2, 1)], Less],

  ['Abs', [floats(2, 3)], Abs],
  ['Abs at zero', [given([0, -1, 2], 3)], Abs],
  ['Neg', [floats(2, 3)], Neg],
  ['Exp', [floats(2, 3)], Exp],
  ['Exp of named sizes', [floats('rows', 'columns')], Exp],
  ['Log', [positives(2, 3)], Log],
  ['Sqrt', [positives(2, 3)], Sqrt],
  ['Reciprocal', [positives(2, 3)], Reciprocal],
  ['Tanh', [floats(2, 3)], Tanh],
  ['Sigmoid', [floats(2, 3)], Sigmoid],
  ['Sigmoid far out', [given([-80, -20, 20, 80], 4)], Sigmoid],
  ['Relu', [floats(2, 3)], Relu],
  ['Relu at zero', [given([0, -1, 2], 3)], Relu, { kink: 'the slope left of zero is taken' }],
  ['Erf', [floats(2, 3)], Erf],
  ['Sin', [floats(2, 3)], Sin],
  ['Cos', [floats(2, 3)], Cos],
  ['Sign', [given([0, -1.5, 2], 3)], Sign],
  ['Gelu', [floats(2, 3)], x => Gelu(x)],
  ['Gelu far out', [given([-9, -3, 0, 3, 9], 5)], x => Gelu(x)],
  ['Gelu by tanh', [floats(2, 3)], x => Gelu(x, 'tanh')],
  ['Gelu by tanh far out', [given([-9, -3, 0, 3, 9], 5)], x => Gelu(x, 'tanh')],
  ['QuickGelu', [floats(2, 3)], x => QuickGelu(x)],
  ['QuickGelu of 1.702', [floats(2, 3)], x => QuickGelu(x, 1.702)],
  ['QuickGelu far out', [given([-60, -3, 0, 3, 60], 5)], x => QuickGelu(x)],
  ['QuickGelu as the runtime has it', [floats(2, 3)], x => all('QuickGelu', [x])],
  ['Identity', [floats(2, 3)], Identity],

  ['Where', [flags(2, 3), floats(2, 3), floats(2, 3)], Where],
  ['Where both ways', [flags(2, 1), floats(3), floats()], Where],
  ['Where named sizes', [flags('rows', 1), floats('rows', 3), floats(3)], Where],
  ['Cast to integers', [given([-1.75, -0.5, 0.5, 2.75], 4)], x => Cast(x, 'int64')],
  ['Cast of integers', [below(9, 2, 3)], x => Cast(x, 'float32')],
  ['Cast of flags', [flags(2, 3)], x => Cast(x, 'float32')],
  ['Cast to flags', [given([0, -0.5, 2], 3)], x => Cast(x, 'bool')],
  [
    'Cast by way of halves',
    [given([0.5, -1.25, 3], 3)],
    x => Cast(Cast(x, 'float16'), 'float32'),
    { tolerance: { relative: 1e-3, reason: 'the gradient is cut to 11 bits on its way' } },
  ],
]

const REDUCTIONS: readonly OperatorCase[] = [
  ['Softmax', [floats(2, 3)], x => Softmax(x)],
  ['Softmax along 1', [floats(2, 3, 2)], x => Softmax(x, 1)],
  ['Softmax of named sizes', [floats('rows', 'columns')], x => Softmax(x)],
  ['Softmax of large numbers', [given([900, 901, -900, 902], 2, 2)], x => Softmax(x)],
  ['LogSoftmax', [floats(2, 3)], x => LogSoftmax(x)],
  ['LogSoftmax along 0', [floats(2, 3)], x => LogSoftmax(x, 0)],
  ['LogSoftmax of large numbers', [given([900, 901, -900, 902], 2, 2)], x => LogSoftmax(x)],

  ['ReduceSum', [floats(2, 3)], x => ReduceSum(x)],
  ['ReduceSum along 1', [floats(2, 3)], x => ReduceSum(x, [1])],
  ['ReduceSum along -2, dropped', [floats(2, 3)], x => ReduceSum(x, [-2], drop)],
  ['ReduceSum along two, dropped', [floats(2, 3, 2)], x => ReduceSum(x, [-1, 0], drop)],
  ['ReduceSum of all, dropped', [floats(2, 3)], x => ReduceSum(x, undefined, drop)],
  ['ReduceSum along no axis named', [floats(2, 3)], x => ReduceSum(x, [], drop)],
  ['ReduceSum of named sizes', [floats('rows', 'columns')], x => ReduceSum(x, [0], drop)],
  ['ReduceSum of integers', [below(9, 2, 3)], x => ReduceSum(x, [1])],
  ['ReduceMean', [floats(2, 3)], x => ReduceMean(x)],
  ['ReduceMean along 1', [floats(2, 3)], x => ReduceMean(x, [1])],
  ['ReduceMean along two, dropped', [floats(2, 3, 2)], x => ReduceMean(x, [0, -1], drop)],
  ['ReduceMean of all, dropped', [floats(2, 3)], x => ReduceMean(x, undefined, drop)],
  ['ReduceMean of named sizes', [floats('rows', 'columns', 2)], x => ReduceMean(x, [0, 1], drop)],
  ['ReduceMean along no axis named', [floats(2, 3)], x => ReduceMean(x, [], drop)],
  ['ReduceMax', [floats(2, 3)], x => ReduceMax(x)],
  ['ReduceMax along 1', [floats(2, 3)], x => ReduceMax(x, [1])],
  ['ReduceMax along -2, dropped', [floats(2, 3)], x => ReduceMax(x, [-2], drop)],
  ['ReduceMax of all, dropped', [floats(2, 3)], x => ReduceMax(x, undefined, drop)],
  ['ReduceMax of two ties', [given([2, 1, 2, 0, 3, 3], 2, 3)], x => ReduceMax(x, [1])],
  [
    'ReduceMax of three ties',
    [given([2, 2, 2, 0, 0, 0], 2, 3)],
    x => ReduceMax(x, [1], drop),
    { kink: 'ties share alike, which differences show for two only' },
  ],
  ['ReduceL2', [floats(2, 3)], x => ReduceL2(x)],
  ['ReduceL2 along 1', [floats(2, 3)], x => ReduceL2(x, [1])],
  ['ReduceL2 along 0, dropped', [floats('rows', 3)], x => ReduceL2(x, [0], drop)],
  ['ReduceL2 of zeros', [given([0, 0, 1, 2], 2, 2)], x => ReduceL2(x, [1])],
  ['ReduceSumSquare', [floats(2, 3)], x => ReduceSumSquare(x)],
  ['ReduceSumSquare along 1, dropped', [floats(2, 3)], x => ReduceSumSquare(x, [1], drop)],
  ['ArgMax', [floats(2, 3)], x => ArgMax(x, 1)],
  ['ArgMax along -2, dropped', [floats(2, 3)], x => ArgMax(x, -2, drop)],
  ['ArgMax of ties', [given([1, 4, 4, 2, 2, 0], 2, 3)], x => ArgMax(x, 1)],
  ['TopK', [floats(2, 5)], x => Object.values(TopK(x, 2))],
  ['TopK along 0', [floats(4, 3)], x => Object.values(TopK(x, 3, 0))],
  ['TopK of named sizes', [floats('rows', 5)], x => Object.values(TopK(x, 1))],

  [
    'LayerNormalization',
    [floats(2, 3, 4), floats(4), floats(4)],
    (x, scale, bias) => LayerNormalization(x, scale, bias, 1e-5),
  ],
  [
    'LayerNormalization of named sizes',
    [floats('rows', 'columns', 4), floats(4), floats(4)],
    (x, scale, bias) => LayerNormalization(x, scale, bias, 1e-2),
  ],
  [
    'LayerNormalization over two axes',
    [floats(2, 3, 4), floats(3, 4), floats(3, 4)],
    (...inputs) => all('LayerNormalization', inputs, { axis: 1, epsilon: 1e-5 }),
  ],
  [
    'LayerNormalization without bias',
    [floats(2, 4), floats(4)],
    (...inputs) => all('LayerNormalization', inputs, { axis: -1, epsilon: 1e-5 }),
  ],
  [
    'SimplifiedLayerNormalization',
    [floats(2, 3, 4), floats(4)],
    (x, scale) => SimplifiedLayerNormalization(x, scale, 1e-5),
  ],
  [
    'SimplifiedLayerNormalization with its statistics',
    [floats('rows', 4), floats(4)],
    (...inputs) => all('SimplifiedLayerNormalization', inputs, { axis: -1, epsilon: 1e-2 }),
  ],
]

const alphaBeta = { alpha: 0.5, beta: 2 }
const PRODUCTS: readonly OperatorCase[] = [
  ['MatMul', [floats(2, 3), floats(3, 4)], MatMul],
  ['MatMul in batches', [floats(2, 2, 3), floats(2, 3, 2)], MatMul],
  ['MatMul by a shared matrix', [floats(2, 2, 3), floats(3, 2)], MatMul],
  ['MatMul of a shared matrix', [floats(2, 3), floats(2, 3, 2)], MatMul],
  ['MatMul both ways', [floats(2, 1, 2, 3), floats(3, 3, 2)], MatMul],
  ['MatMul of named sizes', [floats('rows', 'columns', 3), floats(3, 2)], MatMul],
  ['MatMul in named batches', [floats('rows', 2, 3), floats('rows', 3, 2)], MatMul],
  ['Gemm', [floats(2, 3), floats(3, 4)], (a, b) => Gemm(a, b)],
  ['Gemm and a row', [floats('rows', 3), floats(3, 4), floats(4)], (a, b, c) => Gemm(a, b, c)],
  ['Gemm and a column', [floats(2, 3), floats(3, 4), floats(2, 1)], (a, b, c) => Gemm(a, b, c)],
  [
    'Gemm and a scalar',
    [floats(2, 3), floats(3, 4), floats()],
    (a, b, c) => Gemm(a, b, c, alphaBeta),
  ],
  [
    'Gemm and a matrix',
    [floats(2, 3), floats(3, 4), floats(2, 4)],
    (a, b, c) => Gemm(a, b, c, alphaBeta),
  ],
  [
    'Gemm, first turned',
    [floats(3, 2), floats(3, 4), floats(4)],
    (a, b, c) => Gemm(a, b, c, { transA: true, ...alphaBeta }),
  ],
  [
    'Gemm, second turned',
    [floats(2, 3), floats(4, 3), floats(4)],
    (a, b, c) => Gemm(a, b, c, { transB: true, ...alphaBeta }),
  ],
  [
    'Gemm, both turned',
    [floats(3, 2), floats(4, 3), floats(4)],
    (a, b, c) => Gemm(a, b, c, { transA: true, transB: true, ...alphaBeta }),
  ],
  ['FusedMatMul', [floats(2, 3), floats(3, 4)], (a, b) => FusedMatMul(a, b, { alpha: 0.5 })],
  [
    'FusedMatMul, first turned',
    [floats(3, 2), floats(3, 4)],
    (a, b) => FusedMatMul(a, b, { transA: true, alpha: 0.5 }),
  ],
  [
    'FusedMatMul, second turned, in batches',
    [floats(2, 2, 2, 3), floats(2, 2, 4, 3)],
    (a, b) => FusedMatMul(a, b, { transB: true, alpha: 0.5 }),
  ],
  [
    'FusedMatMul, both turned, in batches',
    [floats(2, 3, 2), floats(2, 4, 3)],
    (a, b) => FusedMatMul(a, b, { transA: true, transB: true, alpha: 0.5 }),
  ],
  [
    'FusedMatMul, first turned, by a shared matrix',
    [floats(2, 3, 2), floats(3, 4)],
    (a, b) => FusedMatMul(a, b, { transA: true }),
  ],
  [
    'FusedMatMul, second turned, by a shared matrix',
    [floats('rows', 'columns', 3), floats(4, 3)],
    (a, b) => FusedMatMul(a, b, { transB: true, alpha: 2 }),
  ],
  [
    'FusedMatMul, both turned, of a shared matrix',
    [floats(3, 2), floats(2, 4, 3)],
    (a, b) => FusedMatMul(a, b, { transA: true, transB: true }),
  ],

  [
    'RotaryEmbedding',
    [floats(2, 2, 3, 4), below(5, 2, 3), floats(5, 2), floats(5, 2)],
    (x, at, cosines, sines) => RotaryEmbedding(x, at, cosines, sines),
    { frozen: [2, 3] },
  ],
  [
    'RotaryEmbedding interleaved',
    [floats('rows', 2, 'columns', 4), below(5, 'rows', 'columns'), floats(5, 2), floats(5, 2)],
    (x, at, cosines, sines) => RotaryEmbedding(x, at, cosines, sines, { interleaved: 1 }),
    { frozen: [2, 3] },
  ],
  [
    'RotaryEmbedding of the first features',
    [floats(2, 2, 3, 6), below(5, 2, 3), floats(5, 2), floats(5, 2)],
    (x, at, cosines, sines) =>
      RotaryEmbedding(x, at, cosines, sines, { num_heads: 2, rotary_embedding_dim: 4 }),
    { frozen: [2, 3] },
  ],
  [
    'RotaryEmbedding from one position on',
    [floats(2, 1, 3, 4), integers([1], 1), floats(5, 2), floats(5, 2)],
    (x, at, cosines, sines) => RotaryEmbedding(x, at, cosines, sines),
    { frozen: [2, 3] },
  ],
]

const MOVES: readonly OperatorCase[] = [
  ['Shape', [floats('rows', 3)], x => Shape(x)],
  ['Shape from 1', [floats('rows', 'columns')], x => Shape(x, 1)],
  ['Shape of the last', [floats(2, 3)], x => Shape(x, -1)],
  ['Reshape', [floats(2, 3, 2)], x => Reshape(x, [0, -1])],
  ['Reshape flat', [floats('rows', 'columns')], x => Reshape(x, [-1])],
  [
    'Reshape as another',
    [floats('rows*columns', 2), floats('rows', 'columns')],
    (x, like) => Reshape(x, Concat([Shape(like), int64(2)], 0)),
    { frozen: [1] },
  ],
  ['Expand', [floats(1, 3)], x => Expand(x, int64(2, 3))],
  ['Expand in front', [floats(3, 1)], x => Expand(x, int64(2, 1, 4))],
  [
    'Expand as another',
    [floats(3), floats('rows', 3)],
    (x, like) => Expand(x, Shape(like)),
    { frozen: [1] },
  ],
  ['Transpose', [floats(2, 3)], x => Transpose(x, [1, 0])],
  ['Transpose three', [floats('rows', 3, 4)], x => Transpose(x, [1, 2, 0])],
  ['Unsqueeze', [floats('rows', 3)], x => Unsqueeze(x, [0, -1])],
  ['Squeeze', [floats(1, 'rows', 1, 3)], x => Squeeze(x, [0, -2])],
  ['Concat', [floats(2, 3), floats(1, 3)], (...parts) => Concat(parts, 0)],
  ['Concat along -1', [floats('rows', 3), floats('rows', 1)], (...parts) => Concat(parts, -1)],
  ['Concat of three', [floats(2), floats(1), floats(2)], (...parts) => Concat(parts, 0)],
  ['Concat of one twice', [floats(2, 2)], x => Concat([x, x], 1)],
  [
    'Concat of sizes',
    [floats('rows', 3)],
    x => Concat([Shape(x, 0, 1), int64(7)], 0),
    { frozen: [0] },
  ],
  ['Slice', [floats(2, 4)], x => Slice(x, { axis: 1, start: 1, end: 3 })],
  ['Slice from the end', [floats(2, 4)], x => Slice(x, { axis: -1, start: -2, end: -1 })],
  ['Slice beyond the end', [floats('rows', 4)], x => Slice(x, { axis: 1, start: 1, end: 100 })],
  [
    'Slice of two axes',
    [floats(3, 4)],
    x => all('Slice', [x, int64(1, 0), int64(3, 2), int64(0, 1)]),
  ],
  [
    'Slice in steps',
    [floats(2, 5)],
    x => all('Slice', [x, int64(0), int64(5), int64(1), int64(2)]),
    { frozen: [0] },
  ],
  [
    'Slice to a named size',
    [floats(4, 2), floats('rows', 3)],
    (x, like) => Slice(x, { axis: 0, end: Shape(like, 0, 1) }),
    { frozen: [1] },
  ],
  [
    'Slice along 1 to a named size',
    [floats(2, 5), floats('rows', 3)],
    (x, like) => Slice(x, { axis: 1, end: Shape(like, 0, 1) }),
    { frozen: [1] },
  ],
  ['Pad', [floats(2, 3)], x => Pad(x, [0, 1, 0, 2])],
  ['Pad before', [floats('rows', 3)], x => Pad(x, [0, 1, 0, 0])],
  ['Pad to cut', [floats(2, 4)], x => Pad(x, [1, -1, 0, 0])],

  ['Gather', [floats(4, 2), integers([3, 0, 3, 1, 3, 3], 2, 3)], (x, at) => Gather(x, at)],
  ['Gather of named sizes', [floats(4, 2), below(4, 'rows', 'columns')], (x, at) => Gather(x, at)],
  ['Gather along 1', [floats('rows', 4, 2), integers([2, 0, 2], 3)], (x, at) => Gather(x, at, 1)],
  ['Gather along -1', [floats(2, 3), integers([1, 2, 1, 0], 2, 2)], (x, at) => Gather(x, at, -1)],
  ['Gather one', [floats(2, 3), integers([2])], (x, at) => Gather(x, at, 1)],
  ['Gather from the end', [floats(4, 2), integers([-1, 1, -1], 3)], (x, at) => Gather(x, at)],
  [
    'GatherElements',
    [floats(2, 3), integers([2, 2, 0, 1], 2, 2)],
    (x, at) => GatherElements(x, at, 1),
  ],
  [
    'GatherElements along 0',
    [floats(3, 2), integers([2, 1, 2, 0], 2, 2)],
    (x, at) => GatherElements(x, at, 0),
  ],
  [
    'GatherElements along -1, of fewer rows',
    [floats(3, 3), integers([-1, 0], 1, 2)],
    (x, at) => GatherElements(x, at, -1),
  ],
  [
    'ScatterElements',
    [floats(2, 3), integers([2, 2, 0, 1], 2, 2), floats(2, 2)],
    (x, at, updates) => ScatterElements(x, at, updates, 1),
  ],
  [
    'ScatterElements along 0',
    [floats(3, 2), integers([2, 1, 2, 0], 2, 2), floats(2, 2)],
    (x, at, updates) => ScatterElements(x, at, updates, 0),
  ],
  [
    'ScatterElements that replaces',
    [floats(2, 3), integers([2, 0, 1, 0], 2, 2), floats(2, 2)],
    (...inputs) => all('ScatterElements', inputs, { axis: 1 }),
    { frozen: [0, 2] },
  ],
]

const uint8 = (x: Value) => Cast(x, 'uint8')
const int8 = (x: Value) => Cast(x, 'int8')
/** 4 rows of 32 numbers of 4 bits, two to a byte. */
const NIBBLES = Uint8Array.from({ length: 64 }, (_, i) => (i * 37 + 11) % 256)

/**
 * Signed factors keep to 7 bits: on CPUs with AVX2 and without VNNI the kernels add pairs of products in 16 bits and cut them off
 * at 32,767, which is 255 · 64 · 2 at most.
 */
const QUANTISED: readonly OperatorCase[] = [
  ['DynamicQuantizeLinear', [floats(2, 3)], x => all('DynamicQuantizeLinear', [x])],
  [
    'DynamicQuantizeLinear of positive numbers',
    [positives(2, 3)],
    x => all('DynamicQuantizeLinear', [x]),
  ],
  [
    'DequantizeLinear',
    [below(256, 2, 3), positives(3), below(256, 3)],
    (x, scale, zero) => DequantizeLinear({ values: uint8(x), scale, zeroPoint: uint8(zero) }, 1),
  ],
  [
    'DequantizeLinear by one scale',
    [below(127, 'rows', 3), positives()],
    (x, scale) => DequantizeLinear({ values: int8(x), scale }),
  ],
  [
    'MatMulInteger',
    [below(128, 2, 4), below(64, 4, 3), below(128)],
    (a, b, zero) =>
      MatMulInteger({ values: uint8(a), zeroPoint: uint8(zero) }, { values: int8(b) }),
  ],
  [
    'MatMulInteger of named sizes',
    [below(256, 'rows', 'columns', 4), below(128, 4, 3), below(128)],
    (a, b, zero) =>
      MatMulInteger({ values: uint8(a) }, { values: uint8(b), zeroPoint: uint8(zero) }),
  ],
  [
    'MatMulIntegerToFloat',
    [below(128, 2, 4), below(64, 4, 3), positives(), positives(3), below(128), floats(3)],
    (a, b, aScale, bScale, zero, bias) =>
      MatMulIntegerToFloat(
        { values: uint8(a), scale: aScale, zeroPoint: uint8(zero) },
        { values: int8(b), scale: bScale },
        bias,
      ),
  ],
  [
    'DynamicQuantizeMatMul',
    [floats(2, 4), below(64, 4, 3), positives(3), floats(3)],
    (a, b, scale, bias) => DynamicQuantizeMatMul(a, { values: int8(b), scale }, bias),
  ],
  [
    'DynamicQuantizeMatMul of named sizes',
    [floats('rows', 'columns', 4), below(64, 4, 3), positives(1)],
    (a, b, scale) => DynamicQuantizeMatMul(a, { values: int8(b), scale }),
  ],
  [
    'MatMulNBits',
    [floats(2, 64), below(256, 3, 2, 16), positives(6), floats(3)],
    (a, packed, scales, bias) =>
      MatMulNBits(
        a,
        { rows: 64, columns: 3, bits: 4, blockSize: 32, packed: uint8(packed), scales },
        { bias, accuracyLevel: 1 },
      ),
  ],
  [
    'GatherBlockQuantized',
    [integers([3, 0, 3, 1], 2, 2), positives(4, 2)],
    (at, scale) =>
      GatherBlockQuantized({ values: constant('table', 'int4', NIBBLES, [4, 32]), scale }, at, {
        blockSize: 16,
        bits: 4,
      }),
  ],
  [
    'MultiHeadAttention',
    [
      floats('rows', 'columns', 4),
      floats('rows', 'columns', 4),
      floats('rows', 'columns', 4),
      integers([1, 1, 0, 1, 1, 1], 'rows', 'columns'),
    ],
    (query, key, value, mask) => MultiHeadAttention({ query, key, value }, Cast(mask, 'int32'), 2),
  ],
]

export const OPERATOR_CASES = [...ELEMENTWISE, ...REDUCTIONS, ...PRODUCTS, ...MOVES, ...QUANTISED]

export function operatorOf(name: CaseName): OperatorName {
  return name.split(/[ ,]/)[0] as OperatorName
}
