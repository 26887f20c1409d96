import { expect, test } from 'vitest'
import { estimateUsage, fitUsage } from './usage.ts'

test('recovers an exact line for the prompt and the median for each answer', () => {
  const observations = [10, 20, 40, 80].map((characterCount, i) => ({
    characterCount,
    output: i % 2 === 0 ? 'a' : 'b',
    usage: { promptTokens: 50 + characterCount / 2, completionTokens: i % 2 === 0 ? 3 : 7 },
  }))
  const model = fitUsage(observations)
  expect(estimateUsage(model, 100, 'a')).toEqual({ promptTokens: 100, completionTokens: 3 })
  expect(estimateUsage(model, 100, 'b').completionTokens).toBe(7)
})

test('without observations, or with one, counts are still positive whole numbers', () => {
  expect(estimateUsage(fitUsage([]), 0, 'toString')).toEqual({
    promptTokens: 1,
    completionTokens: 1,
  })
  const one = fitUsage([
    { characterCount: 5, output: 'a', usage: { promptTokens: 9, completionTokens: 2 } },
  ])
  expect(estimateUsage(one, 500, 'unseen')).toEqual({ promptTokens: 9, completionTokens: 2 })
})
