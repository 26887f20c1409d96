import { expect, it } from 'vitest'
import { bytes, dollars, milliseconds, percent, plain, plural, whole } from './format.ts'

it('writes shares with as many digits as they deserve', () => {
  expect([0.05, 0.913, 1, 0, 0.0052, 0.1].map(percent)).toEqual([
    '5 %',
    '91.3 %',
    '100 %',
    '0 %',
    '0.52 %',
    '10 %',
  ])
})

it('writes counts, durations, money and sizes for people', () => {
  expect(whole(1234567.4)).toBe('1,234,567')
  expect([plural(1, 'answer'), plural(0, 'answer')]).toEqual(['1 answer', '0 answers'])
  expect([0.083, 3.14, 790.4, 1420].map(milliseconds)).toEqual([
    '0.08 ms',
    '3.1 ms',
    '790 ms',
    '1.42 s',
  ])
  expect([0, 0.00983, 0.1, 12.345].map(dollars)).toEqual(['$0', '$0.0098', '$0.10', '$12.35'])
  expect([12, 8200, 1_310_720].map(bytes)).toEqual(['12 B', '8 kB', '1.3 MB'])
})

it('takes control and direction characters out of what others wrote', () => {
  expect(plain('a\u001b[31m\u202e b\n\nc')).toBe('a [31m b c')
})
