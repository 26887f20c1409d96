/** Reference kernels of operators that move elements without computing with them, and of those that add where they move. Knows no graph. */
import { assert } from '../errors.ts'
import type { Attributes } from './graph.ts'
import type { OperatorName } from './operators.ts'
import {
  at,
  axisOf,
  broadcastAt,
  broadcastDims,
  forEachIndex,
  type Kernel,
  needed,
  offsetOf,
  position,
  sizeOf,
  tabulate,
} from './reference-tensor.ts'

type Join = (old: number, update: number) => number

/** What becomes of an element and the update that arrives at it. */
const JOIN = {
  none: (_old: number, update: number) => update,
  add: (old: number, update: number) => old + update,
  mul: (old: number, update: number) => old * update,
  max: (old: number, update: number) => Math.max(old, update),
  min: (old: number, update: number) => Math.min(old, update),
} satisfies Record<string, Join>

function joinOf({ reduction = 'none' }: Attributes): Join {
  return JOIN[reduction as keyof typeof JOIN]
}

export const MOVE_KERNELS = {
  Shape: ([x], { attributes }) => {
    const { start, end } = attributes
    const dims = needed(x).dims.slice(start as number | undefined, end as number | undefined)
    return [{ dims: [dims.length], data: Float64Array.from(dims) }]
  },
  Reshape: ([input, shape]) => {
    const x = needed(input)
    const wanted = [...needed(shape).data].map((dim, i) => (dim === 0 ? (x.dims[i] ?? 0) : dim))
    const known = sizeOf(wanted.filter(dim => dim !== -1))
    const dims = wanted.map(dim => (dim === -1 ? x.data.length / known : dim))
    assert(sizeOf(dims) === x.data.length, `[${x.dims}] does not fit into [${wanted}]`)
    return [{ dims, data: x.data }]
  },
  Expand: ([x, shape]) => {
    const dims = broadcastDims(needed(x).dims, [...needed(shape).data])
    return [tabulate(dims, index => broadcastAt(needed(x), index))]
  },
  Transpose: ([input], { attributes }) => {
    const x = needed(input)
    const perm = (attributes.perm as readonly number[] | undefined) ?? [...x.dims.keys()].reverse()
    const order = perm.map(axis => axisOf(axis, x.dims.length))
    const dims = order.map(axis => x.dims[axis] as number)
    const from = (index: readonly number[]) =>
      x.dims.map((_, axis) => index[order.indexOf(axis)] as number)
    return [tabulate(dims, index => at(x, from(index)))]
  },
  Unsqueeze: ([x, axes]) => {
    const { dims, data } = needed(x)
    const rank = dims.length + needed(axes).data.length
    const put = new Set([...needed(axes).data].map(axis => axisOf(axis, rank)))
    const rest = dims.values()
    const out = Array.from({ length: rank }, (_, i) => (put.has(i) ? 1 : (rest.next().value ?? 1)))
    return [{ dims: out, data }]
  },
  Squeeze: ([x, axes]) => {
    const { dims, data } = needed(x)
    const gone = new Set([...needed(axes).data].map(axis => axisOf(axis, dims.length)))
    return [{ dims: dims.filter((_, i) => !gone.has(i)), data }]
  },
  Concat: (inputs, { attributes }) => {
    const parts = inputs.map(needed)
    const first = needed(parts[0])
    const axis = axisOf(attributes.axis, first.dims.length)
    const total = parts.reduce((size, part) => size + (part.dims[axis] as number), 0)
    return [
      tabulate(first.dims.with(axis, total), index => {
        let within = index[axis] as number
        for (const part of parts) {
          const size = part.dims[axis] as number
          if (within < size) return at(part, index.with(axis, within))
          within -= size
        }
        throw new RangeError('an index lies beyond all parts')
      }),
    ]
  },
  /** Ends beyond an axis are cut to it. Steps are positive, as the operator's rule asks. */
  Slice: ([input, starts, ends, axes, steps]) => {
    const x = needed(input)
    const along = axes ? [...axes.data] : [...needed(starts).data.keys()]
    const dims = [...x.dims]
    const from = x.dims.map(() => 0)
    const step = x.dims.map(() => 1)
    for (const [i, given] of along.entries()) {
      const axis = axisOf(given, x.dims.length)
      const size = x.dims[axis] as number
      const cut = (end: number) => Math.min(size, Math.max(0, end < 0 ? end + size : end))
      from[axis] = cut(needed(starts).data[i] as number)
      step[axis] = steps?.data[i] ?? 1
      const length = cut(needed(ends).data[i] as number) - (from[axis] as number)
      dims[axis] = Math.max(0, Math.ceil(length / (step[axis] as number)))
    }
    const place = (i: number, axis: number) => (from[axis] as number) + i * (step[axis] as number)
    return [tabulate(dims, index => at(x, index.map(place)))]
  },
  /** Zeros around; a negative amount cuts. */
  Pad: ([input, pads], { attributes }) => {
    const x = needed(input)
    assert((attributes.mode ?? 'constant') === 'constant', 'the reference of Pad knows zeros only')
    const amounts = [...needed(pads).data]
    const rank = x.dims.length
    const dims = x.dims.map(
      (dim, i) => dim + (amounts[i] as number) + (amounts[i + rank] as number),
    )
    return [
      tabulate(dims, index => {
        const from = index.map((i, axis) => i - (amounts[axis] as number))
        return from.every((i, axis) => i >= 0 && i < (x.dims[axis] as number)) ? at(x, from) : 0
      }),
    ]
  },

  Gather: ([input, indices], { attributes }) => {
    const [x, which] = [needed(input), needed(indices)]
    const axis = axisOf(attributes.axis ?? 0, x.dims.length)
    const rank = which.dims.length
    return [
      tabulate(x.dims.toSpliced(axis, 1, ...which.dims), index => {
        const chosen = at(which, index.slice(axis, axis + rank))
        return at(x, index.toSpliced(axis, rank, position(chosen, x.dims[axis] as number)))
      }),
    ]
  },
  GatherElements: ([input, indices], { attributes }) => {
    const [x, which] = [needed(input), needed(indices)]
    const axis = axisOf(attributes.axis ?? 0, x.dims.length)
    const size = x.dims[axis] as number
    return [
      tabulate(which.dims, index => at(x, index.with(axis, position(at(which, index), size)))),
    ]
  },
  ScatterElements: ([input, indices, updates], { attributes }) => {
    const [x, which] = [needed(input), needed(indices)]
    const axis = axisOf(attributes.axis ?? 0, x.dims.length)
    const data = x.data.slice()
    const join = joinOf(attributes)
    forEachIndex(which.dims, index => {
      const to = index.with(axis, position(at(which, index), x.dims[axis] as number))
      const place = offsetOf(x.dims, to)
      data[place] = join(data[place] as number, at(needed(updates), index))
    })
    return [{ dims: x.dims, data }]
  },
} as const satisfies Partial<Record<OperatorName, Kernel>>
