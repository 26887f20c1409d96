/**
 * A slow and obvious interpreter of graphs in double precision: the oracle that the operator table, the gradients and the
 * runtime are tested against. Knows no runtime, and rounds to no type: every float is a double.
 */
import { assert } from '../errors.ts'
import { sortNodes } from './emit.ts'
import { type Dim, describe, type Input, type Node, type TensorType, type Value } from './graph.ts'
import type { OperatorName } from './operators.ts'
import { ELEMENTWISE_KERNELS } from './reference-elementwise.ts'
import { MATRIX_KERNELS } from './reference-matrix.ts'
import { MOVE_KERNELS } from './reference-move.ts'
import { QUANTIZED_KERNELS } from './reference-quantized.ts'
import { REDUCTION_KERNELS } from './reference-reduce.ts'
import { decodeConstant, type Kernel, type NumericTensor } from './reference-tensor.ts'

/** One row per operator: a new row of `OPERATORS` without one here is a type error. */
const KERNELS = {
  ...ELEMENTWISE_KERNELS,
  ...REDUCTION_KERNELS,
  ...MATRIX_KERNELS,
  ...MOVE_KERNELS,
  ...QUANTIZED_KERNELS,
} as const satisfies Record<OperatorName, Kernel>

/**
 * What `outputs` are when `feeds` are fed, in their order. Integers are cut towards zero where floats become integers.
 * @throws bug when an input that is needed is not fed, or a tensor is not of the shape that its type promises
 */
export function evaluate(
  outputs: readonly Value[],
  feeds: ReadonlyMap<Input, NumericTensor>,
): NumericTensor[] {
  const { nodes, inputs } = sortNodes(outputs)
  const sizes = learnSizes(inputs, feeds)
  const results = new Map<Node, readonly NumericTensor[]>()
  const read = (value: Value): NumericTensor => {
    if (value.kind === 'constant') return decodeConstant(value)
    return (
      value.kind === 'input' ? feeds.get(value) : results.get(value.node)?.[value.output]
    ) as NumericTensor
  }
  for (const node of nodes) {
    const kernel: Kernel = KERNELS[node.op]
    const found = kernel(
      node.inputs.map(value => value && read(value)),
      node,
    )
    results.set(
      node,
      found.map((tensor, i) => checked(tensor, { node, output: i, sizes })),
    )
  }
  return outputs.map(read)
}

/** Named sizes are what is fed; fed twice, they must agree. */
function learnSizes(
  inputs: readonly Input[],
  feeds: ReadonlyMap<Input, NumericTensor>,
): ReadonlyMap<string, number> {
  const sizes = new Map<string, number>()
  const fed = inputs.map(value => {
    const tensor = feeds.get(value)
    assert(tensor !== undefined, `the reference needs the input ${value.name}, which is not fed`)
    return { value, dims: tensor.dims }
  })
  for (const { value, dims } of fed) {
    for (const [axis, dim] of value.shape.entries()) {
      if (typeof dim === 'string' && axis < dims.length) sizes.set(dim, dims[axis] as number)
    }
  }
  for (const { value, dims } of fed) requireDims(value.name, value, { dims, sizes })
  return sizes
}

/** A result as its inferred type has it: of that shape, cut where it is an integer. */
function checked(
  { dims, data }: NumericTensor,
  {
    node,
    output,
    sizes,
  }: { readonly node: Node; readonly output: number; readonly sizes: ReadonlyMap<string, number> },
): NumericTensor {
  const type = node.outputs[output]
  assert(type !== undefined, `${node.op} has no result ${output}`)
  requireDims(node.op, type, { dims, sizes })
  return { dims, data: type.dtype.startsWith('float') ? data : data.map(Math.trunc) }
}

function requireDims(
  what: string,
  type: TensorType,
  {
    dims,
    sizes,
  }: { readonly dims: readonly number[]; readonly sizes: ReadonlyMap<string, number> },
): void {
  const promised = type.shape.map(dim => knownSize(dim, sizes))
  const fits = promised.length === dims.length && promised.every((size, i) => size === dims[i])
  assert(fits, `${what} is [${dims.join(', ')}], which is not ${describe(type)}`)
}

/** `3*batch` is the product of its parts, where they are known. */
function knownSize(dim: Dim, sizes: ReadonlyMap<string, number>): number {
  if (typeof dim === 'number') return dim
  const parts = dim.split('*').map(part => sizes.get(part) ?? Number(part))
  const product = parts.reduce((a, b) => a * b)
  return Number.isNaN(product) ? (sizes.get(dim) ?? product) : product
}
