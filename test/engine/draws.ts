/** Inputs drawn by a generator so small that test/parity/draws.py has the same one. */
import type { Dim, Input } from '../../src/engine/index.ts'
import { input } from '../../src/engine/index.ts'
import type { NumericTensor } from '../../src/engine/reference-tensor.ts'
import type { Tensor } from '../../src/runtimes/index.ts'

/** How an input of a case is drawn. */
export interface Draw {
  readonly dtype: 'float32' | 'int64' | 'bool'
  readonly shape: readonly Dim[]
  /** From a number in [0, 1), or from its place. */
  value(unit: number, place: number): number
}

/** What named sizes are when a case runs. */
const SIZES: Readonly<Record<string, number>> = { rows: 2, columns: 3 }

/** Between −2 and 2, in steps that single precision holds exactly. */
export const floats = (...shape: Dim[]): Draw => ({
  dtype: 'float32',
  shape,
  value: unit => 4 * unit - 2,
})
/** Between 0.25 and 2.25. */
export const positives = (...shape: Dim[]): Draw => ({
  dtype: 'float32',
  shape,
  value: unit => 0.25 + 2 * unit,
})
/** Between −0.5 and 0.5, as weights are. */
export const smalls = (...shape: Dim[]): Draw => ({
  dtype: 'float32',
  shape,
  value: unit => unit - 0.5,
})
/** From 0 to before `bound`. */
export const below = (bound: number, ...shape: Dim[]): Draw => ({
  dtype: 'int64',
  shape,
  value: unit => Math.floor(unit * bound),
})
export const flags = (...shape: Dim[]): Draw => ({
  dtype: 'bool',
  shape,
  value: unit => Number(unit >= 0.5),
})
/** These floats, where a place matters: a tie, a zero, a far tail. */
export const given = (values: readonly number[], ...shape: Dim[]): Draw => ({
  dtype: 'float32',
  shape,
  value: (_, place) => values[place] as number,
})
export const integers = (values: readonly number[], ...shape: Dim[]): Draw => ({
  ...given(values, ...shape),
  dtype: 'int64',
})

/** An input as the graph declares it, and what it is fed. */
export interface Drawn {
  readonly value: Input
  readonly fed: NumericTensor
}

export function draw(name: string, seed: string, { dtype, shape, value }: Draw): Drawn {
  const dims = shape.map(sizeOfDim)
  const units = unitsFrom(seed)
  const length = dims.reduce((a, b) => a * b, 1)
  const data = Float64Array.from({ length }, (_, place) => value(units(), place))
  return { value: input(name, dtype, shape), fed: { dims, data } }
}

export function sizeOfDim(dim: Dim): number {
  if (typeof dim === 'number') return dim
  return dim
    .split('*')
    .map(part => SIZES[part] ?? Number(part))
    .reduce((a, b) => a * b)
}

/**
 * A linear congruential generator of 32 bits (Numerical Recipes), of which the upper 16 are used, started by a polynomial
 * hash of the seed's characters.
 */
function unitsFrom(seed: string): () => number {
  let state = 0
  for (const character of seed) state = (Math.imul(state, 31) + character.charCodeAt(0)) >>> 0
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return (state >>> 16) / 65536
  }
}

/** As the runtime takes it. */
export function runtimeTensor({ value: { dtype }, fed: { dims, data } }: Drawn): Tensor {
  switch (dtype) {
    case 'int64':
      return {
        type: 'int64',
        dims,
        data: BigInt64Array.from(data, value => BigInt(value)),
      }
    case 'bool':
      return { type: 'bool', dims, data: Uint8Array.from(data) }
    default:
      return { type: 'float32', dims, data: Float32Array.from(data) }
  }
}
