import { expect, it } from 'vitest'
import { labelNameRows } from './label-names.ts'

it.each([
  ['card_arrival', 'card arrival'],
  ['Get physical-card', 'Get physical card'],
  ['cardArrival', 'card Arrival'],
  ['billing/refund.late', 'billing refund late'],
  ['HTTPError', 'HTTPError'],
  ['größe_ändern', 'größe ändern'],
])('reads the words of %s', (label, text) => {
  expect(labelNameRows([label])).toEqual([{ label, text }])
})

it('leaves out what holds no word', () => {
  expect(labelNameRows(['0', '17', 'A1', '__', '', 'no', '-1'])).toEqual([])
})
