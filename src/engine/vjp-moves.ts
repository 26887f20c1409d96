/** Gradients of operators that move elements: they are moved back, and summed where one was read more than once. */
import { int64, scalar, type Value } from './graph.ts'
import { integers } from './operator-rules.ts'
import type { OperatorName } from './operators.ts'
import * as ops from './ops.ts'
import { knownIntegers, normaliseAxes } from './shapes.ts'
import { each, noGradient, unary, type VjpRule, zerosLike } from './vjp-rules.ts'

const { Reshape, Shape } = ops

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i)

const inversePerm = (perm: readonly number[]) => perm.map((_, axis) => perm.indexOf(axis))

const gather: VjpRule = each(({ g, attributes }, x, at) => {
  const [axis] = normaliseAxes([(attributes.axis as number) ?? 0], (x as Value).shape.length)
  return [() => scatterBack(g, { x: x as Value, at: at as Value, axis: axis as number })]
})

/**
 * Rows of a table up to which they are summed by a product with 0s and 1s, several times as fast as one number at a time; the factor of a
 * larger table would not fit.
 */
const MOST_ROWS_BY_PRODUCT = 4096

/**
 * What was read at `at` along an axis, added where it was read: other axes are brought behind it and back. ONNX Runtime's `ScatterND` would
 * do it in one, but its threads lose sums where rows meet.
 */
function scatterBack(
  g: Value,
  { x, at, axis }: { readonly x: Value; readonly at: Value; readonly axis: number },
): Value {
  const spread = at.shape.length
  const moved = (count: number, rank: number) => [
    ...range(axis, axis + count),
    ...range(0, axis),
    ...range(axis + count, rank),
  ]
  const turn = (value: Value, perm: readonly number[]) =>
    axis === 0 ? value : ops.Transpose(value, perm)
  const front = moved(1, x.shape.length)
  const table = turn(x, front)
  const read = turn(g, moved(spread, g.shape.length))
  const blocks = spread === 1 ? read : Reshape(read, ops.Concat([int64(-1), Shape(table, 1)], 0))
  return turn(addBlocks(table, at, blocks), inversePerm(front))
}

/** `blocks` [n, …] summed where `at` points, in the shape of `table` [rows, …]. */
function addBlocks(table: Value, at: Value, blocks: Value): Value {
  const [count] = table.shape
  const rank = table.shape.length
  if (typeof count === 'number' && count > MOST_ROWS_BY_PRODUCT) {
    const places = Reshape(at, [-1, ...range(1, rank).map(() => 1)])
    return ops.ScatterElements(zerosLike(table), ops.Expand(places, Shape(blocks)), blocks, 0)
  }
  const columns = Reshape(at, [1, -1])
  const none = ops.Expand(scalar(0), ops.Concat([Shape(table, 0, 1), Shape(columns, 1)], 0))
  const ones = ops.Expand(scalar(1), Shape(columns))
  const chosen = ops.ScatterElements(none, columns, ones, 0) // [rows, n], one 1 in each column
  if (rank === 1) return ops.Squeeze(ops.MatMul(chosen, ops.Unsqueeze(blocks, [1])), [1])
  const inner = [...range(1, rank - 1), 0, rank - 1]
  const around = (value: Value, perm: readonly number[]) =>
    rank === 2 ? value : ops.Transpose(value, perm)
  return around(ops.MatMul(chosen, around(blocks, inner)), inversePerm(inner))
}

const slice: VjpRule = each(({ g, inputs: [, starts, ends, axes, steps] }, x) => [
  () => {
    const { shape } = x as Value
    const from = knownIntegers(starts as Value)
    const along = axes ? integers(knownIntegers(axes)) : [...from.keys()]
    if (steps && knownIntegers(steps).some(step => step !== 1)) throw new Error('a slice in steps')
    const [before, after] = [shape.map(() => 0), shape.map(() => 0)]
    for (const [i, axis] of normaliseAxes(along, shape.length).entries()) {
      const [size, rest, start] = [shape[axis], g.shape[axis], from[i] as number]
      if (size === rest) continue
      if (typeof size !== 'number') throw new Error(`a part of ${size}, whose size is not known`)
      if (typeof rest !== 'number') {
        if (along.length > 1) throw new Error('a slice of several axes, to a size not known')
        const rows = ops.Slice(int64(...range(0, size)), { axis: 0, start, end: ends as Value })
        return scatterBack(g, { x: x as Value, at: rows, axis })
      }
      before[axis] = Math.min(size, Math.max(0, start < 0 ? start + size : start))
      after[axis] = size - rest - (before[axis] as number)
    }
    return ops.Pad(g, [...before, ...after])
  },
])

const concat: VjpRule = ({ inputs, attributes, g, needs }) => {
  const parts = inputs as readonly Value[]
  const axis = attributes.axis as number
  let at = 0
  return parts.map((part, i) => {
    const start = at
    at += part.shape.at(axis) as number
    return needs(i) ? ops.Slice(g, { axis, start, end: at }) : undefined
  })
}

/** What was put around is cut, what was cut is zero. */
const pad: VjpRule = each(({ g, inputs: [, pads] }) => [
  () =>
    ops.Pad(
      g,
      integers(knownIntegers(pads as Value)).map(amount => -amount),
    ),
])

/** The rule of an addition: what `Scatter…` replaces or multiplies has another. */
function added(rule: VjpRule): VjpRule {
  return context => {
    const { reduction = 'none' } = context.attributes
    if (reduction !== 'add') throw new Error(`the reduction ${reduction}`)
    return rule(context)
  }
}

/** Rows of the table in `vjp.ts`. */
export const MOVE_RULES = {
  Reshape: unary(({ g, x }) => Reshape(g, Shape(x))),
  Expand: unary(({ g }) => g),
  Transpose: unary(({ g, attributes }) => {
    const perm = attributes.perm as readonly number[]
    return ops.Transpose(g, inversePerm(normaliseAxes(perm, perm.length)))
  }),
  Unsqueeze: unary(({ g, x }) => Reshape(g, Shape(x))),
  Squeeze: unary(({ g, x }) => Reshape(g, Shape(x))),
  Concat: concat,
  Slice: slice,
  Pad: pad,
  Gather: gather,
  GatherElements: each(({ g, attributes }, x, indices) => [
    () =>
      ops.ScatterElements(
        zerosLike(x as Value),
        indices as Value,
        g,
        (attributes.axis as number | undefined) ?? 0,
      ),
  ]),
  ScatterElements: added(
    each(({ g, attributes }, _x, indices) => [
      () => g,
      noGradient,
      () => ops.GatherElements(g, indices as Value, (attributes.axis as number | undefined) ?? 0),
    ]),
  ),
} as const satisfies Partial<Record<OperatorName, VjpRule>>
