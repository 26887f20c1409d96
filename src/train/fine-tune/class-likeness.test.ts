import { expect, it } from 'vitest'
import { alikeFirst } from './class-likeness.ts'

it('names the others by the cosine of their weights, whatever their length', () => {
  // Two dimensions, four classes: east, north-east, west, north.
  const weights = Float32Array.from([1, 3, -2, 0, 0, 2.9, 0, 5])
  expect(alikeFirst(weights, 4)).toEqual([
    [1, 3, 2],
    [0, 3, 2],
    [3, 1, 0],
    [1, 0, 2],
  ])
})

it('leaves very many classes, and weights of nothing, as they are', () => {
  expect(alikeFirst(new Float32Array(2 * 1001), 1001)).toEqual([])
  expect(alikeFirst(new Float32Array(4), 2)).toEqual([[1], [0]])
})
