/** What rules of gradients are made of, and undoing what broadcasting did. Knows no operator by name. */
import { type Attributes, type Dim, int64, scalar, type Value } from './graph.ts'
import { integers } from './operator-rules.ts'
import { Add, Cast, Equal, Expand, Mul, ReduceSum, Reshape, Shape, Unsqueeze } from './ops.ts'
import { knownIntegers, normaliseAxes, same } from './shapes.ts'

export interface VjpContext {
  readonly inputs: readonly (Value | undefined)[]
  readonly outputs: readonly Value[]
  readonly attributes: Attributes
  /** Gradient of the first result, of its shape. */
  readonly g: Value
  /** Whether the gradient of an input is wanted. */
  readonly needs: (input: number) => boolean
}

/** Gradients of the inputs that need one, in their order; of the shape that broadcasting gave them or their own. */
export type VjpRule = (context: VjpContext) => readonly (Value | undefined)[]

type Lazy = () => Value

/** Most rules: one expression per input, evaluated only where it is needed. */
export function each(rule: (context: VjpContext, ...inputs: Value[]) => readonly Lazy[]): VjpRule {
  return context =>
    rule(context, ...(context.inputs as readonly Value[])).map((gradient, i) =>
      context.needs(i) ? gradient() : undefined,
    )
}

/** y = f(x) with one gradient. */
export function unary(
  rule: (context: { g: Value; x: Value; y: Value; attributes: Attributes }) => Value,
) {
  return each(({ g, outputs: [y], attributes }, x) => [
    () => rule({ g, x: x as Value, y: y as Value, attributes }),
  ])
}

/** One side of Max or Min: all of the gradient where it wins, half of it at a tie, as PyTorch has it. */
export function winner(wins: (a: Value, b: Value) => Value): VjpRule {
  const share = (a: Value, b: Value) =>
    Add(Cast(wins(a, b), 'float32'), Mul(scalar(0.5), Cast(Equal(a, b), 'float32')))
  return each(({ g }, a, b) => [
    () => Mul(g, share(a as Value, b as Value)),
    () => Mul(g, share(b as Value, a as Value)),
  ])
}

/** Gradient of a reduction with its axes kept, so that it broadcasts against the input. */
export function kept(
  g: Value,
  x: Value,
  inputs: readonly (Value | undefined)[],
  attributes: Attributes,
) {
  const axes = reducedAxes(inputs, x.shape.length)
  return attributes.keepdims === 0 ? Unsqueeze(g, axes) : g
}

export function reducedAxes(inputs: readonly (Value | undefined)[], rank: number): number[] {
  const axes = inputs[1] === undefined ? [] : integers(knownIntegers(inputs[1]))
  return axes.length === 0 ? [...Array(rank).keys()] : normaliseAxes(axes, rank)
}

/** A reduction of x over axes; `rule` gets the gradient and the result broadcastable. */
export function reduction(rule: (g: Value, x: Value, y: Value) => Value): VjpRule {
  return each(({ g, inputs, outputs, attributes }, x) => {
    const keep = (value: Value) => kept(value, x as Value, inputs, attributes)
    return [() => rule(keep(g), x as Value, keep(outputs[0] as Value))]
  })
}

export const expandTo = (value: Value, like: Value) => Expand(value, Shape(like))

/** Sizes reduced by a mean, as a value: named sizes are known only at run time. */
export function countOf(x: Value, axes: readonly number[]): Value {
  const dims = axes.map(axis => x.shape[axis] as Dim)
  if (dims.every(dim => typeof dim === 'number')) {
    return scalar(dims.reduce((a, b) => a * b, 1))
  }
  const sizes = axes.map(axis => Reshape(Cast(Shape(x, axis, axis + 1), 'float32'), []))
  return sizes.reduce((a, b) => Mul(a, b))
}

/** A gradient summed over the axes along which its value was broadcast. */
export function unbroadcast(g: Value, shape: readonly Dim[]): Value {
  const added = g.shape.length - shape.length
  const axes = g.shape.flatMap((dim, i) => {
    const own = i < added ? 1 : (shape[i - added] as Dim)
    return own === 1 && dim !== 1 ? [i] : []
  })
  const leading = [...Array(Math.max(0, added)).keys()]
  const summed = axes.length === 0 ? g : ReduceSum(g, [...new Set([...axes, ...leading])])
  const fitted = added > 0 ? Reshape(summed, reshapeTarget(summed, added)) : summed
  for (const [i, dim] of shape.entries()) same(fitted.shape[i] as Dim, dim)
  return fitted
}

/** The sizes behind the first `count`, taken from the value itself. */
function reshapeTarget(value: Value, count: number): Value {
  return value.shape.length === count ? int64() : Shape(value, count)
}
