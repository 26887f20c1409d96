import { expect, it } from 'vitest'
import { createRng } from '../util/index.ts'
import { batchByLength, padBatch } from './encoder-batches.ts'

it('puts every text into one batch of like lengths, within the budget', () => {
  const rng = createRng(7)
  const lengths = Array.from({ length: 500 }, () => 2 + rng.int(255))
  const batches = batchByLength(lengths, { tokenBudget: 512, maxBatch: 16 })
  expect(batches.flat().sort((a, b) => a - b)).toEqual([...lengths.keys()])
  let previous = Number.POSITIVE_INFINITY
  for (const batch of batches) {
    const here = batch.map(row => lengths[row] as number)
    expect(batch.length).toBeLessThanOrEqual(16)
    expect(batch.length * Math.max(...here)).toBeLessThanOrEqual(512)
    expect(Math.max(...here)).toBeLessThanOrEqual(previous)
    previous = Math.min(...here)
  }
})

it('gives a text longer than the budget a batch of its own', () => {
  expect(batchByLength([300, 2], { tokenBudget: 256, maxBatch: 8 })).toEqual([[0], [1]])
  expect(batchByLength([], { tokenBudget: 256, maxBatch: 8 })).toEqual([])
})

it('pads on the right and masks what was padded', () => {
  const { ids, mask } = padBatch([[5, 6, 7], [8], []], 9)
  expect(ids.dims).toEqual([3, 3])
  expect([...ids.data].map(Number)).toEqual([5, 6, 7, 8, 9, 9, 9, 9, 9])
  expect([...mask.data].map(Number)).toEqual([1, 1, 1, 1, 0, 0, 0, 0, 0])
})
