/** Turns values into ONNX bytes: finds what the outputs need, names it, writes it. Knows no runtime. */
import { assert } from '../errors.ts'
import { type OnnxAttribute, type OnnxNode, type OnnxTensor, writeOnnx } from '../formats/index.ts'
import type { Attributes, Constant, Input, Node, Value } from './graph.ts'
import type { OperatorRule } from './operator-rules.ts'
import { OPERATORS, type OperatorName } from './operators.ts'

/** Gelu as an operator came with 20; ONNX Runtime 1.30 reads it without conversion. */
const OPSET = 20

/**
 * The graph that computes `outputs` from `inputs`, as an ONNX file.
 * @param inputs all that will be fed, in any order; unused ones are kept
 * @throws bug when an output needs an input that is not listed; model-corrupt beyond 2 GiB
 */
export function emit(name: string, graph: EmittedGraph): Uint8Array<ArrayBuffer> {
  return write(name, graph, Number.POSITIVE_INFINITY).model
}

/** Constants of at least this many bytes are handed over beside the file. */
const APART_BYTES = 1024

/**
 * The same with large constants beside the file, by the names under which it refers to them: views of the values' own data, so
 * that weights are not copied into a file only to be copied out of it again.
 */
export function emitApart(name: string, graph: EmittedGraph): GraphParts {
  return write(name, graph, APART_BYTES)
}

export interface EmittedGraph {
  readonly inputs: readonly Input[]
  readonly outputs: Readonly<Record<string, Value>>
}

export interface GraphParts {
  readonly model: Uint8Array<ArrayBuffer>
  readonly tensors: ReadonlyMap<string, Uint8Array>
}

function write(name: string, { inputs, outputs }: EmittedGraph, apartBytes: number): GraphParts {
  const sorted = sortNodes(Object.values(outputs))
  const names = nameValues(inputs, sorted, outputs)
  const nameOf = (value: Value | undefined) => (value === undefined ? '' : names(value))
  const used = usedResults(sorted.nodes, Object.values(outputs))
  const nodes = sorted.nodes.map((node, i) => onnxNode(node, i, { nameOf, names, used }))
  // Inputs and constants cannot take an output's name, nor can one value take two: those are copied.
  const renames = Object.entries(outputs).flatMap(([output, value]) =>
    names(value) === output ? [] : [rename(names(value), output)],
  )
  const initializers = sorted.constants.map(value => ({
    ...onnxTensor(value, names(value)),
    isExternal: value.data.byteLength >= apartBytes,
  }))
  const model = writeOnnx({
    name,
    opsets: { '': OPSET, ...contribOpsets(sorted.nodes) },
    nodes: [...nodes, ...renames],
    initializers,
    inputs: inputs.map(({ name: input, dtype, shape }) => ({ name: input, type: dtype, shape })),
    outputs: Object.entries(outputs).map(([output, { dtype, shape }]) => ({
      name: output,
      type: dtype,
      shape,
    })),
  })
  const apart = initializers.filter(one => one.isExternal)
  return { model, tensors: new Map(apart.map(one => [one.name, bytesOf(one.data)])) }
}

function bytesOf({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength)
}

export interface Sorted {
  readonly nodes: readonly Node[]
  readonly constants: readonly Constant[]
  readonly inputs: readonly Input[]
}

/** Everything the outputs rest on, nodes after what they use. Iterative: a graph may be deep. */
export function sortNodes(outputs: readonly Value[]): Sorted {
  const nodes = new Set<Node>()
  const constants = new Set<Constant>()
  const inputs = new Set<Input>()
  const stack: (Value | Node)[] = outputs.toReversed()
  const seen = new Set<Node>()
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    if (!('kind' in next)) nodes.add(next)
    else if (next.kind === 'constant') constants.add(next)
    else if (next.kind === 'input') inputs.add(next)
    else if (!seen.has(next.node)) {
      seen.add(next.node)
      stack.push(next.node, ...next.node.inputs.filter(one => one !== undefined).toReversed())
    }
  }
  return { nodes: [...nodes], constants: [...constants], inputs: [...inputs] }
}

/**
 * Names by identity: inputs keep theirs, constants and results are numbered where needed, and a result that is an output takes
 * its public name, since a copy under that name would be one more pass over memory.
 */
function nameValues(
  inputs: readonly Input[],
  sorted: Sorted,
  outputs: Readonly<Record<string, Value>>,
): (value: Value) => string {
  for (const needed of sorted.inputs) {
    assert(inputs.includes(needed), `the graph needs the input ${needed.name}, which is not listed`)
  }
  const taken = new Set(inputs.map(one => one.name))
  assert(taken.size === inputs.length, 'two inputs of the graph have one name')
  for (const output of Object.keys(outputs)) taken.add(output)
  const constantNames = new Map<Constant, string>()
  for (const value of sorted.constants) {
    let name = value.name
    for (let i = 2; taken.has(name); i++) name = `${value.name}_${i}`
    taken.add(name)
    constantNames.set(value, name)
  }
  const nodeNames = new Map(sorted.nodes.map((node, i) => [node, `${node.op}_${i}`]))
  const resultName = (node: Node, output: number) => `${nodeNames.get(node)}:${output}`
  const publicNames = new Map<string, string>()
  for (const [name, value] of Object.entries(outputs)) {
    if (value.kind !== 'result') continue
    const own = resultName(value.node, value.output)
    if (!publicNames.has(own)) publicNames.set(own, name)
  }
  return value => {
    if (value.kind === 'input') return value.name
    if (value.kind === 'constant') return constantNames.get(value) as string
    const own = resultName(value.node, value.output)
    return publicNames.get(own) ?? own
  }
}

/** Operator sets beside ONNX's own, all in their first version. */
function contribOpsets(nodes: readonly Node[]): Record<string, number> {
  const domains = nodes.map(({ op }) => (OPERATORS[op] as OperatorRule).domain)
  return Object.fromEntries(domains.flatMap(domain => (domain === undefined ? [] : [[domain, 1]])))
}

/** Numbers of the results of each node that something uses. */
function usedResults(
  nodes: readonly Node[],
  outputs: readonly Value[],
): ReadonlyMap<Node, ReadonlySet<number>> {
  const used = new Map(nodes.map(node => [node, new Set<number>()]))
  for (const value of [...outputs, ...nodes.flatMap(node => node.inputs)]) {
    if (value?.kind === 'result') used.get(value.node)?.add(value.output)
  }
  return used
}

function onnxNode(
  node: Node,
  index: number,
  {
    nameOf,
    names,
    used,
  }: {
    nameOf: (value: Value | undefined) => string
    names: (value: Value) => string
    used: ReadonlyMap<Node, ReadonlySet<number>>
  },
): OnnxNode {
  const { domain, optionalFrom = node.outputs.length }: OperatorRule = OPERATORS[node.op]
  const outputs = node.outputs.map((type, output) =>
    output >= optionalFrom && !used.get(node)?.has(output)
      ? ''
      : names({ kind: 'result', ...type, node, output }),
  )
  while (outputs.at(-1) === '') outputs.pop()
  return {
    op: node.op,
    name: `${node.op}_${index}`,
    ...(domain === undefined ? {} : { domain }),
    inputs: node.inputs.map(nameOf),
    outputs,
    attributes: onnxAttributes(node.op, node.attributes),
  }
}

function onnxAttributes(op: OperatorName, attributes: Attributes): Record<string, OnnxAttribute> {
  const { attributes: kinds = {} }: OperatorRule = OPERATORS[op]
  return Object.fromEntries(
    Object.entries(attributes).map(([name, value]) => [
      name,
      { kind: kinds[name], value } as OnnxAttribute,
    ]),
  )
}

function onnxTensor({ dtype, shape, data }: Constant, name: string): OnnxTensor {
  return { name, type: dtype, dims: shape, data }
}

function rename(from: string, to: string): OnnxNode {
  return { op: 'Identity', name: `output:${to}`, inputs: [from], outputs: [to], attributes: {} }
}
