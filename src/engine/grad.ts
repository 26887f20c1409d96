/** Reverse-mode differentiation of a graph of values: a function from graph to graph. Knows rules only through their table. */
import { UnderstudyError } from '../errors.ts'
import {
  describe,
  type Input,
  type Node,
  type Result,
  scalar,
  type TensorType,
  type Value,
} from './graph.ts'
import { Add } from './ops.ts'
import { unbroadcast, VJP } from './vjp.ts'
import type { VjpRule } from './vjp-rules.ts'

export interface GradOptions {
  /**
   * Values kept from the forward pass; between them everything is computed again when the backward pass needs it. Without
   * any, whatever the backward pass needs is kept: faster, and as large as all activations together.
   */
  readonly keep?: readonly Value[]
}

/**
 * Gradients of a scalar with respect to values: inputs, or results inside its graph. Only what lies between the scalar and
 * those values is differentiated.
 * @throws bug when the scalar does not depend on one of them, is not a scalar, or an operator on the way has no gradient
 */
export function grad(loss: Value, wrt: readonly Value[], { keep = [] }: GradOptions = {}): Value[] {
  if (loss.shape.length !== 0) throw wrong(`a gradient needs a scalar, not ${describe(loss)}`)
  const whole = wrt.find(value => !isSmooth(value))
  if (whole !== undefined) throw wrong(`${nameOf(whole)} is not floating-point`)
  const nodes = nodesBehind(loss)
  const targets = new Set(wrt.map(keyOf))
  const isOnPath = dependsOn(nodes, targets)
  const gradients = new Map<unknown, Value>([[keyOf(loss), scalar(1)]])
  const rebuild = keep.length === 0 ? (value: Value) => value : recomputing(keep)
  for (const node of nodes.toReversed()) {
    if (isOnPath.has(node)) addInputGradients(node, { gradients, isOnPath, targets, rebuild })
  }
  return wrt.map(value => {
    const gradient = gradients.get(keyOf(value))
    if (gradient === undefined) {
      throw wrong(`the loss does not depend on ${nameOf(value)}`)
    }
    return gradient
  })
}

interface Walk {
  readonly gradients: Map<unknown, Value>
  readonly isOnPath: ReadonlySet<unknown>
  readonly targets: ReadonlySet<unknown>
  readonly rebuild: (value: Value) => Value
}

function addInputGradients(node: Node, { gradients, isOnPath, targets, rebuild }: Walk): void {
  const outputs = node.outputs.map((_, output) => resultOf(node, output))
  outputs.forEach((result, output) => {
    if (output > 0 && gradients.has(keyOf(result))) {
      throw wrong(`only the first result of ${node.op} has a gradient`)
    }
  })
  const g = gradients.get(keyOf(outputs[0] as Value))
  if (g === undefined) return
  const needs = (i: number): boolean => {
    const value = node.inputs[i]
    return value !== undefined && isSmooth(value) && rests(value, targets, isOnPath)
  }
  const found = applyRule(node, {
    inputs: node.inputs.map(value => value && rebuild(value)),
    outputs: outputs.map(rebuild),
    g,
    needs,
  })
  found.forEach((gradient, i) => {
    const value = node.inputs[i]
    if (gradient === undefined || value === undefined) return
    const own = unbroadcast(gradient, value.shape)
    const before = gradients.get(keyOf(value))
    gradients.set(keyOf(value), before === undefined ? own : Add(before, own))
  })
}

function applyRule(
  node: Node,
  context: Omit<Parameters<VjpRule>[0], 'attributes'>,
): readonly (Value | undefined)[] {
  const rule: VjpRule | null = VJP[node.op]
  const given = node.inputs.map(one => (one ? describe(one) : '(none)')).join(', ')
  if (rule === null) throw wrong(`${node.op}(${given}) has no gradient`)
  try {
    return rule({ ...context, attributes: node.attributes })
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw wrong(`${node.op}(${given}) has no gradient here: ${why}`, cause)
  }
}

/**
 * Nodes that a value rests on, each after its inputs; what is known already, and all behind it, is left out. Iterative: a graph
 * may be deep.
 */
function nodesBehind(value: Value, isKnown: (value: Result) => boolean = () => false): Node[] {
  const order: Node[] = []
  const seen = new Set<Node>()
  const stack: { node: Node; isDone: boolean }[] = []
  const push = (one: Value | undefined): void => {
    if (one?.kind === 'result' && !seen.has(one.node) && !isKnown(one)) {
      stack.push({ node: one.node, isDone: false })
    }
  }
  push(value)
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    const { node, isDone } = next
    if (isDone) order.push(node)
    else if (!seen.has(node)) {
      seen.add(node)
      stack.push({ node, isDone: true })
      node.inputs.toReversed().forEach(push)
    }
  }
  return order
}

/** Nodes that rest on a target, over floating-point values only. */
function dependsOn(nodes: readonly Node[], targets: ReadonlySet<unknown>): ReadonlySet<unknown> {
  const found = new Set<unknown>()
  for (const node of nodes) {
    const isOnPath = node.inputs.some(
      value => value && isSmooth(value) && rests(value, targets, found),
    )
    if (isOnPath && node.outputs.some(isSmooth)) found.add(node)
  }
  return found
}

function rests(value: Value, targets: ReadonlySet<unknown>, nodes: ReadonlySet<unknown>): boolean {
  return targets.has(keyOf(value)) || nodes.has(sourceOf(value))
}

/** Whole numbers and conditions have no gradient, even as the second result of a node that has one. */
function isSmooth({ dtype }: TensorType): boolean {
  return dtype.startsWith('float')
}

/** A function that gives a value from kept ones: its nodes once more, so that nothing in between has to be remembered. */
function recomputing(keep: readonly Value[]): (value: Value) => Value {
  const known = new Map<unknown, Value>(keep.map(value => [keyOf(value), value]))
  const again = new Map<Node, Node>()
  const isBuilt = (value: Result) => known.has(keyOf(value)) || again.has(value.node)
  const mapped = (value: Value): Value => {
    if (value.kind !== 'result') return value
    const kept = known.get(keyOf(value))
    if (kept !== undefined) return kept
    const node = again.get(value.node)
    return node === undefined ? value : resultOf(node, value.output)
  }
  return value => {
    if (value.kind !== 'result' || known.has(keyOf(value))) return value
    for (const node of nodesBehind(value, isBuilt)) {
      const inputs = node.inputs.map(one => one && mapped(one))
      again.set(node, Object.freeze({ ...node, inputs }))
    }
    return mapped(value)
  }
}

/** Values are compared by what they stand for: one result of a node may be several objects. */
const resultKeys = new WeakMap<Node, object[]>()

function keyOf(value: Value): unknown {
  if (value.kind !== 'result') return value
  let keys = resultKeys.get(value.node)
  if (keys === undefined) {
    keys = value.node.outputs.map(() => ({}))
    resultKeys.set(value.node, keys)
  }
  return keys[value.output]
}

function sourceOf(value: Value): unknown {
  return value.kind === 'result' ? value.node : value
}

function resultOf(node: Node, output: number): Result {
  const type = node.outputs[output]
  return Object.freeze({ kind: 'result', ...(type as NonNullable<typeof type>), node, output })
}

function nameOf(value: Value): string {
  return value.kind === 'result'
    ? `a result of ${value.node.op} (${describe(value)})`
    : `${(value as Input).name} (${describe(value)})`
}

function wrong(what: string, cause?: unknown): UnderstudyError {
  return new UnderstudyError('bug', `This graph cannot be differentiated: ${what}`, {
    help: 'Take the gradient of a scalar, over floating-point operators, with respect to what it depends on.',
    ...(cause === undefined ? {} : { cause }),
  })
}
