/** What the rows of the gradient table are made of. Knows no operator by name. */
import { type Attributes, scalar, type Value } from './graph.ts'
import { Expand, Shape } from './ops.ts'

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

export type Lazy = () => Value

/** For conditions and indices. Never asked for: they rest on no floating-point value. */
export const noGradient: Lazy = () => {
  throw new Error('its conditions and indices')
}

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

/** Zeros of the shape of `like`. */
export const zerosLike = (like: Value) => Expand(scalar(0), Shape(like))
