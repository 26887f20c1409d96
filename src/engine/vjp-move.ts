/** Gradients of operators that pick, place and rotate elements. */
import { int64, scalar, type Value } from './graph.ts'
import { integers } from './operator-rules.ts'
import {
  Expand,
  Neg,
  Pad,
  RotaryEmbedding,
  ScatterND,
  Shape,
  Slice,
  Transpose,
  Unsqueeze,
} from './ops.ts'
import { knownIntegers, normaliseAxes } from './shapes.ts'
import { each, type VjpRule } from './vjp-rules.ts'

/** Zeros of the shape of `like`. */
export const zerosLike = (like: Value) => Expand(scalar(0), Shape(like))

export const gather: VjpRule = each(({ g, attributes }, x, at) => {
  const [axis] = normaliseAxes([(attributes.axis as number) ?? 0], (x as Value).shape.length)
  return [() => scatterBack(g, { x: x as Value, at: at as Value, axis: axis as number })]
})

/** What was read at `at` along an axis, added where it was read: other axes are brought behind it and back. */
export function scatterBack(
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
    axis === 0 ? value : Transpose(value, perm)
  const front = moved(1, x.shape.length)
  const updates = turn(g, moved(spread, g.shape.length))
  const summed = ScatterND(zerosLike(turn(x, front)), Unsqueeze(at, [spread]), updates)
  return turn(summed, inversePerm(front))
}

export const range = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, i) => from + i)

export const inversePerm = (perm: readonly number[]) => perm.map((_, axis) => perm.indexOf(axis))

export const slice: VjpRule = each(({ g, inputs: [, starts, ends, axes, steps] }, x) => [
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
        const rows = Slice(int64(...range(0, size)), { axis: 0, start, end: ends as Value })
        return scatterBack(g, { x: x as Value, at: rows, axis })
      }
      before[axis] = Math.min(size, Math.max(0, start < 0 ? start + size : start))
      after[axis] = size - rest - (before[axis] as number)
    }
    return Pad(g, [...before, ...after])
  },
])

export const concat: VjpRule = ({ inputs, attributes, g, needs }) => {
  const parts = inputs as readonly Value[]
  const axis = attributes.axis as number
  let at = 0
  return parts.map((part, i) => {
    const start = at
    at += part.shape.at(axis) as number
    return needs(i) ? Slice(g, { axis, start, end: at }) : undefined
  })
}

/** Rotation is orthogonal: its gradient is the rotation backwards. Angles get none. */
export const rotary: VjpRule = ({ inputs, attributes, g, needs }) => {
  const [, positions, cosines, sines] = inputs as readonly Value[]
  if (needs(2) || needs(3)) throw new Error('the angles of a rotation')
  return [RotaryEmbedding(g, positions as Value, cosines as Value, Neg(sines as Value), attributes)]
}

/** What was put around is cut, what was cut is zero. */
export const pad: VjpRule = each(({ g, inputs: [, pads] }) => [
  () =>
    Pad(
      g,
      integers(knownIntegers(pads as Value)).map(amount => -amount),
    ),
])

/** The rule of an addition: what `Scatter…` replaces or multiplies has another. */
export function added(rule: VjpRule): VjpRule {
  return context => {
    const { reduction = 'none' } = context.attributes
    if (reduction !== 'add') throw new Error(`the reduction ${reduction}`)
    return rule(context)
  }
}
