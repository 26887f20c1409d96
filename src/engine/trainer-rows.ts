/** A table of which each batch trains a few rows: embeddings. Gradients, moments and updates touch those rows only. */
import { assert } from '../errors.ts'
import { gradientName } from './compile.ts'
import type { Input } from './graph.ts'
import type { Optimizer } from './optimizers.ts'
import type { Feeds } from './trainer.ts'

export interface RowsSpec {
  /** `[named, width]`, one of the graph's parameters. */
  readonly input: Input
  /** [count, width], trained in place. */
  readonly table: Float32Array
  readonly isDecayed: boolean
  readonly learningRateScale?: number
}

export type Stretch = (
  weights: Float32Array,
  gradients: Float32Array,
  moments: Readonly<Record<string, Float32Array>>,
) => Promise<void>

export interface Rows {
  readonly name: string
  readonly isDecayed: boolean
  readonly learningRateScale: number
  readonly byteLength: number
  readonly buffers: Readonly<Record<string, Float32Array>>
  /** What a batch is fed, and where its gradients go. */
  feed(rows: Int32Array | undefined): { feeds: Feeds; gradients: Feeds }
  /** Adds the gradients of the batch fed last to those of the step. */
  collect(rows: Int32Array | undefined, share: number): void
  /** Gradients of the step so far, [rows of the step, width]. */
  gradients(): Float32Array
  /** Updates the rows of the step, and forgets the step. */
  update(stretch: Stretch): Promise<void>
}

/**
 * Bias correction counts all steps, not those of each row, as PyTorch's SparseAdam does; rows outside a batch neither move
 * nor decay.
 */
export function openRows(spec: RowsSpec, optimizer: Optimizer): Rows {
  const { input, table, isDecayed, learningRateScale = 1 } = spec
  const width = input.shape[1] as number
  const { name } = input
  const moments = Object.fromEntries(
    optimizer.moments.map(moment => [moment, new Float32Array(table.length)]),
  )
  /** Gradient of each row of the step. */
  const collected = new Map<number, Float32Array>()
  let last = new Float32Array(0)

  const gather = (from: Float32Array, rows: Iterable<number>, count: number): Float32Array => {
    const to = new Float32Array(count * width)
    let at = 0
    for (const row of rows) {
      to.set(from.subarray(row * width, (row + 1) * width), at)
      at += width
    }
    return to
  }
  const scatter = (from: Float32Array, rows: Iterable<number>, to: Float32Array): void => {
    let at = 0
    for (const row of rows) {
      to.set(from.subarray(at, at + width), row * width)
      at += width
    }
  }

  return {
    name,
    isDecayed,
    learningRateScale,
    byteLength: 4 * table.length * (1 + optimizer.moments.length),
    buffers: {
      [`${name}`]: table,
      ...Object.fromEntries(
        Object.entries(moments).map(([moment, values]) => [`${name}/${moment}`, values]),
      ),
    },
    feed(rows) {
      assert(rows !== undefined, `the batch names no rows of ${name}`)
      last = new Float32Array(rows.length * width)
      const dims = [rows.length, width]
      const values = gather(table, rows, rows.length)
      return {
        feeds: { [name]: { type: 'float32', dims, data: values } },
        gradients: { [gradientName(name)]: { type: 'float32', dims, data: last } },
      }
    },
    collect(rows, share) {
      rows?.forEach((row, i) => {
        const own = last.subarray(i * width, (i + 1) * width)
        const sum = collected.get(row)
        if (sum === undefined)
          collected.set(
            row,
            own.map(value => share * value),
          )
        else
          for (let k = 0; k < width; k++) sum[k] = (sum[k] as number) + share * (own[k] as number)
      })
    },
    gradients() {
      const all = new Float32Array(collected.size * width)
      let at = 0
      for (const row of collected.values()) {
        all.set(row, at)
        at += width
      }
      return all
    },
    async update(stretch) {
      const rows = [...collected.keys()]
      const weights = gather(table, rows, rows.length)
      const held = Object.fromEntries(
        Object.entries(moments).map(([moment, all]) => [moment, gather(all, rows, rows.length)]),
      )
      await stretch(weights, this.gradients(), held)
      scatter(weights, rows, table)
      for (const [moment, values] of Object.entries(held)) {
        scatter(values, rows, moments[moment] as Float32Array)
      }
      collected.clear()
    },
  }
}
