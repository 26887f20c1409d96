import { describe, expect, it } from 'vitest'
import { constant, type Input, input, scalar, type Value } from './graph.ts'
import * as ops from './ops.ts'
import { evaluate } from './reference.ts'
import { erf } from './reference-elementwise.ts'
import type { NumericTensor } from './reference-tensor.ts'

const tensor = (dims: number[], ...values: number[]): NumericTensor => ({
  dims,
  data: Float64Array.from(values),
})
const x = input('x', 'float32', ['batch', 2])
const valuesOf = (value: Value, feeds: [Input, NumericTensor][] = []) =>
  Array.from(evaluate([value], new Map(feeds))[0]?.data ?? [])

describe('the reference', () => {
  it('gives several outputs in their order, an input and a constant among them', () => {
    const found = evaluate([ops.Neg(x), x, scalar(3)], new Map([[x, tensor([1, 2], 5, 6)]]))
    expect(found).toEqual([tensor([1, 2], -5, -6), tensor([1, 2], 5, 6), tensor([], 3)])
  })

  // Values of the C library's erf, by Python's math.erf.
  it.each([
    [0, 0],
    [1e-9, 1.1283791670955127e-9],
    [0.5, 0.5204998778130465],
    [-1, -0.8427007929497149],
    [2, 0.9953222650189527],
    [3.5, 0.9999992569016276],
    [7, 1],
  ])('knows erf(%d) to double precision', (at, wanted) => {
    // Eight units in the last place: the sum has some forty terms.
    expect(Math.abs(erf(at) - wanted)).toBeLessThanOrEqual(8 * 2 ** -53 * Math.abs(wanted))
  })

  it('reads constants of every type', () => {
    const halves = Uint16Array.of(0x3c00, 0xc100, 0x0001, 0x7c00)
    expect(valuesOf(constant('h', 'float16', halves, [4]))).toEqual([1, -2.5, 2 ** -24, Infinity])
    const packed = Uint8Array.of(0x1f, 0x08)
    expect(valuesOf(constant('i', 'int4', packed, [3]))).toEqual([-1, 1, -8])
    expect(valuesOf(constant('u', 'uint4', packed, [3]))).toEqual([15, 1, 8])
    expect(valuesOf(constant('b', 'int8', Int8Array.of(-3, 7), [2]))).toEqual([-3, 7])
    expect(valuesOf(constant('l', 'int64', BigInt64Array.of(-3n, 7n), [2]))).toEqual([-3, 7])
  })

  it('cuts what becomes a whole number', () => {
    const fed: [Input, NumericTensor][] = [[x, tensor([1, 2], -1.9, 1.9)]]
    expect(valuesOf(ops.Cast(x, 'int64'), fed)).toEqual([-1, 1])
  })

  it('holds a graph to its inferred shapes', () => {
    const run = (...dims: number[]) => evaluate([x], new Map([[x, tensor(dims, 1, 2, 3, 4)]]))
    expect(() => run(2, 2)).not.toThrow()
    expect(() => run(1, 4)).toThrow('x is [1, 4], which is not [batch, 2] float32')
    expect(() => run(4)).toThrow('x is [4], which is not [batch, 2] float32')
    const y = input('y', 'float32', ['batch', 2])
    const feeds = new Map([
      [x, tensor([2, 2], 1, 2, 3, 4)],
      [y, tensor([1, 2], 1, 2)],
    ])
    expect(() => evaluate([ops.Add(x, y)], feeds)).toThrow('which is not [batch, 2] float32')
  })

  it('says what is missing or outside', () => {
    expect(() => evaluate([ops.Neg(x)], new Map())).toThrow('needs the input x, which is not fed')
    const at = constant('at', 'int64', BigInt64Array.of(2n), [1])
    expect(() => valuesOf(ops.Gather(x, at, 1), [[x, tensor([1, 2], 1, 2)]])).toThrow(
      'index 2 is outside 2',
    )
  })
})
