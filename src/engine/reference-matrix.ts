/** Reference kernels of matrix products and rotary positions. Knows no graph. */
import { assert } from '../errors.ts'
import type { OperatorName } from './operators.ts'
import {
  at,
  broadcastAt,
  broadcastDims,
  type Kernel,
  type NumericTensor,
  needed,
  tabulate,
} from './reference-tensor.ts'

export const MATRIX_KERNELS = {
  MatMul: ([a, b]) => [matMul(needed(a), needed(b))],
  FusedMatMul: ([a, b], { attributes }) => {
    const { alpha = 1, transA = 0, transB = 0 } = attributes
    const product = matMul(turned(needed(a), transA), turned(needed(b), transB))
    return [{ dims: product.dims, data: product.data.map(value => (alpha as number) * value) }]
  },
  Gemm: ([a, b, c], { attributes }) => {
    const { alpha = 1, beta = 1, transA = 0, transB = 0 } = attributes
    const product = matMul(turned(needed(a), transA), turned(needed(b), transB))
    const added = (index: readonly number[]) =>
      c === undefined ? 0 : (beta as number) * broadcastAt(c, index)
    return [tabulate(product.dims, index => (alpha as number) * at(product, index) + added(index))]
  },

  /**
   * Features in pairs, each turned by the angle of its position. A pair is (i, i + half), interleaved (2i, 2i + 1).
   * `x` [batch, heads, length, size]; of each head the first `rotary_embedding_dim` features turn, 0 meaning all.
   */
  RotaryEmbedding: ([input, positions, cosines, sines], { attributes }) => {
    const { interleaved = 0, rotary_embedding_dim: only = 0 } = attributes
    const x = needed(input)
    assert(x.dims.length === 4, 'the reference of RotaryEmbedding takes four dimensions')
    const half = needed(cosines).dims[1] as number
    const turning = only === 0 ? (x.dims[3] as number) : (only as number)
    assert(turning === 2 * half, `${half} cosines do not fit ${turning} features`)
    return [
      tabulate(x.dims, index => {
        const [batch, , step, feature] = index as [number, number, number, number]
        if (feature >= turning) return at(x, index)
        const pair = interleaved ? feature >> 1 : feature % half
        const [first, second] = interleaved ? [2 * pair, 2 * pair + 1] : [pair, pair + half]
        const place = positionOf(needed(positions), batch, step)
        const [cosine, sine] = [
          at(needed(cosines), [place, pair]),
          at(needed(sines), [place, pair]),
        ]
        const [a, b] = [at(x, index.with(3, first)), at(x, index.with(3, second))]
        return feature === first ? a * cosine - b * sine : a * sine + b * cosine
      }),
    ]
  },
} as const satisfies Partial<Record<OperatorName, Kernel>>

/** One position per token, or one number at which every text begins. */
function positionOf(positions: NumericTensor, batch: number, step: number): number {
  return positions.dims.length === 2
    ? at(positions, [batch, step])
    : (positions.data[0] as number) + step
}

/** Over the last two axes, the others broadcast. */
export function matMul(a: NumericTensor, b: NumericTensor): NumericTensor {
  const inner = a.dims.at(-1) as number
  assert(inner === b.dims.at(-2), `[${a.dims}] and [${b.dims}] have no common inner size`)
  const outer = broadcastDims(a.dims.slice(0, -2), b.dims.slice(0, -2))
  const dims = [...outer, a.dims.at(-2) as number, b.dims.at(-1) as number]
  return tabulate(dims, index => {
    const [row, column] = index.slice(-2) as [number, number]
    const [left, right] = [
      [...index.slice(0, -2), row, 0],
      [...index.slice(0, -2), 0, column],
    ]
    let total = 0
    for (let k = 0; k < inner; k++) {
      left[left.length - 1] = k
      right[right.length - 2] = k
      total += broadcastAt(a, left) * broadcastAt(b, right)
    }
    return total
  })
}

function turned(x: NumericTensor, isTurned: unknown): NumericTensor {
  if (!isTurned) return x
  const dims = [...x.dims.slice(0, -2), ...x.dims.slice(-2).toReversed()]
  return tabulate(dims, index => at(x, [...index.slice(0, -2), ...index.slice(-2).toReversed()]))
}
