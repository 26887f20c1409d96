/** Float matrices as integers with scales: the numbers only. Knows no graph and no model. */
import type { Linear } from './encoder-weights.ts'

/**
 * Steps on each side of zero. 64 and not 127: on CPUs with AVX2 and without VNNI the kernels add pairs of products in 16 bits,
 * where 255 · 64 · 2 = 32,640 fits and 255 · 127 · 2 is cut off. So results are the same on every CPU.
 */
const COLUMN_STEPS = 64
/** Rows of embeddings are never multiplied as integers, so they use all of a byte. */
const ROW_STEPS = 127
/** Weights per scale of 4-bit matrices, along the input. */
export const BLOCK_SIZE = 32
/** Tried as shares of a block's largest weight: cutting it off a little makes the other steps finer. */
const BLOCK_SHARES = [1, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7]

export interface QuantizedMatrix {
  readonly values: Int8Array
  /** float32, one per column or row. */
  readonly scales: Float32Array
}

/** A matrix `[in, out]` to whole steps of each column's own size. */
export function quantizeColumns({ weight, bias }: Linear): QuantizedMatrix {
  const columns = bias.length
  const scales = new Float32Array(columns)
  for (let i = 0; i < weight.length; i++) {
    const column = i % columns
    scales[column] = Math.max(scales[column] as number, Math.abs(weight[i] as number))
  }
  for (let i = 0; i < columns; i++) scales[i] = stepOf(scales[i] as number, COLUMN_STEPS)
  const values = Int8Array.from(weight, (value, i) =>
    Math.round(value / (scales[i % columns] as number)),
  )
  return { values, scales }
}

/** A table `[rows, columns]` to whole steps of each row's own size. */
export function quantizeRows(table: Float32Array, columns: number): QuantizedMatrix {
  const scales = Float32Array.from({ length: table.length / columns }, (_, row) => {
    const most = table
      .subarray(row * columns, (row + 1) * columns)
      .reduce((largest, value) => Math.max(largest, Math.abs(value)), 0)
    return stepOf(most, ROW_STEPS)
  })
  const values = Int8Array.from(table, (value, i) =>
    Math.round(value / (scales[Math.floor(i / columns)] as number)),
  )
  return { values, scales }
}

/** A row or column of zeros keeps a scale that can be divided by. */
function stepOf(most: number, steps: number): number {
  return most > 0 ? most / steps : 1
}

export interface PackedBlocks {
  /** Two weights to a byte, the first in the low half; 8 stands for zero. */
  readonly packed: Uint8Array
  /** float32, one per block. */
  readonly scales: Float32Array
}

/** A matrix `[in, out]` as `[out, in]` in 4 bits, with a scale for every 32 inputs; `in` must be a multiple of 32. */
export function packColumns({ weight, bias }: Linear): PackedBlocks {
  const columns = bias.length
  const rows = weight.length / columns
  const turned = new Float32Array(weight.length)
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      turned[column * rows + row] = weight[row * columns + column] as number
    }
  }
  return packBlocks(turned)
}

/** Consecutive blocks of 32 weights in 4 bits. */
export function packBlocks(values: Float32Array): PackedBlocks {
  const packed = new Uint8Array(values.length / 2)
  const scales = new Float32Array(values.length / BLOCK_SIZE)
  for (let block = 0; block < scales.length; block++) {
    const from = block * BLOCK_SIZE
    const part = values.subarray(from, from + BLOCK_SIZE)
    const scale = Math.fround(bestScale(part))
    scales[block] = scale
    for (let i = 0; i < BLOCK_SIZE; i += 2) {
      const low = levelOf(part[i] as number, scale) + 8
      const high = levelOf(part[i + 1] as number, scale) + 8
      packed[(from + i) / 2] = low | (high << 4)
    }
  }
  return { packed, scales }
}

/**
 * The scale of least squared error among a few. The weight farthest from zero, whatever its sign, gets level −8, since there is
 * no 8.
 */
function bestScale(part: Float32Array): number {
  const most = part.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a), 0)
  if (most === 0) return 1
  let best = { scale: 1, error: Number.POSITIVE_INFINITY }
  for (const share of BLOCK_SHARES) {
    const scale = (share * most) / -8
    const error = part.reduce((sum, value) => sum + (value - scale * levelOf(value, scale)) ** 2, 0)
    if (error < best.error) best = { scale, error }
  }
  return best.scale
}

function levelOf(value: number, scale: number): number {
  return Math.min(7, Math.max(-8, Math.round(value / scale)))
}
