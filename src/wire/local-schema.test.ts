import { describe, expect, it } from 'vitest'
import { grammarSchema } from './local-schema.ts'

describe('grammarSchema', () => {
  it('keeps what the grammar knows and drops what says nothing about validity', () => {
    expect(
      grammarSchema(
        {
          $schema: 'https://json-schema.org/draft/2020-12/schema',
          title: 'Place',
          type: 'object',
          properties: {
            city: { type: 'string', maxLength: 9, description: 'Where' },
            day: { type: 'string', format: 'date' },
            mood: { enum: ['good', 'bad'] },
            kind: { const: 'place' },
            tags: { type: 'array', items: { type: 'string' }, minItems: 1, maxItems: 3 },
          },
          required: ['city'],
          additionalProperties: false,
        },
        true,
      ),
    ).toEqual({
      type: 'object',
      properties: {
        city: { type: 'string', maxLength: 9, description: 'Where' },
        day: { type: 'string', format: 'date' },
        mood: { enum: ['good', 'bad'] },
        kind: { enum: ['place'] },
        tags: { type: 'array', items: { type: 'string' }, minItems: 1, maxItems: 3 },
      },
    })
  })

  it('turns anyOf and lists of types into alternatives, each with its own constraints', () => {
    expect(grammarSchema({ anyOf: [{ type: 'null' }, { type: 'number' }] }, true)).toEqual({
      oneOf: [{ type: 'null' }, { type: 'number' }],
    })
    expect(
      grammarSchema({ type: ['object', 'null'], properties: { a: { type: 'integer' } } }, true),
    ).toEqual({
      oneOf: [{ type: 'object', properties: { a: { type: 'integer' } } }, { type: 'null' }],
    })
  })

  it('resolves references of both spellings, recursive ones too', () => {
    expect(
      grammarSchema(
        {
          definitions: {
            node: { type: 'object', properties: { next: { $ref: '#/definitions/node' } } },
          },
          $ref: '#/definitions/node',
        },
        true,
      ),
    ).toEqual({
      $defs: { node: { type: 'object', properties: { next: { $ref: '#/$defs/node' } } } },
      $ref: '#/$defs/node',
    })
  })

  it('never lets "anything" become "nothing": an open schema allows every plain value', () => {
    for (const open of [{}, true, { description: 'x' }]) {
      expect(JSON.stringify(grammarSchema(open, false))).toContain('"string"')
    }
    expect(grammarSchema({ type: 'object' }, false)).toMatchObject({
      type: 'object',
      additionalProperties: { oneOf: expect.any(Array) },
    })
  })

  it('refuses a keyword that it cannot enforce when strict, and leaves it out otherwise', () => {
    const schema = { type: 'string', pattern: '^a+$' }
    expect(() => grammarSchema(schema, true)).toThrow(/'pattern'/)
    expect(grammarSchema(schema, false)).toEqual({ type: 'string' })
    expect(() => grammarSchema({ allOf: [{ type: 'string' }] }, true)).toThrow(/'allOf'/)
  })

  it.each([
    ['a dangling reference', { $ref: '#/$defs/none' }],
    ['a reference elsewhere', { $ref: 'https://example.com/x' }],
    ['an unknown type', { type: 'date' }],
    ['objects in an enum', { enum: [{ a: 1 }] }],
    ['an empty enum', { enum: [] }],
    ['a text instead of a schema', 'string'],
    ['false', false],
    ['a number of parts beyond reason', { anyOf: Array.from({ length: 5000 }, () => ({})) }],
  ])('refuses %s', (_name, schema) => {
    expect(() => grammarSchema(schema, false)).toThrow(/The schema at/)
  })

  it('does not follow names of the prototype', () => {
    expect(() => grammarSchema({ $defs: {}, $ref: '#/$defs/constructor' }, false)).toThrow(
      /refers to/,
    )
  })
})
