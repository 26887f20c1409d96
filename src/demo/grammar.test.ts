import { describe, expect, it } from 'vitest'
import { createRng } from '../util/index.ts'
import { expand, pickWeighted, zipfWeights } from './grammar.ts'

const lists = { fruit: ['apple', 'pear'], basket: ['{#2-9} {fruit}s'] }

describe('expand', () => {
  it('expands nested alternatives, lists, ranges and digits', () => {
    for (let seed = 0; seed < 50; seed++) {
      const text = expand('{buy|sell} {basket|a {fruit}} {digits3}', lists, createRng(seed))
      expect(text).toMatch(/^(buy|sell) ([2-9] (apple|pear)s|a (apple|pear)) \d{3}$/)
    }
  })

  it('leaves no gap where an optional part is empty', () => {
    const texts = new Set(
      Array.from({ length: 20 }, (_, seed) => expand('go {now|} !', lists, createRng(seed))),
    )
    expect(texts).toEqual(new Set(['go now!', 'go!']))
  })

  it('names the list that does not exist', () => {
    expect(() => expand('{vegetable}', lists, createRng(1))).toThrow('vegetable')
  })
})

it('draws the first rank most often, as Zipf says', () => {
  const weights = zipfWeights(4, 1)
  expect(weights.reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(1, 12)
  const rng = createRng(3)
  const counts = [0, 0, 0, 0]
  for (let i = 0; i < 4000; i++) counts[pickWeighted(weights, rng)]! += 1
  // 1 : 1/2 : 1/3 : 1/4 of 4,000 draws is 1920, 960, 640, 480; 5 standard deviations are about 150.
  counts.forEach((count, rank) => {
    expect(Math.abs(count - 1920 / (rank + 1))).toBeLessThan(150)
  })
})
