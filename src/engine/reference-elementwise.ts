/** Reference kernels of operators that work element by element. Knows no graph. */
import { CAST_TO } from './operator-rules.ts'
import type { OperatorName } from './operators.ts'
import {
  broadcastAt,
  broadcastDims,
  type Kernel,
  type NumericTensor,
  needed,
  tabulate,
} from './reference-tensor.ts'

export const ELEMENTWISE_KERNELS = {
  Add: binary((a, b) => a + b),
  Sub: binary((a, b) => a - b),
  Mul: binary((a, b) => a * b),
  Div: binary((a, b) => a / b),
  Pow: binary((a, b) => a ** b),
  Max: binary(Math.max),
  Min: binary(Math.min),

  Equal: binary((a, b) => Number(a === b)),
  Greater: binary((a, b) => Number(a > b)),
  Less: binary((a, b) => Number(a < b)),

  Abs: unary(Math.abs),
  Neg: unary(x => -x),
  Exp: unary(Math.exp),
  Log: unary(Math.log),
  Sqrt: unary(Math.sqrt),
  Reciprocal: unary(x => 1 / x),
  Tanh: unary(Math.tanh),
  Sigmoid: unary(sigmoid),
  Relu: unary(x => Math.max(0, x)),
  Erf: unary(erf),
  Sin: unary(Math.sin),
  Cos: unary(Math.cos),
  Sign: unary(Math.sign),
  Gelu: ([x], { attributes }) => {
    const { approximate = 'none' } = attributes
    return [map(needed(x), approximate === 'tanh' ? geluTanh : gelu)]
  },
  QuickGelu: ([x], { attributes }) => {
    // ONNX Runtime's default, the slope at which it comes closest to Gelu.
    const { alpha = 1.702 } = attributes
    return [map(needed(x), value => value * sigmoid((alpha as number) * value))]
  },
  Identity: unary(x => x),

  Where: ([condition, a, b]) => {
    const [test, yes, no] = [needed(condition), needed(a), needed(b)]
    const dims = broadcastDims(test.dims, yes.dims, no.dims)
    return [tabulate(dims, i => broadcastAt(broadcastAt(test, i) !== 0 ? yes : no, i))]
  },
  // Integers are cut by `evaluate`; from one float to another nothing is rounded.
  Cast: ([x], { attributes }) => [
    map(needed(x), value => (attributes.to === CAST_TO.bool ? Number(value !== 0) : value)),
  ],
} as const satisfies Partial<Record<OperatorName, Kernel>>

function unary(f: (x: number) => number): Kernel {
  return ([x]) => [map(needed(x), f)]
}

function binary(f: (a: number, b: number) => number): Kernel {
  return ([first, second]) => {
    const [a, b] = [needed(first), needed(second)]
    const dims = broadcastDims(a.dims, b.dims)
    return [tabulate(dims, index => f(broadcastAt(a, index), broadcastAt(b, index)))]
  }
}

function map({ dims, data }: NumericTensor, f: (x: number) => number): NumericTensor {
  return { dims, data: data.map(f) }
}

function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x))
}

/** `x·Φ(x)` with the normal distribution function (Hendrycks & Gimpel 2016). */
function gelu(x: number): number {
  return (x / 2) * (1 + erf(x / Math.SQRT2))
}

function geluTanh(x: number): number {
  return (x / 2) * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)))
}

/**
 * `2/√π · e^(−x²) · Σ 2ⁿ x^(2n+1) / (2n+1)!!` (DLMF 7.6.2). All terms have one sign, so nothing cancels
 * and double precision is kept; beyond 6 the value is 1 within it.
 */
export function erf(x: number): number {
  if (Math.abs(x) > 6) return Math.sign(x)
  let term = x
  let total = x
  for (let n = 1; Math.abs(term) > Math.abs(total) * 1e-17; n++) {
    term *= (2 * x * x) / (2 * n + 1)
    total += term
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * total
}
