/** Gradients of products, norms and activations, in closed form and without materialised transposes of matrices. */
import { scalar, type Value } from './graph.ts'
import {
  Add,
  Erf,
  Exp,
  FusedMatMul,
  Gemm,
  Mul,
  ReduceMean,
  Reshape,
  Sigmoid,
  Sub,
  Tanh,
} from './ops.ts'
import { each, unary, type VjpRule } from './vjp-rules.ts'

/** Both factors' gradients of a product over the last two axes, `alpha` included. */
export function product(transA: boolean, transB: boolean, alpha: number): VjpRule {
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
export function flatProduct(x: Value, g: Value, isTransposed: boolean, alpha: number): Value {
  const rows = (value: Value) => Reshape(value, [-1, value.shape.at(-1) as number])
  const [left, right] = isTransposed ? [rows(g), rows(x)] : [rows(x), rows(g)]
  return Gemm(left, right, undefined, { transA: true, alpha })
}

export const gemm: VjpRule = each(({ g, attributes }, a, b, c) => {
  const { alpha = 1, beta = 1, transA = 0, transB = 0 } = attributes as Record<string, number>
  const [left, right] = [a as Value, b as Value]
  const multiply = (x: Value, y: Value, tx: boolean, ty: boolean) =>
    Gemm(x, y, undefined, { transA: tx, transB: ty, alpha })
  return [
    () => (transA ? multiply(right, g, !!transB, true) : multiply(g, right, false, !transB)),
    () => (transB ? multiply(g, left, true, !!transA) : multiply(left, g, !transA, false)),
    ...(c === undefined ? [] : [() => (beta === 1 ? g : Mul(scalar(beta), g))]),
  ]
})

/** dx = (γg − mean(γg) − x̂·mean(γg∘x̂)) / σ. */
export const layerNormalization: VjpRule = each(({ g, outputs: [, mean, inverse] }, x, scale) => {
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
export const rmsNormalization: VjpRule = each(({ g, outputs: [, inverse] }, x, scale) => {
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

export function axesFrom(x: Value, count: number): number[] {
  return Array.from({ length: count }, (_, i) => x.shape.length - count + i)
}

/** d/dx of x·Φ(x), exact, or of its tanh approximation. */
export const gelu = unary(({ g, x, attributes }) => {
  if (attributes.approximate === 'tanh') return Mul(g, geluTanhSlope(x))
  const half = scalar(0.5)
  const cumulative = Add(half, Mul(half, Erf(Mul(x, scalar(Math.SQRT1_2)))))
  const density = Exp(Mul(Mul(x, x), scalar(-0.5)))
  return Mul(g, Add(cumulative, Mul(x, Mul(density, scalar(1 / Math.sqrt(2 * Math.PI))))))
})

export function geluTanhSlope(x: Value): Value {
  const [root, cubic] = [Math.sqrt(2 / Math.PI), 0.044715]
  const square = Mul(x, x)
  const inner = Mul(Mul(x, scalar(root)), Add(scalar(1), Mul(scalar(cubic), square)))
  const t = Tanh(inner)
  const slope = Mul(scalar(root), Add(scalar(1), Mul(scalar(3 * cubic), square)))
  const rising = Mul(x, Mul(Sub(scalar(1), Mul(t, t)), slope))
  return Mul(scalar(0.5), Add(Add(scalar(1), t), rising))
}

/** σ(αx)·(1 + αx·(1 − σ(αx))). */
export const quickGelu = unary(({ g, x, attributes }) => {
  const z = Mul(x, scalar((attributes.alpha as number | undefined) ?? 1.702))
  const s = Sigmoid(z)
  return Mul(g, Mul(s, Add(scalar(1), Mul(z, Sub(scalar(1), s)))))
})
