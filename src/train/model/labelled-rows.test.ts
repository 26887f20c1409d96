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

it('says where a text has different labels', () => {
  const rows = ['a', 'b', 'a', 'b', 'b'].map((label, i) => ({ text: `t${i >> 1}`, label }))
  expect(checkLabelledRows('label', rows).notices).toEqual([
    expect.stringContaining('2 texts stand there with different labels'),
  ])
  expect(checkLabelledRows('label', rows.slice(2, 4)).notices.join()).toContain('1 text stands')
})
