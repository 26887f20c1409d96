import { describe, expect, it } from 'vitest'
import { isUnderstudyError } from '../errors.ts'
import { type Dim, float32, input, int64, scalar } from './graph.ts'
import { OPERATORS } from './operators.ts'
import * as ops from './ops.ts'

const x = (...shape: Dim[]) => input('x', 'float32', shape)
const ids = (...shape: Dim[]) => input('ids', 'int64', shape)

describe('operators', () => {
  it('have one function each, named as the operator', () => {
    expect(Object.keys(ops).sort()).toEqual(Object.keys(OPERATORS).sort())
  })

  it.each([
    ['names broadcast with 1', ops.Add(x('batch', 1, 4), x('length', 1)), ['batch', 'length', 4]],
    ['products keep outer names', ops.MatMul(x('b', 'l', 4), x(4, 2)), ['b', 'l', 2]],
    [
      'factors may be transposed',
      ops.Gemm(x(4, 'b'), x(3, 4), x(3), { transA: true, transB: true }),
      ['b', 3],
    ],
    [
      '0 keeps a size, −1 is the rest',
      ops.Reshape(x('b', 'l', 12), [0, 0, 3, -1]),
      ['b', 'l', 3, 4],
    ],
    ['names that are merged are multiplied', ops.Reshape(x('b', 'l', 4), [-1, 4]), ['b*l', 4]],
    ['and numbers with them', ops.Reshape(x('b', 6, 4), [-1, 8]), ['3*b', 8]],
    [
      'reshape takes sizes of another value',
      ops.Reshape(x('b*l', 4), ops.Concat([ops.Shape(ids('b', 'l')), int64(4)], 0)),
      ['b', 'l', 4],
    ],
    ['reduction keeps 1', ops.ReduceSum(x('b', 3), [-1]), ['b', 1]],
    ['or drops the axis', ops.ReduceMean(x('b', 3), [0], { keep: false }), [3]],
    ['or reduces all', ops.ReduceMax(x('b', 3), undefined, { keep: false }), []],
    ['rows are gathered by name', ops.Gather(x(100, 8), ids('b', 'l')), ['b', 'l', 8]],
    [
      'a slice ends where Shape says',
      ops.Slice(x(512, 8), { axis: 0, end: ops.Shape(ids('b', 'l'), 1, 2) }),
      ['l', 8],
    ],
    ['a slice counts from the end', ops.Slice(x(5), { axis: 0, start: -3, end: -1 }), [2]],
    ['a slice stays in bounds', ops.Slice(x(5), { axis: 0, start: 3, end: 100 }), [2]],
    [
      'axes are put in and taken out',
      ops.Squeeze(ops.Unsqueeze(x('b', 'l'), [1, -1]), [1]),
      ['b', 'l', 1],
    ],
    ['axes are exchanged', ops.Transpose(x('b', 2, 3), [2, 0, 1]), [3, 'b', 2]],
    ['the largest k are kept', ops.TopK(x('b', 9), 4).indices, ['b', 4]],
    ['parts are joined', ops.Concat([x('b', 2), x('b', 3)], -1), ['b', 5]],
    ['a value is expanded', ops.Expand(x(1, 3), ops.Shape(x('b', 3))), ['b', 3]],
  ] as const)('infer shapes: %s', (_what, value, shape) => {
    expect(value.shape).toEqual(shape)
  })

  it('infer types', () => {
    expect(ops.Equal(ids(2), ids(2)).dtype).toBe('bool')
    expect(ops.Cast(ids(2), 'float32').dtype).toBe('float32')
    expect(ops.ArgMax(x(2, 3), 1).dtype).toBe('int64')
    expect(ops.Where(ops.Less(x(2), scalar(0)), x(2), scalar(1)).dtype).toBe('float32')
  })

  it.each([
    ['Add([2] float32, [3] float32): sizes 2 and 3', () => ops.Add(x(2), x(3))],
    ['Add([batch] float32, [length] float32): sizes', () => ops.Add(x('batch'), x('length'))],
    ['Add([2] float32, [2] int64): types differ', () => ops.Add(x(2), ids(2))],
    ['MatMul([2, 3] float32, [4, 5] float32): sizes 3 and 4', () => ops.MatMul(x(2, 3), x(4, 5))],
    ['MatMul([3] float32', () => ops.MatMul(x(3), x(3, 4))],
    ['Gemm([2, 3, 4] float32', () => ops.Gemm(x(2, 3, 4), x(4, 5))],
    ['Gemm([2, 3] float32, [3, 4] float32, [5] float32)', () => ops.Gemm(x(2, 3), x(3, 4), x(5))],
    ['Reshape([b, 4] float32, [2] int64)', () => ops.Reshape(x('b', 4), [3, 3])],
    ['Reshape([5] float32, [2] int64): [5] is not a multiple', () => ops.Reshape(x(5), [2, -1])],
    ['Reshape([4] float32, [2] int64): −1 stands twice', () => ops.Reshape(x(4), [-1, -1])],
    ['Reshape([4] float32, [2] int64): a shape', () => ops.Reshape(x(4), ids(2))],
    ['Softmax([2, 3] float32): axis 2', () => ops.Softmax(x(2, 3), 2)],
    ['Transpose([2, 3] float32): perm [0,0]', () => ops.Transpose(x(2, 3), [0, 0])],
    ['Squeeze([2, 3] float32, [1] int64): sizes 3 and 1', () => ops.Squeeze(x(2, 3), [1])],
    ['Where([2] float32', () => ops.Where(x(2), x(2), x(2))],
    ['Concat([2, 3] float32, [4, 4] float32)', () => ops.Concat([x(2, 3), x(4, 4)], 0)],
    [
      'LayerNormalization([2, 3] float32, [2] float32',
      () => ops.LayerNormalization(x(2, 3), x(2), x(3), 1e-5),
    ],
    ['Relu([2] bool)', () => ops.Relu(input('m', 'bool', [2]))],
    ['Slice([b] float32', () => ops.Slice(x('b'), { axis: 0, start: 1, end: 3 })],
  ] as const)('refuse what does not fit, naming operator and inputs: %s', (message, build) => {
    let thrown: unknown
    try {
      build()
    } catch (error) {
      thrown = error
    }
    expect(isUnderstudyError(thrown) && thrown.code).toBe('bug')
    expect((thrown as Error).message).toContain(message)
  })

  it('make values that cannot be changed', () => {
    const sum = ops.Add(x(2), float32('w', Float32Array.of(1, 2), [2]))
    expect(Object.isFrozen(sum) && Object.isFrozen(sum.node)).toBe(true)
  })
})
