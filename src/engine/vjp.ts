/**
 * The gradient of each operator: from gradients of its results to gradients of its inputs (vector–Jacobian products; Griewank &
 * Walther 2008, ch. 3). Knows single nodes, never a whole graph. Closed forms throughout, no materialised transposes of matrices.
 */
import { type Attributes, type Dim, int64, scalar, type Value } from './graph.ts'
import { integers } from './operator-rules.ts'
import type { OperatorName } from './operators.ts'
import * as ops from './ops.ts'
import { knownIntegers, normaliseAxes, same } from './shapes.ts'
import { MOVE_RULES } from './vjp-moves.ts'
import { SERVING_ONLY } from './vjp-none.ts'
import { each, noGradient, unary, type VjpRule, zerosLike } from './vjp-rules.ts'

const { Add, Cast, Div, Equal, Exp, FusedMatMul, Gemm, Greater, Mul, Neg, Reshape, Sub } = ops
const { Cos, Erf, Log, Pow, ReduceMean, ReduceSum, Shape, Sigmoid, Sign, Sin } = ops

/** One side of Max or Min: all of the gradient where it wins, half of it at a tie, as PyTorch has it. */
function winner(wins: (a: Value, b: Value) => Value): VjpRule {
  const share = (a: Value, b: Value) =>
    Add(Cast(wins(a, b), 'float32'), Mul(scalar(0.5), Cast(Equal(a, b), 'float32')))
  return each(({ g }, a, b) => [
    () => Mul(g, share(a as Value, b as Value)),
    () => Mul(g, share(b as Value, a as Value)),
  ])
}

/** 0 where `at` is, whatever the formula makes of it: 0 · ∞, as PyTorch has it. */
const zeroWhere = (at: Value, formula: Value) => ops.Where(Equal(at, scalar(0)), scalar(0), formula)

/** Gradient of a reduction with its axes kept, so that it broadcasts against the input. */
function kept(g: Value, x: Value, inputs: readonly (Value | undefined)[], attributes: Attributes) {
  const axes = reducedAxes(inputs, x.shape.length)
  return attributes.keepdims === 0 ? ops.Unsqueeze(g, axes) : g
}

function reducedAxes(inputs: readonly (Value | undefined)[], rank: number): number[] {
  const axes = inputs[1] === undefined ? [] : integers(knownIntegers(inputs[1]))
  return axes.length === 0 ? [...Array(rank).keys()] : normaliseAxes(axes, rank)
}

/** A reduction of x over axes; `rule` gets the gradient and the result broadcastable. */
function reduction(rule: (g: Value, x: Value, y: Value) => Value): VjpRule {
  return each(({ g, inputs, outputs, attributes }, x) => {
    const keep = (value: Value) => kept(value, x as Value, inputs, attributes)
    return [() => rule(keep(g), x as Value, keep(outputs[0] as Value))]
  })
}

const expandTo = (value: Value, like: Value) => ops.Expand(value, Shape(like))

/** Sizes reduced by a mean, as a value: named sizes are known only at run time. */
function countOf(x: Value, axes: readonly number[]): Value {
  const dims = axes.map(axis => x.shape[axis] as Dim)
  if (dims.every(dim => typeof dim === 'number')) {
    return scalar(dims.reduce((a, b) => a * b, 1))
  }
  const sizes = axes.map(axis => Reshape(Cast(Shape(x, axis, axis + 1), 'float32'), []))
  return sizes.reduce((a, b) => Mul(a, b))
}

/** Both factors' gradients of a product over the last two axes, `alpha` included. */
function product(transA: boolean, transB: boolean, alpha: number): VjpRule {
  const multiply = (a: Value, b: Value, ta: boolean, tb: boolean) =>
    FusedMatMul(a, b, { transA: ta, transB: tb, alpha })
  return each(({ g }, a, b) => {
    const [left, right] = [a as Value, b as Value]
    if (right.shape.length === 2 && left.shape.length > 2 && !transA) {
      return [() => multiply(g, right, false, !transB), () => flatProduct(left, g, transB, alpha)]
    }
    return [
      () => (transA ? multiply(right, g, transB, true) : multiply(g, right, false, !transB)),
      () => (transB ? multiply(g, left, true, transA) : multiply(left, g, !transA, false)),
    ]
  })
}

/** Gradient of a matrix that all batches share: one product over all rows at once. */
function flatProduct(x: Value, g: Value, isTransposed: boolean, alpha: number): Value {
  const rows = (value: Value) => Reshape(value, [-1, value.shape.at(-1) as number])
  const [left, right] = isTransposed ? [rows(g), rows(x)] : [rows(x), rows(g)]
  return overRows(left, right, alpha)
}

/** A result this many times narrower than it is high is computed on its side. */
const NARROW = 8

/**
 * `alpha · aᵀ·b` over many rows, [rows, m] and [rows, n] to [m, n]. The factor is turned beforehand, since MLAS takes a fifth
 * longer to do it within the product (docs/log.md); a runtime that trains must not fuse the two again.
 */
function overRows(a: Value, b: Value, alpha: number): Value {
  const turn = (value: Value) => ops.Transpose(value, [1, 0])
  const [m, n] = [a.shape[1], b.shape[1]]
  const isHigh = typeof m === 'number' && typeof n === 'number' && m >= NARROW * n
  if (isHigh) return turn(Gemm(turn(b), a, undefined, { alpha }))
  return Gemm(turn(a), b, undefined, { alpha })
}

const gemm: VjpRule = each(({ g, attributes }, a, b, c) => {
  const { alpha = 1, beta = 1, transA = 0, transB = 0 } = attributes as Record<string, number>
  const [left, right] = [a as Value, b as Value]
  const multiply = (x: Value, y: Value, tx: boolean, ty: boolean) =>
    tx && !ty ? overRows(x, y, alpha) : Gemm(x, y, undefined, { transA: tx, transB: ty, alpha })
  return [
    () => (transA ? multiply(right, g, !!transB, true) : multiply(g, right, false, !transB)),
    () => (transB ? multiply(g, left, true, !!transA) : multiply(left, g, !transA, false)),
    ...(c === undefined ? [] : [() => (beta === 1 ? g : Mul(scalar(beta), g))]),
  ]
})

/** dx = (γg − mean(γg) − x̂·mean(γg∘x̂)) / σ. */
const layerNormalization: VjpRule = each(({ g, outputs: [, mean, inverse] }, x, scale) => {
  const normalised = () => Mul(Sub(x as Value, mean as Value), inverse as Value)
  return [
    () => {
      const along = axesFrom(x as Value, (scale as Value).shape.length)
      const xHat = normalised()
      const weighted = Mul(g, scale as Value)
      const centred = Sub(weighted, ReduceMean(weighted, along))
      const projection = Mul(xHat, ReduceMean(Mul(weighted, xHat), along))
      return Mul(Sub(centred, projection), inverse as Value)
    },
    () => Mul(g, normalised()),
    () => g,
  ]
})

/** dx = (γg − x̂·mean(γg∘x̂)) / rms. */
const rmsNormalization: VjpRule = each(({ g, outputs: [, inverse] }, x, scale) => {
  const normalised = () => Mul(x as Value, inverse as Value)
  return [
    () => {
      const xHat = normalised()
      const weighted = Mul(g, scale as Value)
      const along = axesFrom(x as Value, (scale as Value).shape.length)
      const projection = Mul(xHat, ReduceMean(Mul(weighted, xHat), along))
      return Mul(Sub(weighted, projection), inverse as Value)
    },
    () => Mul(g, normalised()),
  ]
})

function axesFrom(x: Value, count: number): number[] {
  return Array.from({ length: count }, (_, i) => x.shape.length - count + i)
}

/** d/dx of x·Φ(x), exact, or of its tanh approximation. */
const gelu = unary(({ g, x, attributes }) => {
  if (attributes.approximate === 'tanh') return Mul(g, geluTanhSlope(x))
  const half = scalar(0.5)
  const cumulative = Add(half, Mul(half, Erf(Mul(x, scalar(Math.SQRT1_2)))))
  const density = Exp(Mul(Mul(x, x), scalar(-0.5)))
  return Mul(g, Add(cumulative, Mul(x, Mul(density, scalar(1 / Math.sqrt(2 * Math.PI))))))
})

function geluTanhSlope(x: Value): Value {
  const [root, cubic] = [Math.sqrt(2 / Math.PI), 0.044715]
  const square = Mul(x, x)
  const inner = Mul(Mul(x, scalar(root)), Add(scalar(1), Mul(scalar(cubic), square)))
  const t = ops.Tanh(inner)
  const slope = Mul(scalar(root), Add(scalar(1), Mul(scalar(3 * cubic), square)))
  const rising = Mul(x, Mul(Sub(scalar(1), Mul(t, t)), slope))
  return Mul(scalar(0.5), Add(Add(scalar(1), t), rising))
}

/** σ(αx)·(1 + αx·(1 − σ(αx))). */
const quickGelu = unary(({ g, x, attributes }) => {
  const z = Mul(x, scalar((attributes.alpha as number | undefined) ?? 1.702))
  const s = Sigmoid(z)
  return Mul(g, Mul(s, Add(scalar(1), Mul(z, Sub(scalar(1), s)))))
})

/** Rotation is orthogonal: its gradient is the rotation backwards. Angles get none. */
const rotary: VjpRule = ({ inputs, attributes, g, needs }) => {
  const [, positions, cosines, sines] = inputs as readonly Value[]
  if (needs(2) || needs(3)) throw new Error('the angles of a rotation')
  return [
    ops.RotaryEmbedding(g, positions as Value, cosines as Value, Neg(sines as Value), attributes),
  ]
}

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
    () =>
      Mul(g, zeroWhere(b as Value, Mul(b as Value, Pow(a as Value, Sub(b as Value, scalar(1)))))),
    () => Mul(g, zeroWhere(a as Value, Mul(y as Value, Log(a as Value)))),
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
    noGradient,
    () => ops.Where(condition as Value, g, scalar(0)),
    () => ops.Where(condition as Value, scalar(0), g),
  ]),
  Cast: unary(({ g, x }) => Cast(g, x.dtype)),

  Shape: null,

  ...MOVE_RULES,
  ...SERVING_ONLY,
} as const satisfies Record<OperatorName, VjpRule | null>

/** A gradient summed over the axes along which its value was broadcast. */
export function unbroadcast(g: Value, shape: readonly Dim[]): Value {
  const added = g.shape.length - shape.length
  const axes = g.shape.flatMap((dim, i) => {
    const own = i < added ? 1 : (shape[i - added] as Dim)
    return own === 1 && dim !== 1 ? [i] : []
  })
  const leading = [...Array(Math.max(0, added)).keys()]
  const summed = axes.length === 0 ? g : ReduceSum(g, [...new Set([...axes, ...leading])])
  const fitted = added > 0 ? Reshape(summed, reshapeTarget(summed, added)) : summed
  for (const [i, dim] of shape.entries()) same(fitted.shape[i] as Dim, dim)
  return fitted
}

/** The sizes behind the first `count`, taken from the value itself. */
function reshapeTarget(value: Value, count: number): Value {
  return value.shape.length === count ? int64() : Shape(value, count)
}
