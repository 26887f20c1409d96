/** Reference kernels of the quantised operators. Knows no graph; rounds where the operators promise integers. */
import { assert } from '../errors.ts'
import type { Node } from './graph.ts'
import type { OperatorName } from './operators.ts'
import { matMul } from './reference-matrix.ts'
import {
  at,
  axisOf,
  broadcastAt,
  type Kernel,
  type NumericTensor,
  needed,
  position,
  tabulate,
} from './reference-tensor.ts'

export const QUANTIZED_KERNELS = {
  DynamicQuantizeLinear: ([x]) => [...quantise(needed(x))],
  DequantizeLinear: ([x, scale, zeroPoint], { attributes }) => {
    const { axis = 1, block_size: block = 0 } = attributes
    assert(block === 0, 'the reference of DequantizeLinear knows no blocks')
    const along = needed(scale).dims.length === 0 ? 0 : axisOf(axis, needed(x).dims.length)
    const of = (part: NumericTensor, index: readonly number[]) =>
      part.dims.length === 0 ? (part.data[0] as number) : at(part, [index[along] as number])
    return [
      tabulate(needed(x).dims, index => {
        const zero = zeroPoint === undefined ? 0 : of(zeroPoint, index)
        return (at(needed(x), index) - zero) * of(needed(scale), index)
      }),
    ]
  },
  MatMulInteger: ([a, b, aZero, bZero]) => [
    matMul(shifted(needed(a), aZero), shifted(needed(b), bZero)),
  ],
  MatMulIntegerToFloat: ([a, b, aScale, bScale, aZero, bZero, bias]) => {
    const product = matMul(shifted(needed(a), aZero), shifted(needed(b), bZero))
    return [scaled(product, [needed(aScale), needed(bScale)], bias)]
  },
  DynamicQuantizeMatMul: ([a, b, bScale, bZero, bias]) => {
    const [values, scale, zeroPoint] = quantise(needed(a))
    const product = matMul(shifted(values, zeroPoint), shifted(needed(b), bZero))
    return [scaled(product, [scale, needed(bScale)], bias)]
  },
  MatMulNBits: ([a, packed, scales, , , bias], { attributes }) => {
    const [rows, columns] = [attributes.K, attributes.N] as [number, number]
    const blocks = Math.ceil(rows / (attributes.block_size as number))
    const weight = tabulate([rows, columns], ([row, column]) =>
      blockValue(needed(packed), needed(scales), {
        place: (column as number) * blocks * (attributes.block_size as number) + (row as number),
        attributes,
      }),
    )
    return [scaled(matMul(needed(a), weight), [], bias)]
  },
  GatherBlockQuantized: ([data, indices, scales, zeroPoint], { attributes }) => {
    const { gather_axis: axis, quantize_axis: along, block_size: block } = attributes
    assert(axis === 0 && along === 1 && zeroPoint === undefined, 'the reference gathers plain rows')
    return [
      tabulate([...needed(indices).dims, needed(data).dims[1] as number], index => {
        const column = index.at(-1) as number
        const row = position(
          at(needed(indices), index.slice(0, -1)),
          needed(data).dims[0] as number,
        )
        const scale = at(needed(scales), [row, Math.floor(column / (block as number))])
        return at(needed(data), [row, column]) * scale
      }),
    ]
  },
  /** Query, key, value `[batch, length, hidden]` with heads side by side, and which keys are there `[batch, length]`. */
  MultiHeadAttention: ([query, key, value, , mask], { attributes }) => {
    const [batch, , hidden] = needed(query).dims as [number, number, number]
    const [heads, length] = [attributes.num_heads as number, needed(key).dims[1] as number]
    const size = hidden / heads
    const head = (x: NumericTensor, b: number, h: number, isTurned: boolean) => {
      const steps = x.dims[1] as number
      return tabulate(isTurned ? [size, steps] : [steps, size], ([i, j]) => {
        const [step, feature] = (isTurned ? [j, i] : [i, j]) as [number, number]
        return at(x, [b, step, h * size + feature])
      })
    }
    const mixed = Array.from({ length: batch }, (_, b) =>
      Array.from({ length: heads }, (_, h) => {
        const scores = matMul(head(needed(query), b, h, false), head(needed(key), b, h, true))
        const weights = softmaxRows(scores, Math.sqrt(size), step =>
          mask === undefined ? true : at(mask, [b, step]) !== 0,
        )
        assert(length === weights.dims[1], 'one weight per key')
        return matMul(weights, head(needed(value), b, h, false))
      }),
    )
    return [
      tabulate(needed(query).dims, ([b, step, feature]) => {
        const h = Math.floor((feature as number) / size)
        const one = mixed[b as number]?.[h] as NumericTensor
        return at(one, [step as number, (feature as number) % size])
      }),
    ]
  },
} as const satisfies Partial<Record<OperatorName, Kernel>>

/** Bytes, scale and zero point by the range of all values, 0 included (ONNX, DynamicQuantizeLinear). */
function quantise(x: NumericTensor): [NumericTensor, NumericTensor, NumericTensor] {
  const least = x.data.reduce((a, b) => Math.min(a, b), 0)
  const most = x.data.reduce((a, b) => Math.max(a, b), 0)
  const scale = (most - least) / 255
  const zero = scale === 0 ? 0 : clampByte(roundHalfEven(-least / scale))
  const data = x.data.map(value => clampByte(roundHalfEven(scale === 0 ? 0 : value / scale) + zero))
  return [{ dims: x.dims, data }, constant(scale), constant(zero)]
}

function constant(value: number): NumericTensor {
  return { dims: [], data: Float64Array.of(value) }
}

function clampByte(value: number): number {
  return Math.min(255, Math.max(0, value))
}

function roundHalfEven(value: number): number {
  const rounded = Math.round(value)
  return rounded - value === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded
}

function shifted(x: NumericTensor, zero: NumericTensor | undefined): NumericTensor {
  if (zero === undefined) return x
  return tabulate(x.dims, index => at(x, index) - broadcastAt(zero, index))
}

/** A product times its scales, each of one number or one per column, plus a bias per column. */
function scaled(
  product: NumericTensor,
  scales: readonly NumericTensor[],
  bias: NumericTensor | undefined,
): NumericTensor {
  return tabulate(product.dims, index => {
    const factor = scales.reduce((all, scale) => all * broadcastAt(scale, index), 1)
    return at(product, index) * factor + (bias === undefined ? 0 : broadcastAt(bias, index))
  })
}

/** One weight of a packed matrix: low bits first, the middle of the range is zero. */
function blockValue(
  packed: NumericTensor,
  scales: NumericTensor,
  { place, attributes }: { readonly place: number } & Pick<Node, 'attributes'>,
): number {
  const { bits, block_size: block } = attributes as { bits: number; block_size: number }
  const perByte = 8 / bits
  const byte = packed.data[Math.floor(place / perByte)] as number
  const level = (byte >> (bits * (place % perByte))) & (2 ** bits - 1)
  return (level - 2 ** (bits - 1)) * (scales.data[Math.floor(place / block)] as number)
}

function softmaxRows(
  scores: NumericTensor,
  divisor: number,
  isThere: (column: number) => boolean,
): NumericTensor {
  const [rows, columns] = scores.dims as [number, number]
  const shares = Array.from({ length: rows }, (_, row) => {
    const line = Array.from({ length: columns }, (_, column) =>
      isThere(column) ? at(scores, [row, column]) / divisor : Number.NEGATIVE_INFINITY,
    )
    const most = Math.max(...line)
    const powers = line.map(value => Math.exp(value - most))
    const total = powers.reduce((a, b) => a + b, 0)
    return powers.map(power => power / total)
  })
  return tabulate(
    scores.dims,
    ([row, column]) => shares[row as number]?.[column as number] as number,
  )
}
