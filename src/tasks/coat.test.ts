import { expect, test } from 'vitest'
import { dress } from './coat.ts'

const label = { kind: 'text', text: 'refund' } as const
const enumOf = (...values: string[]) => ({
  type: 'object',
  properties: { intent: { type: 'string', enum: values } },
})

test('a label stays text, or becomes the one enum of a JSON schema or of a forced tool', () => {
  expect(dress(label, { kind: 'text' })).toEqual(label)
  expect(dress(label, { kind: 'json', schema: enumOf('refund', 'other') })).toEqual({
    kind: 'text',
    text: '{"intent":"refund"}',
  })
  expect(dress(label, { kind: 'tool', name: 'set_intent', parameters: enumOf('refund') })).toEqual({
    kind: 'tool',
    name: 'set_intent',
    argumentsText: '{"intent":"refund"}',
  })
})

test('an answer that already has the shape is left alone', () => {
  const json = { kind: 'text', text: '{"intent": "refund"}' } as const
  const tool = { kind: 'tool', name: 'f', argumentsText: '{}' } as const
  expect(dress(json, { kind: 'json', schema: null })).toBe(json)
  expect(dress(tool, { kind: 'tool', name: 'f', parameters: null })).toBe(tool)
})

test.each([
  ['an enum without the label', { kind: 'json', schema: enumOf('other') }],
  ['two properties', { kind: 'json', schema: { properties: { a: { enum: ['refund'] }, b: {} } } }],
  ['no schema', { kind: 'json', schema: null }],
  ['a schema of junk', { kind: 'tool', name: 'f', parameters: { properties: [null] } }],
] as const)('%s has no place for it', (_name, shape) => {
  expect(dress(label, shape)).toBeNull()
})

test('a tool call never answers a request for text or for another tool', () => {
  const tool = { kind: 'tool', name: 'f', argumentsText: '{}' } as const
  expect(dress(tool, { kind: 'text' })).toBeNull()
  expect(dress(tool, { kind: 'tool', name: 'g', parameters: null })).toBeNull()
})
