/**
 * Every operator, three ways: results in ONNX Runtime against the reference, gradients against differences of the reference,
 * and both against PyTorch. `operator-cases.ts` has a line per case.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { grad } from '../../src/engine/grad.ts'
import type { Attributes } from '../../src/engine/graph.ts'
import {
  ArgMax,
  Cast,
  Equal,
  emit,
  float32,
  Greater,
  type Input,
  input,
  int64,
  Less,
  Mul,
  OPERATORS,
  type OperatorName,
  ReduceSum,
  RotaryEmbedding,
  Shape,
  Sign,
  scalar,
  type Value,
} from '../../src/engine/index.ts'
import { apply } from '../../src/engine/operators.ts'
import { QUANTIZED_OPERATORS } from '../../src/engine/operators-quantized.ts'
import { evaluate } from '../../src/engine/reference.ts'
import type { NumericTensor } from '../../src/engine/reference-tensor.ts'
import { VJP } from '../../src/engine/vjp.ts'
import { openInProcessRuntime, type Tensor } from '../../src/runtimes/index.ts'
import { expectClose } from './closeness.ts'
import { centralDifferences } from './differences.ts'
import { type Drawn, draw, floats, runtimeTensor, sizeOfDim } from './draws.ts'
import { OPERATOR_CASES, type OperatorCase, operatorOf } from './operator-cases.ts'

/** Single precision has 24 bits, some of which are lost where numbers of unlike size are summed. */
const SINGLE = 3e-6
/** Goldens have 8 digits. */
const EIGHT_DIGITS = 1e-7
/** What a step of 1e-5 leaves, see `differences.ts`. */
const DIFFERENCES = 1e-7

const GOLDENS: Readonly<Record<string, { results: number[][]; gradients?: number[][] }>> =
  JSON.parse(
    readFileSync(join(import.meta.dirname, '../parity/goldens/operators.json'), 'utf8'),
  ).cases

interface Built {
  readonly drawn: readonly Drawn[]
  readonly results: readonly Value[]
  /** Sum of the first result times a cotangent; none where the first result is no float. */
  readonly loss: Value | undefined
  readonly wrt: readonly Input[]
  readonly gradients: readonly Value[]
  readonly feeds: ReadonlyMap<Input, NumericTensor>
}

function build([name, draws, of, { frozen = [] } = {}]: OperatorCase): Built {
  const inputs = draws.map((one, i) => draw(`x${i}`, `${name}/${i}`, one))
  const built = of(...inputs.map(one => one.value))
  const results: readonly Value[] = 'kind' in built ? [built] : built
  const first = results[0] as Value
  const cotangent = draw('cotangent', `${name}/cotangent`, floats(...first.shape))
  const isSmooth = first.dtype === 'float32' && VJP[operatorOf(name)] !== null
  const loss = isSmooth
    ? ReduceSum(Mul(first, cotangent.value), undefined, { keep: false })
    : undefined
  const wrt = inputs.flatMap(({ value }, i) =>
    loss && value.dtype === 'float32' && !frozen.includes(i) ? [value] : [],
  )
  const drawn = loss ? [...inputs, cotangent] : inputs
  const gradients = loss && wrt.length > 0 ? grad(loss, wrt) : []
  const feeds = new Map(drawn.map(({ value, fed }) => [value, fed]))
  return { drawn, results, loss, wrt, gradients, feeds }
}

/** PyTorch's results, then its gradients of the inputs that have one here. */
function goldensOf(name: string, { drawn, wrt }: Built): number[][] {
  const { results, gradients } = GOLDENS[name] ?? { results: [] }
  const smooth = drawn.filter(one => one.value.dtype === 'float32').map(one => one.value)
  return [...results, ...wrt.map(value => gradients?.[smooth.indexOf(value)] as number[])]
}

const runtime = await openInProcessRuntime()
afterAll(() => runtime.close())

async function runInRuntime(name: string, { drawn, results, gradients }: Built): Promise<Tensor[]> {
  const outputs = Object.fromEntries([...results, ...gradients].map((one, i) => [`y${i}`, one]))
  await runtime.load(name, emit(name, { inputs: drawn.map(one => one.value), outputs }))
  const feeds = Object.fromEntries(drawn.map(one => [one.value.name, runtimeTensor(one)]))
  const found = await runtime.run([{ session: name, feeds }])
  await runtime.unload(name)
  return Object.keys(outputs).map(output => found[output] as Tensor)
}

const cases = OPERATOR_CASES.map(row => ({ name: row[0], row }))

describe('operators', () => {
  it.each(cases)('agree with differences and PyTorch: $name', ({ name, row }) => {
    const { kink, tolerance } = row[3] ?? {}
    const built = build(row)
    const { results, loss, wrt, gradients, feeds } = built
    const found = evaluate([...results, ...gradients], feeds)
    const goldens = goldensOf(name, built)
    expect(found).toHaveLength(goldens.length)
    for (const [i, { data }] of found.entries()) {
      expectClose(data, goldens[i] as number[], tolerance?.relative ?? EIGHT_DIGITS)
    }
    if (loss === undefined || kink !== undefined) return
    for (const [i, value] of wrt.entries()) {
      const { data } = found[results.length + i] as NumericTensor
      expectClose(data, centralDifferences(loss, value, feeds), DIFFERENCES)
    }
  })

  it.each(cases)('agree with ONNX Runtime, types included: $name', async ({ name, row }) => {
    const { relative } = row[3]?.tolerance ?? { relative: SINGLE }
    const built = build(row)
    const values = [...built.results, ...built.gradients]
    const wanted = evaluate(values, built.feeds)
    const goldens = goldensOf(name, built)
    for (const [i, { type, dims, data }] of (await runInRuntime(name, built)).entries()) {
      const value = values[i] as Value
      expect([type, dims]).toEqual([value.dtype, value.shape.map(sizeOfDim)])
      const numbers = Array.from(data as ArrayLike<number | bigint>, Number)
      expectClose(numbers, (wanted[i] as NumericTensor).data, relative)
      expectClose(numbers, goldens[i] as number[], relative)
    }
  })

  it('have a case each, and a golden for each case', () => {
    const covered = new Set(OPERATOR_CASES.map(([name]) => operatorOf(name)))
    expect([...covered].sort()).toEqual(Object.keys(OPERATORS).sort())
    expect(OPERATOR_CASES.map(([name]) => name).sort()).toEqual(Object.keys(GOLDENS).sort())
  })
})

describe('operators without a gradient', () => {
  const x = input('x', 'float32', [2, 3])
  const constantRow = float32('row', new Float32Array(3), [3])
  const at = input('at', 'int64', [2, 1])
  const sum = (value: Value) => ReduceSum(Cast(value, 'float32'), undefined, { keep: false })
  const result = (op: OperatorName, inputs: Value[], attributes: Attributes, output = 0) =>
    apply(op, inputs, attributes)[output] as Value

  it('are those of whole numbers, conditions and steps, and those that only serve', () => {
    const without = Object.entries(VJP).filter(
      ([op, rule]) => rule === null && !(op in QUANTIZED_OPERATORS),
    )
    const wanted: OperatorName[] = ['ArgMax', 'Equal', 'Greater', 'Less']
    wanted.push('MultiHeadAttention', 'Shape', 'Sign')
    expect(Object.keys(QUANTIZED_OPERATORS).map(op => VJP[op as OperatorName])).toEqual(
      Object.keys(QUANTIZED_OPERATORS).map(() => null),
    )
    expect(without.map(([op]) => op).sort()).toEqual(wanted)
  })

  it.each([
    ['ArgMax', ArgMax(x, 1), 'the loss does not depend on x ([2, 3] float32)'],
    ['Equal', Equal(x, scalar(0)), 'the loss does not depend on x'],
    ['Greater', Greater(x, scalar(0)), 'the loss does not depend on x'],
    ['Less', Less(x, scalar(0)), 'the loss does not depend on x'],
    ['Shape', Shape(x), 'the loss does not depend on x'],
    ['Cast to integers', Cast(x, 'int64'), 'the loss does not depend on x'],
    ['Sign', Sign(x), 'Sign([2, 3] float32) has no gradient'],
    [
      'the statistics of a norm',
      result('SimplifiedLayerNormalization', [x, constantRow], {}, 1),
      'only the first result of SimplifiedLayerNormalization has a gradient',
    ],
    [
      'the angles of a rotation',
      RotaryEmbedding(input('q', 'float32', [1, 1, 2, 6]), input('p', 'int64', [1, 2]), x, x),
      'has no gradient here: the angles of a rotation',
    ],
    [
      'a slice in steps',
      result('Slice', [x, int64(0), int64(3), int64(1), int64(2)], {}),
      'Slice([2, 3] float32, [1] int64, [1] int64, [1] int64, [1] int64) has no gradient here: a slice in steps',
    ],
    [
      'elements replaced',
      result('ScatterElements', [x, at, x], { axis: 1 }),
      'ScatterElements([2, 3] float32, [2, 1] int64, [2, 3] float32) has no gradient here: the reduction none',
    ],
  ] as const)('say so: %s', (_what, value, message) => {
    expect(() => grad(sum(value), [x])).toThrow(message)
  })
})
