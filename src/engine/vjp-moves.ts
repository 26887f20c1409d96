/** Gradients of operators that move elements: they are moved back, and summed where one was read more than once. */
import { int64, type Value } from './graph.ts'
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

/** What was read at `at` along an axis, added where it was read: other axes are brought behind it and back. */
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
  const updates = turn(g, moved(spread, g.shape.length))
  const summed = ops.ScatterND(zerosLike(turn(x, front)), ops.Unsqueeze(at, [spread]), updates)
  return turn(summed, inversePerm(front))
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
  ScatterND: added(
    each(({ g }, _x, indices) => [
      () => g,
      noGradient,
      () => {
        const at = indices as Value
        if (at.shape.at(-1) !== 1) throw new Error('rows found by several indices')
        return ops.Gather(g, ops.Squeeze(at, [-1]))
      },
    ]),
  ),
} as const satisfies Partial<Record<OperatorName, VjpRule>>
