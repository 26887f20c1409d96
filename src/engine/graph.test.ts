import { expect, it } from 'vitest'
import { describe as describeValue, input, int64, scalar } from './graph.ts'

it('describes a value as errors print it', () => {
  expect(describeValue(input('x', 'float32', ['batch', 384]))).toBe('[batch, 384] float32')
  expect(describeValue(scalar(1))).toBe('[] float32')
  expect(int64(1, -2).data).toEqual(BigInt64Array.of(1n, -2n))
})
