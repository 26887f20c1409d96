/** The `model` of a JSON body: found where a parser finds it, and replaced without touching another byte. */
import { expect, it } from 'vitest'
import { modelIn, modelsIn, withModel } from './model-field.ts'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const text = (body: Uint8Array): string => new TextDecoder().decode(body)

it.each([
  ['{"model":"a","n":1}', 'a'],
  ['{"n":1.0,"x":{"model":"inner"},"model" : "a"}', 'a'],
  ['{"m":"\\"model\\":\\"no\\"","model":"a"}', 'a'],
  ['{"messages":[{"model":"inner"}],"model":"Ünï/코드"}', 'Ünï/코드'],
  ['{"mod\\u0065l":"a"}', 'a'],
  ['{"model":"a","model":"b"}', 'b'],
  ['{"a":"model","b":"no"}', null],
  ['{"model":5}', null],
  ['[{"model":"a"}]', null],
  ['"model"', null],
  ['', null],
  ['{"model":"a', null],
  ['--boundary\r\ncontent-disposition: form-data; name="model"\r\n\r\nwhisper', null],
])('of %s is %s', (body, model) => {
  expect(modelIn(bytes(body))).toBe(model)
})

it('is replaced in place; numbers, order, spaces and foreign letters stay as they were written', () => {
  const body =
    '{ "seed": 12345678901234567890, "t": 1.0,\n"model":"a" ,"messages":[{"model":"ä\\u00e4"}]}'
  expect(text(withModel(bytes(body), 'b"ü'))).toBe(body.replace('"a"', '"b\\"ü"'))
})

it('is replaced everywhere at the top, so that no reader sees the old one', () => {
  const replaced = text(withModel(bytes('{"model":"a","mod\\u0065l":"b"}'), 'c'))
  expect(replaced).toBe('{"model":"c","mod\\u0065l":"c"}')
})

it('is each of those that some reader takes, however it is written', () => {
  const body = `{"model"${' '.repeat(2000)}:\n"a","Model":"b","MOD\\u0045L":"c","model":"d","x":{"model":"e"}}`
  expect(modelsIn(bytes(body))).toEqual(['a', 'b', 'c', 'd'])
  expect(modelIn(bytes(body))).toBe('d')
})

it('takes linear time on what is made to be slow', () => {
  const hostile = bytes(`{"a":"${'\\'.repeat(2_000_000)}`)
  expect(modelIn(hostile)).toBeNull()
  expect(modelIn(bytes(`{"model"${' '.repeat(1_000_000)}:"a"}`))).toBe('a')
})
