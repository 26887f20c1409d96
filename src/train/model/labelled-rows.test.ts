import { expect, it } from 'vitest'
import { checkLabelledRows } from './labelled-rows.ts'

it('says what becomes of spans that overlap', () => {
  const row = (...ends: [number, number][]) => ({
    text: 'a b c d',
    spans: ends.map(([start, end]) => ({ start, end, label: 'x' })),
  })
  const apart = row([0, 1], [2, 3])
  expect(checkLabelledRows('spans', [apart, row([2, 3], [0, 2])]).notices).toEqual([])
  expect(checkLabelledRows('spans', [apart, row([4, 5], [0, 3], [2, 5])]).notices).toEqual([
    expect.stringContaining('1 of 2 rows have spans that overlap'),
  ])
})
