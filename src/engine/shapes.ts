/** Rules by which operators find the shape of their result. Knows dimensions, no operator by name. */
import type { Dim, TensorType, Value } from './graph.ts'

/** What a rule throws; `apply` adds the operator and its inputs. */
export class ShapeError extends Error {}

/** ONNX's multidirectional broadcasting. A named size broadcasts with itself and with 1. */
export function broadcast(...shapes: readonly (readonly Dim[])[]): Dim[] {
  const rank = Math.max(...shapes.map(shape => shape.length))
  return Array.from({ length: rank }, (_, i) =>
    shapes
      .map(shape => shape[i - rank + shape.length] ?? 1)
      .reduce((a, b) => (a === 1 ? b : b === 1 ? a : same(a, b))),
  )
}

/** The one size that both name. */
export function same(a: Dim, b: Dim): Dim {
  if (a !== b) throw new ShapeError(`sizes ${a} and ${b} do not fit`)
  return a
}

/** Axes as non-negative numbers, each within the rank. */
export function normaliseAxes(axes: readonly number[], rank: number): number[] {
  return axes.map(axis => {
    if (!Number.isInteger(axis) || axis < -rank || axis >= rank) {
      throw new ShapeError(`axis ${axis} is outside rank ${rank}`)
    }
    return axis < 0 ? axis + rank : axis
  })
}

/** Matrix product over the last two dimensions, the rest broadcast. A vector is not accepted. */
export function matMul(a: readonly Dim[], b: readonly Dim[]): Dim[] {
  if (a.length < 2 || b.length < 2) throw new ShapeError('both need at least two dimensions')
  same(a.at(-1) as Dim, b.at(-2) as Dim)
  return [...broadcast(a.slice(0, -2), b.slice(0, -2)), a.at(-2) as Dim, b.at(-1) as Dim]
}

/** The shape after a reduction; no axes reduces all. */
export function reduce(shape: readonly Dim[], axes: readonly number[], keep: boolean): Dim[] {
  const gone = new Set(axes.length === 0 ? shape.keys() : normaliseAxes(axes, shape.length))
  return keep
    ? shape.map((dim, i) => (gone.has(i) ? 1 : dim))
    : shape.filter((_, i) => !gone.has(i))
}

/** ONNX Reshape: 0 keeps a size, −1 is what remains; names cancel against themselves. */
export function reshape(shape: readonly Dim[], target: readonly Dim[]): Dim[] {
  const out = target.map((dim, i) => {
    if (dim !== 0) return dim
    if (i >= shape.length) throw new ShapeError(`0 at ${i} copies no size`)
    return shape[i] as Dim
  })
  const free = out.indexOf(-1)
  if (free !== out.lastIndexOf(-1)) throw new ShapeError('−1 stands twice')
  const rest = divide(shape, free < 0 ? out : out.toSpliced(free, 1))
  if (free >= 0) return out.with(free, rest)
  if (rest !== 1) throw new ShapeError(`[${shape}] does not fit into [${target}]`)
  return out
}

/** The size of one slice of a dimension; a named dimension keeps its name only when whole. */
export function sliceDim(dim: Dim, start: Dim, end: Dim, step: number): Dim {
  if (start === 0 && step === 1 && typeof end === 'string') return end
  if (typeof dim === 'string' || typeof start === 'string' || typeof end === 'string') {
    if (start === 0 && step === 1 && typeof end === 'number' && end >= 2 ** 31 - 1) return dim
    throw new ShapeError(`the length of ${dim} from ${start} to ${end} is not known`)
  }
  if (step < 1) throw new ShapeError(`a step of ${step} is not supported`)
  const at = (index: number) => Math.min(dim, Math.max(0, index < 0 ? index + dim : index))
  return Math.max(0, Math.ceil((at(end) - at(start)) / step))
}

/**
 * The integers that a value holds, as far as the graph tells: constants, shapes, and shapes put together.
 * @throws ShapeError when they depend on data
 */
export function knownIntegers(value: Value): readonly Dim[] {
  if (value.kind === 'constant' && value.dtype === 'int64') {
    return Array.from(value.data as BigInt64Array, Number)
  }
  if (value.kind === 'result') {
    const { op, inputs, attributes } = value.node
    const present = inputs.filter(one => one !== undefined)
    if (op === 'Shape') {
      return (present[0] as TensorType).shape.slice(
        attributes.start as number | undefined,
        attributes.end as number | undefined,
      )
    }
    if (op === 'Concat') return present.flatMap(knownIntegers)
  }
  throw new ShapeError('a shape, axis or index must be a constant or come from Shape')
}

/** Product of `shape` over product of `by`, names cancelled; a name that remains alone keeps its name. */
function divide(shape: readonly Dim[], by: readonly Dim[]): Dim {
  const names = shape.filter(dim => typeof dim === 'string').flatMap(dim => dim.split('*'))
  let size = product(shape)
  for (const dim of by) {
    if (typeof dim === 'number') size /= dim
    else {
      for (const name of dim.split('*')) {
        const at = names.indexOf(name)
        if (at < 0) throw new ShapeError(`${name} is not a part of [${shape}]`)
        names.splice(at, 1)
      }
    }
  }
  if (!Number.isInteger(size)) throw new ShapeError(`[${shape}] is not a multiple of [${by}]`)
  if (names.length === 0) return size
  return size === 1 ? names.join('*') : [size, ...names].join('*')
}

function product(shape: readonly Dim[]): number {
  return shape.reduce<number>((sum, dim) => (typeof dim === 'number' ? sum * dim : sum), 1)
}
