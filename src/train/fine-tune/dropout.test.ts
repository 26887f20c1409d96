import { expect, it } from 'vitest'
import { createRng } from '../../util/index.ts'
import { dropoutMask } from './dropout.ts'

it('drops the share it is told, keeps the mean, and repeats itself', () => {
  const mask = dropoutMask(400_003, 0.1, createRng('a'))
  const dropped = mask.filter(value => value === 0).length / mask.length
  // 26 of 256 levels; six standard deviations.
  expect(Math.abs(dropped - 26 / 256)).toBeLessThan(0.003)
  expect(Math.abs(mask.reduce((sum, value) => sum + value, 0) / mask.length - 1)).toBeLessThan(
    0.004,
  )
  expect(new Set(mask).size).toBe(2)
  const isSame = (seed: string) =>
    Buffer.from(dropoutMask(400_003, 0.1, createRng(seed)).buffer).equals(Buffer.from(mask.buffer))
  expect(isSame('a')).toBe(true)
  expect(isSame('b')).toBe(false)
})

it('does not repeat a pattern from column to column or from row to row', () => {
  const width = 384
  const mask = dropoutMask(width * 500, 0.25, createRng('c'))
  const agree = (distance: number) => {
    let count = 0
    for (let at = 0; at < mask.length - distance; at++) {
      if (mask[at] === mask[at + distance]) count++
    }
    return count / (mask.length - distance)
  }
  // Independent draws agree with probability 0.75² + 0.25².
  for (const distance of [1, 2, 3, 4, 8, width]) {
    expect(Math.abs(agree(distance) - 0.625)).toBeLessThan(0.008)
  }
})
