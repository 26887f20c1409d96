import { expect, it } from 'vitest'
import { createRng } from '../../util/index.ts'
import { dropTokens } from './token-dropout.ts'

/** Rows of 100, 2 and 1 tokens, and one of none, in 102 columns. */
function masked(share: number, seed = 'a'): bigint[][] {
  const length = 102
  const rows = [100, 2, 1, 0].map(count =>
    Array.from({ length }, (_, at) => BigInt(Number(at < count))),
  )
  const mask = BigInt64Array.from(rows.flat())
  dropTokens(mask, { length, share, rng: createRng(seed) })
  return rows.map((_, row) => [...mask.subarray(row * length, (row + 1) * length)])
}
const ones = (row: readonly bigint[] | undefined) => row?.filter(bit => bit === 1n).length

it('drops its share of the tokens between the first and the last, and pads stay pads', () => {
  const [long, two, one, none] = masked(0.3)
  expect([long?.[0], long?.[99], ones(long?.slice(100))]).toEqual([1n, 1n, 0])
  // 98 tokens at 0.7; four standard deviations.
  expect(Math.abs((ones(long) as number) - 2 - 68.6)).toBeLessThan(18)
  expect([ones(two), ones(one), ones(none)]).toEqual([2, 1, 0])
  expect(masked(0.3)).toEqual([long, two, one, none])
  expect(masked(0.3, 'b')).not.toEqual([long, two, one, none])
})

it('drops none at 0', () => {
  expect(masked(0).map(ones)).toEqual([100, 2, 1, 0])
})
