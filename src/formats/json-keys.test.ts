import { expect, it } from 'vitest'
import { duplicateKey } from './json-keys.ts'

it.each([
  ['{"a":1,"b":{"a":2},"c":[{"a":1},{"a":2}]}', undefined],
  ['{"a":"a","b":"a"}', undefined],
  ['{"a\\"":1,"a":2,"x":"{\\"a\\":1"}', undefined],
  ['{"a":1,"b":2,"a" : 3}', 'a'],
  ['{"x":[{"k":1,"\\u006b":2}]}', 'k'],
  ['[]', undefined],
])('of %s the key named twice is %s', (json, expected) => {
  JSON.parse(json)
  expect(duplicateKey(json)).toBe(expected)
})

it('takes a key of five million escapes as it takes any other, and deep nesting too', () => {
  const key = '\\u0061'.repeat(5_000_000)
  const deep = '['.repeat(1e5) + ']'.repeat(1e5)
  expect(duplicateKey(`{"x":${deep},"${key}":1,"a":1,"a":2}`)).toBe('a')
})
