/** What `grad` promises of any graph: sums, pruning, depth, recomputation, clear refusals. Rules of operators have tests of their own. */
import { describe, expect, it } from 'vitest'
import { sortNodes } from '../../src/engine/emit.ts'
import {
  Add,
  Cast,
  emit,
  Gather,
  Gelu,
  Gemm,
  grad,
  type Input,
  input,
  MatMul,
  Max,
  Mul,
  type Node,
  ReduceMean,
  ReduceSum,
  ScatterElements,
  Sigmoid,
  Sin,
  Softmax,
  Sub,
  scalar,
  Tanh,
  TopK,
  Transpose,
  type Value,
} from '../../src/engine/index.ts'
import { evaluate } from '../../src/engine/reference.ts'
import type { NumericTensor } from '../../src/engine/reference-tensor.ts'
import { createRng, type Rng } from '../../src/util/index.ts'
import { expectClose } from './closeness.ts'
import { centralDifferences } from './differences.ts'

const vector = (name: string) => input(name, 'float32', [3])
const matrix = (name: string) => input(name, 'float32', [3, 3])
const total = (value: Value) => ReduceSum(value, undefined, { keep: false })
const fed = (...values: number[]): NumericTensor => ({
  dims: [values.length],
  data: Float64Array.from(values),
})
const x = vector('x')
const X = new Map([[x, fed(1, 2, -3)]])

function gradientAt(loss: Value, wrt: Value, feeds: ReadonlyMap<Input, NumericTensor>): number[] {
  return [...(evaluate(grad(loss, [wrt]), feeds)[0] as NumericTensor).data]
}

/** Nodes that the gradients add to those of the loss, counted by operator. */
function backwardNodes(loss: Value, wrt: readonly Value[]): Record<string, number> {
  const forward = new Set<Node>(sortNodes([loss]).nodes)
  const counts: Record<string, number> = {}
  for (const node of sortNodes(grad(loss, wrt)).nodes) {
    if (!forward.has(node)) counts[node.op] = (counts[node.op] ?? 0) + 1
  }
  return counts
}

describe('a gradient', () => {
  it('sums over all uses of a value', () => {
    const square = Mul(x, x)
    const loss = total(Add(Mul(square, x), Add(square, x)))
    // d(x³ + x² + x) = 3x² + 2x + 1
    expect(gradientAt(loss, x, X)).toEqual([6, 17, 22])
  })

  it('is that of a value inside as well, beside what it is made of', () => {
    const square = Mul(x, x)
    const [ofSquare, ofX] = evaluate(grad(total(Mul(square, square)), [square, x]), X)
    expect([...(ofSquare?.data ?? [])]).toEqual([2, 8, 18])
    expect([...(ofX?.data ?? [])]).toEqual([4, 32, -108])
  })

  it('can be differentiated again', () => {
    const cube = total(Mul(x, Mul(x, x)))
    const [first] = grad(cube, [x]) as [Value]
    expect(gradientAt(total(first), x, X)).toEqual([6, 12, -18])
  })

  it('does not go through indices that are taken from what is trained', () => {
    const { values, indices } = TopK(x, 2)
    const picked = Add(Gather(x, indices), Mul(values, values))
    const scattered = ScatterElements(x, indices, values, 0)
    const loss = Add(total(picked), total(scattered))
    // The two largest are 2 and 1: once picked, squared, in their place, and added to it.
    expect(gradientAt(loss, x, X)).toEqual([5, 7, 1])
  })

  it('of the loss itself is 1', () => {
    const loss = total(x)
    expect(gradientAt(loss, loss, X)).toEqual([1])
  })

  it.each(
    Array.from({ length: 40 }, (_, seed) => seed),
  )('is what differences show: random graph %i', seed => {
    const rng = createRng(`grad/${seed}`)
    const inputs = [matrix('a'), matrix('b')]
    const loss = total(randomGraph(rng, inputs))
    const feeds = new Map(inputs.map(one => [one, randomMatrix(rng)]))
    for (const one of inputs) {
      expectClose(gradientAt(loss, one, feeds), centralDifferences(loss, one, feeds), 1e-7)
    }
  })
})

const UNARY = [
  Tanh,
  Sigmoid,
  Sin,
  Softmax,
  Gelu,
  (value: Value) => Transpose(value, [1, 0]),
  (value: Value) => Sub(value, ReduceMean(value, [1])),
  (value: Value) => Mul(value, ReduceSum(value, [0], { keep: false })),
]
const BINARY = [Add, Sub, Mul, Max, MatMul, Gemm]

/** A dozen operators, each on values drawn from those before it, so that many are used more than once. */
function randomGraph(rng: Rng, inputs: readonly Value[]): Value {
  const values = [...inputs]
  for (let i = 0; i < 12; i++) {
    const [a, b] = [rng.pick(values), rng.pick(values)]
    const value = rng.next() < 0.5 ? rng.pick(UNARY)(a) : rng.pick(BINARY)(a, b)
    // Bounded, so that no chain of products grows beyond what differences resolve.
    values.push(Tanh(value))
  }
  return values.reduce((sum, value) => Add(sum, value))
}

function randomMatrix(rng: Rng): NumericTensor {
  return { dims: [3, 3], data: Float64Array.from({ length: 9 }, () => rng.normal()) }
}

describe('pruning', () => {
  const [lower, upper] = [matrix('lower'), matrix('upper')]
  const data = matrix('data')
  const loss = total(Gemm(Tanh(Gemm(data, lower)), upper))

  it('computes nothing for what is frozen below the lowest trained weight', () => {
    expect(backwardNodes(loss, [upper])).toEqual({
      Transpose: 1,
      Unsqueeze: 1,
      Shape: 1,
      Expand: 1,
      Gemm: 1,
    })
  })

  it('computes no gradient of a frozen weight above a trained one', () => {
    // One product to pass the gradient down, one for the weight, and the slope of Tanh.
    expect(backwardNodes(loss, [lower])).toMatchObject({ Gemm: 2, Mul: 2, Sub: 1 })
    expect(backwardNodes(loss, [lower, upper])).toMatchObject({ Gemm: 3, Mul: 2, Sub: 1 })
  })
})

describe('a deep graph', () => {
  const DEPTH = 5000

  it('is differentiated, emitted and evaluated without a deep stack', () => {
    let value: Value = x
    for (let i = 0; i < DEPTH; i++) value = Add(value, x)
    const loss = total(value)
    expect(gradientAt(loss, x, X)).toEqual([DEPTH + 1, DEPTH + 1, DEPTH + 1])
    const bytes = emit('deep', { inputs: [x], outputs: { gradient: grad(loss, [x])[0] as Value } })
    expect(bytes.length).toBeGreaterThan(DEPTH)
  })

  it('is recomputed without a deep stack', () => {
    let value: Value = x
    for (let i = 0; i < DEPTH; i++) value = Sin(value)
    const loss = total(value)
    const [plain] = evaluate(grad(loss, [x]), X)
    const [again] = evaluate(grad(loss, [x], { keep: [loss] }), X)
    expect(again).toEqual(plain)
  })
})

describe('recomputation', () => {
  const stages: Value[] = [x]
  for (let i = 0; i < 4; i++) {
    const last = stages.at(-1) as Value
    stages.push(Tanh(Mul(Sigmoid(last), Add(last, x))))
  }
  const loss = total(stages.at(-1) as Value)
  const keep = [stages[2] as Value]

  it('changes no number', () => {
    expect(evaluate(grad(loss, [x], { keep }), X)).toEqual(evaluate(grad(loss, [x]), X))
  })

  it('reads of the forward pass only what is kept', () => {
    const forward = new Set<Node>(sortNodes([loss]).nodes)
    const read = sortNodes(grad(loss, [x], { keep })).nodes.filter(node => forward.has(node))
    expect(new Set(read)).toEqual(new Set(sortNodes(keep).nodes))
  })
})

describe('a refusal', () => {
  const ids = input('ids', 'int64', [3])

  it.each([
    [
      'what the loss does not depend on',
      total(x),
      vector('y'),
      'does not depend on y ([3] float32)',
    ],
    ['a result beside the loss', total(x), Tanh(x), 'depend on a result of Tanh ([3] float32)'],
    ['whole numbers', total(Cast(ids, 'float32')), ids, 'ids ([3] int64) is not floating-point'],
    ['a loss with dimensions', Tanh(x), x, 'a gradient needs a scalar, not [3] float32'],
    ['a loss of whole numbers', total(Cast(x, 'int64')), x, 'the loss does not depend on x'],
    ['a loss that is constant', scalar(1), x, 'the loss does not depend on x'],
  ])('says what is wrong: %s', (_what, loss, wrt, message) => {
    expect(() => grad(loss, [wrt])).toThrow(message)
  })
})
