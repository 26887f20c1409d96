/** AdamW in one pass over memory, as WebAssembly: as a graph it is eleven, and every result would be copied once more. */
import { ADAMW_WASM } from './adamw-wasm.ts'

/** Positions in bytes within the memory, which are multiples of 16, as is the length. */
export interface KernelStretch {
  readonly weight: number
  readonly gradient: number
  readonly moments: Readonly<Record<string, number>>
  readonly byteLength: number
}

/** One optimiser step of a stretch, in place. `scalars` are those of the optimiser, and `gradientScale`. */
export type Kernel = (stretch: KernelStretch, scalars: Readonly<Record<string, number>>) => void

type Export = (...values: number[]) => void

/** Over a memory that holds weights, gradients and moments. */
export function adamWKernel(
  memory: WebAssembly.Memory,
  { beta1, beta2 }: { readonly beta1: number; readonly beta2: number },
): Kernel {
  const bytes = Uint8Array.from(atob(ADAMW_WASM), character => character.charCodeAt(0))
  const module = new WebAssembly.Module(bytes)
  const { exports } = new WebAssembly.Instance(module, { host: { memory } })
  const adamw = exports.adamw as Export
  return ({ weight, gradient, moments, byteLength }, scalars) => {
    const { gradientScale = 1, stepSize = 0, epsilon = 0, keep = 1 } = scalars
    const { first = 0, second = 0 } = moments
    adamw(
      weight,
      gradient,
      first,
      second,
      byteLength,
      gradientScale,
      beta1,
      beta2,
      stepSize,
      epsilon,
      keep,
    )
  }
}
