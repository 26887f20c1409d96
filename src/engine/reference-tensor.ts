/** Tensors of doubles and the few ways to make one from others. Made to be read, not to be fast. Knows no operator. */
import { assert } from '../errors.ts'
import type { Constant, Node } from './graph.ts'

/** Row-major. Integers and truth values are doubles as well: 3, and 0 or 1. */
export interface NumericTensor {
  readonly dims: readonly number[]
  readonly data: Float64Array
}

/** Results of a node from its inputs; an input left out is undefined. */
export type Kernel = (
  inputs: readonly (NumericTensor | undefined)[],
  node: Node,
) => readonly NumericTensor[]

/** One position in a tensor, a number per axis. */
export type Index = readonly number[]

export function sizeOf(dims: readonly number[]): number {
  return dims.reduce((product, dim) => product * dim, 1)
}

/** A required input: `apply` has checked that it is there. */
export function needed(tensor: NumericTensor | undefined): NumericTensor {
  return tensor as NumericTensor
}

/** Every position, the last axis fastest. `visit` must not keep the index: it is changed in place. */
export function forEachIndex(dims: readonly number[], visit: (index: Index) => void): void {
  const index = dims.map(() => 0)
  for (let left = sizeOf(dims); left > 0; left--) {
    visit(index)
    advance(index, dims)
  }
}

function advance(index: number[], dims: readonly number[]): void {
  for (let axis = dims.length - 1; axis >= 0; axis--) {
    const next = (index[axis] as number) + 1
    index[axis] = next === dims[axis] ? 0 : next
    if (next !== dims[axis]) return
  }
}

/** A tensor from its value at each position. */
export function tabulate(
  dims: readonly number[],
  valueAt: (index: Index) => number,
): NumericTensor {
  const data = new Float64Array(sizeOf(dims))
  let i = 0
  forEachIndex(dims, index => {
    data[i++] = valueAt(index)
  })
  return { dims: [...dims], data }
}

/** Where `index` stands in the data of a tensor of these dimensions. */
export function offsetOf(dims: readonly number[], index: Index): number {
  let offset = 0
  for (let axis = 0; axis < dims.length; axis++) {
    offset = offset * (dims[axis] as number) + (index[axis] as number)
  }
  return offset
}

export function at({ dims, data }: NumericTensor, index: Index): number {
  return data[offsetOf(dims, index)] as number
}

/** What stands at `index` once the tensor is broadcast to the index's rank: axes align at the last, sizes of 1 repeat. */
export function broadcastAt({ dims, data }: NumericTensor, index: Index): number {
  const shift = index.length - dims.length
  let offset = 0
  for (let axis = 0; axis < dims.length; axis++) {
    const dim = dims[axis] as number
    offset = offset * dim + (dim === 1 ? 0 : (index[axis + shift] as number))
  }
  return data[offset] as number
}

/** Multidirectional broadcasting of known sizes. */
export function broadcastDims(...all: readonly (readonly number[])[]): number[] {
  const rank = Math.max(...all.map(dims => dims.length))
  return Array.from({ length: rank }, (_, axis) => {
    const sizes = all.map(dims => dims[axis - rank + dims.length] ?? 1).filter(size => size !== 1)
    assert(new Set(sizes).size <= 1, `sizes ${sizes.join(' and ')} do not broadcast`)
    return sizes[0] ?? 1
  })
}

/** Negative axes count from the end. */
export function axisOf(axis: unknown, rank: number): number {
  const given = axis as number
  assert(given >= -rank && given < rank, `axis ${given} is outside rank ${rank}`)
  return given < 0 ? given + rank : given
}

/** An index that data names: negative ones count from the end, others outside are refused. */
export function position(index: number, size: number): number {
  assert(index >= -size && index < size, `index ${index} is outside ${size}`)
  return index < 0 ? index + size : index
}

/** The values along one axis, with the other axes fixed by `index`. */
export function lineAt(x: NumericTensor, axis: number, index: Index): number[] {
  return Array.from({ length: x.dims[axis] as number }, (_, i) => at(x, index.with(axis, i)))
}

export function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}

export function mean(values: readonly number[]): number {
  return sum(values) / values.length
}

/** A stored tensor as doubles: halves widened, 4-bit integers unpacked, the low half of a byte first. */
export function decodeConstant({ dtype, shape, data }: Constant): NumericTensor {
  const length = sizeOf(shape)
  const decode = (i: number): number => {
    switch (dtype) {
      case 'float16':
        return halfToNumber(data[i] as number)
      case 'uint4':
        return nibble(data, i)
      case 'int4':
        return nibble(data, i) < 8 ? nibble(data, i) : nibble(data, i) - 16
      default:
        return Number(data[i])
    }
  }
  return { dims: shape, data: Float64Array.from({ length }, (_, i) => decode(i)) }
}

function nibble(data: Constant['data'], i: number): number {
  const byte = Number(data[i >> 1]) & 0xff
  return i % 2 === 0 ? byte & 0x0f : byte >> 4
}

/** IEEE 754 binary16: sign, 5 bits of exponent, 10 of fraction. */
function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 0x1f
  const fraction = bits & 0x3ff
  if (exponent === 0) return sign * fraction * 2 ** -24
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN
  return sign * (1024 + fraction) * 2 ** (exponent - 25)
}
