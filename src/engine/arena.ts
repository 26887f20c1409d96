/** All parameters side by side: one flat buffer each for weights, gradients and moments, of which tensors are views. */
import { assert } from '../errors.ts'
import type { Kernel } from './adamw-kernel.ts'
import { gradientName } from './compile.ts'
import type { Input } from './graph.ts'
import type { Optimizer } from './optimizers.ts'
import type { Feeds, TensorData } from './trainer.ts'

export interface ParameterSpec {
  /** Of known sizes, one of the graph's parameters. */
  readonly input: Input
  /** Copied. */
  readonly initial: Float32Array
  /** Whether weight decay applies; usually to matrices only. */
  readonly isDecayed: boolean
  /** Multiplies the step's learning rate. */
  readonly learningRateScale?: number
}

/** Parameters in a row that are updated with the same scalars; begins and ends at multiples of four. */
export interface Group {
  readonly start: number
  readonly end: number
  readonly isDecayed: boolean
  readonly learningRateScale: number
}

export interface Arena {
  readonly weights: Float32Array
  readonly gradients: Float32Array
  readonly moments: Readonly<Record<string, Float32Array>>
  readonly groups: readonly Group[]
  /** What a later run needs: `weights` and the moments. */
  readonly buffers: Readonly<Record<string, Float32Array>>
  readonly byteLength: number
  /** The optimiser's step over these buffers in one pass, where there is one. */
  readonly kernel: Kernel | null
  /** Weights as tensors, by parameter. */
  readonly feeds: Feeds
  readonly values: ReadonlyMap<string, Float32Array>
  /** A second buffer of gradients, made when first needed. */
  scratch(): Float32Array
  /** Parts of a buffer of gradients as tensors. */
  gradientTensors(into: Float32Array): Feeds
}

/** Floats that a kernel takes at once. */
const LANES = 4
const PAGE_BYTES = 65_536
const MAX_PAGES = 65_535

export function layOut(specs: readonly ParameterSpec[], optimizer: Optimizer): Arena {
  const { groups, places, length } = placeAll(specs)
  const { buffers, kernel } = allocate(length, optimizer)
  const { weights, gradients, ...moments } = buffers as Record<string, Float32Array> & {
    weights: Float32Array
    gradients: Float32Array
  }
  for (const { spec, start } of places) weights.set(spec.initial, start)
  const tensors = (all: Float32Array, nameOf: (name: string) => string) =>
    Object.fromEntries(
      places.map(({ spec, start, end, dims }): [string, TensorData] => [
        nameOf(spec.input.name),
        { type: 'float32', dims, data: all.subarray(start, end) },
      ]),
    )
  let spare: Float32Array | undefined
  const ownGradients = tensors(gradients, gradientName)
  return {
    weights,
    gradients,
    moments,
    groups,
    kernel,
    buffers: { weights, ...moments },
    byteLength: 4 * length * Object.keys(buffers).length,
    feeds: tensors(weights, name => name),
    values: new Map(
      places.map(({ spec, start, end }) => [spec.input.name, weights.subarray(start, end)]),
    ),
    scratch: () => {
      spare ??= new Float32Array(length)
      return spare
    },
    gradientTensors: into => (into === gradients ? ownGradients : tensors(into, gradientName)),
  }
}

interface Place {
  readonly spec: ParameterSpec
  readonly start: number
  readonly end: number
  readonly dims: readonly number[]
}

/** Where each parameter lies: those that are updated alike next to each other. */
function placeAll(specs: readonly ParameterSpec[]) {
  const keyOf = ({ isDecayed, learningRateScale = 1 }: ParameterSpec) =>
    `${isDecayed}/${learningRateScale}`
  const places: Place[] = []
  const groups: Group[] = []
  let at = 0
  for (const key of new Set(specs.map(keyOf))) {
    const group = specs.filter(spec => keyOf(spec) === key)
    const groupStart = at
    for (const spec of group) {
      const dims = spec.input.shape as readonly number[]
      const size = dims.reduce((a, b) => a * b, 1)
      const { name } = spec.input
      assert(
        size === spec.initial.length,
        `${name} has ${spec.initial.length} values for [${dims}]`,
      )
      places.push({ spec, start: at, end: at + size, dims })
      at += size
    }
    at = Math.ceil(at / LANES) * LANES
    const { isDecayed, learningRateScale = 1 } = group[0] as ParameterSpec
    groups.push({ start: groupStart, end: at, isDecayed, learningRateScale })
  }
  return { places, groups, length: at }
}

/** Buffers in one memory that a kernel can work on, or each for itself where that would be too large. */
function allocate(length: number, optimizer: Optimizer) {
  const names = ['weights', 'gradients', ...optimizer.moments]
  const pages = Math.ceil((4 * length * names.length) / PAGE_BYTES)
  const hasKernel = optimizer.kernel !== undefined && typeof WebAssembly === 'object'
  if (!hasKernel || pages === 0 || pages > MAX_PAGES) {
    const buffers = Object.fromEntries(names.map(name => [name, new Float32Array(length)]))
    return { buffers, kernel: null }
  }
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages })
  const buffers = Object.fromEntries(
    names.map((name, i) => [name, new Float32Array(memory.buffer, 4 * length * i, length)]),
  )
  return { buffers, kernel: (optimizer.kernel as NonNullable<Optimizer['kernel']>)(memory) }
}
