/** Reference kernels of operators that look along axes: reductions, softmax, the largest, norms. Knows no graph. */
import type { OperatorName } from './operators.ts'
import {
  axisOf,
  type Kernel,
  lineAt,
  mean,
  type NumericTensor,
  needed,
  sizeOf,
  sum,
  tabulate,
} from './reference-tensor.ts'

export const REDUCTION_KERNELS = {
  ReduceSum: reduction(sum),
  ReduceMean: reduction(mean),
  ReduceMax: reduction(values => Math.max(...values)),
  ReduceL2: reduction(values => Math.sqrt(sum(values.map(value => value ** 2)))),
  ReduceSumSquare: reduction(values => sum(values.map(value => value ** 2))),
  ArgMax: ([x], { attributes }) => {
    const { axis = 0, keepdims } = attributes
    return [reduce(needed(x), [axis as number], keepdims, line => line.indexOf(Math.max(...line)))]
  },

  Softmax: alongAxis(line => line.map(value => 1 / sum(line.map(one => Math.exp(one - value))))),
  LogSoftmax: alongAxis(line => {
    const most = Math.max(...line)
    const logSum = most + Math.log(sum(line.map(value => Math.exp(value - most))))
    return line.map(value => value - logSum)
  }),

  /** Largest first; of equals, the one that stands first. */
  TopK: ([input, count], { attributes }) => {
    const x = needed(input)
    const k = needed(count).data[0] as number
    const axis = axisOf(attributes.axis ?? -1, x.dims.length)
    const dims = x.dims.with(axis, k)
    const order = (line: readonly number[]) =>
      [...line.keys()].sort((i, j) => (line[j] as number) - (line[i] as number) || i - j)
    const rank = (index: readonly number[]) => order(lineAt(x, axis, index))[index[axis] as number]
    return [
      tabulate(dims, index => lineAt(x, axis, index)[rank(index) as number] as number),
      tabulate(dims, index => rank(index) as number),
    ]
  },

  /** `(x − mean) / √(variance + ε) · scale + bias`, then mean and `1 / √(variance + ε)`. */
  LayerNormalization: ([x, scale, bias], { attributes }) => {
    const { axis = -1, epsilon = 1e-5 } = attributes
    return normalise(needed(x), axis as number, values => {
      const centre = mean(values)
      const variance = mean(values.map(value => (value - centre) ** 2))
      const inverse = 1 / Math.sqrt(variance + (epsilon as number))
      const normalised = values.map(
        (value, i) =>
          (value - centre) * inverse * (needed(scale).data[i] as number) + (bias?.data[i] ?? 0),
      )
      return { normalised, statistics: [centre, inverse] }
    })
  },
  /** `x / √(mean of squares + ε) · scale`, then the reciprocal root. */
  SimplifiedLayerNormalization: ([x, scale], { attributes }) => {
    const { axis = -1, epsilon = 1e-5 } = attributes
    return normalise(needed(x), axis as number, values => {
      const square = mean(values.map(value => value ** 2))
      const inverse = 1 / Math.sqrt(square + (epsilon as number))
      const normalised = values.map(
        (value, i) => value * inverse * (needed(scale).data[i] as number),
      )
      return { normalised, statistics: [inverse] }
    })
  },
} as const satisfies Partial<Record<OperatorName, Kernel>>

/** No axes, or none at all, mean all of them. */
function reduction(f: (values: readonly number[]) => number): Kernel {
  return ([x, axes], { attributes }) => {
    const { dims } = needed(x)
    const along = axes === undefined || axes.data.length === 0 ? [...dims.keys()] : [...axes.data]
    return [reduce(needed(x), along, attributes.keepdims, f)]
  }
}

function reduce(
  x: NumericTensor,
  axes: readonly number[],
  keepdims: unknown,
  f: (values: readonly number[]) => number,
): NumericTensor {
  const gone = new Set(axes.map(axis => axisOf(axis, x.dims.length)))
  const kept = x.dims.map((dim, axis) => (gone.has(axis) ? 1 : dim))
  const inner = x.dims.map((dim, axis) => (gone.has(axis) ? dim : 1))
  const { data } = tabulate(kept, index => f(block(x, index, inner)))
  const dims = keepdims === 0 ? x.dims.filter((_, axis) => !gone.has(axis)) : kept
  return { dims, data }
}

/** The values of a block of size `dims` that begins at `from`. */
function block(x: NumericTensor, from: readonly number[], dims: readonly number[]): number[] {
  const values: number[] = []
  let offset = 0
  const collect = (axis: number) => {
    if (axis === dims.length) {
      values.push(x.data[offset] as number)
      return
    }
    const before = offset
    for (let i = 0; i < (dims[axis] as number); i++) {
      offset = before * (x.dims[axis] as number) + (from[axis] as number) + i
      collect(axis + 1)
    }
    offset = before
  }
  collect(0)
  return values
}

/** Every line along the axis replaced by one as long. */
function alongAxis(f: (line: readonly number[]) => readonly number[]): Kernel {
  return ([input], { attributes }) => {
    const x = needed(input)
    const axis = axisOf(attributes.axis ?? -1, x.dims.length)
    return [tabulate(x.dims, index => f(lineAt(x, axis, index))[index[axis] as number] as number)]
  }
}

/** Each block from `axis` to the last on its own; statistics keep the normalised axes as 1. */
function normalise(
  { dims, data }: NumericTensor,
  axis: number,
  f: (values: readonly number[]) => {
    readonly normalised: readonly number[]
    readonly statistics: readonly number[]
  },
): NumericTensor[] {
  const from = axisOf(axis, dims.length)
  const length = sizeOf(dims.slice(from))
  const blocks = Array.from({ length: sizeOf(dims.slice(0, from)) }, (_, i) =>
    f([...data.subarray(i * length, (i + 1) * length)]),
  )
  const statisticsDims = dims.map((dim, i) => (i < from ? dim : 1))
  const statistic = (which: number) => blocks.map(one => one.statistics[which] as number)
  return [
    { dims, data: Float64Array.from(blocks.flatMap(one => one.normalised)) },
    ...(blocks[0]?.statistics ?? []).map((_, which) => ({
      dims: statisticsDims,
      data: Float64Array.from(statistic(which)),
    })),
  ]
}
