import { describe, expect, it } from 'vitest'
import { toyTokenizer } from './__fixtures__/toy-bert.ts'
import { createTokenizer } from './tokenizer.ts'

const CLS = 2
const SEP = 3
const UNK = 1
const tokenizer = createTokenizer({ tokenizer: toyTokenizer(), maxTokens: 8 })
const inner = (text: string, maxTokens = 8) =>
  createTokenizer({ tokenizer: toyTokenizer(), maxTokens }).encode(text).slice(1, -1)

describe('the tokenizer', () => {
  it('puts special tokens around a text, also an empty one', () => {
    expect(tokenizer.encode('')).toEqual([CLS, SEP])
    expect(tokenizer.encode(' \n\t ')).toEqual([CLS, SEP])
    const [first, ...rest] = tokenizer.encode('hello')
    expect([first, rest.at(-1), rest.length]).toEqual([CLS, SEP, 2])
    expect(tokenizer.padId).toBe(0)
  })

  it('cuts to the longest sequence and keeps the last special token', () => {
    const ids = tokenizer.encode('hello '.repeat(100))
    expect(ids).toHaveLength(8)
    expect(ids.at(-1)).toBe(SEP)
    expect(new Set(ids.slice(1, -1)).size).toBe(1)
  })

  it.each([
    ['lone surrogates', '\ud800 hello \udfff'],
    ['emoji of several parts', '👨‍👩‍👧‍👦 hello'],
    ['ideographs', '你好'],
    ['control characters', '\u0000\u0007hello\ufffd'],
    ['names of objects', '__proto__ constructor toString'],
    ['special tokens in the text', '[CLS] [SEP] [PAD]'],
  ])('encodes %s as numbers of the vocabulary', (_what, text) => {
    for (const id of tokenizer.encode(text)) {
      expect(Number.isInteger(id) && id >= 0 && id < 12).toBe(true)
    }
  })

  it('gives the same for a long text as for its beginning', () => {
    const words = Array.from({ length: 20_000 }, (_, i) => (i % 3 === 0 ? 'hello' : 'worlds')).join(
      ' ',
    )
    expect(inner(words, 200)).toEqual(inner(words.slice(0, 4000), 200))
    expect(inner(words, 200)).toHaveLength(198)
  })

  it('finds words behind much white space, and behind words that are one token each', () => {
    expect(inner(`${' '.repeat(20_000)}hello`)).toEqual(inner('hello'))
    expect(inner(`${'x'.repeat(150)} hello`)).toEqual([UNK, ...inner('hello')])
  })

  it('reads no more of a text than it needs', () => {
    const long = 'hello '.repeat(3_000_000)
    expect(tokenizer.encode(long)).toHaveLength(8)
    expect(inner(`${' '.repeat(10_000_000)}hello`)).toEqual([])
  })

  it.each([
    ['no JSON', '{', undefined],
    ['a list', '[]', undefined],
    ['null', 'null', undefined],
    ['no model', '{}', undefined],
    ['an unknown model', '{"model":{"type":"Nothing","vocab":{}}}', undefined],
    ['a configuration that is no JSON', toyTokenizer(), '{'],
  ])('refuses a file with %s', (_what, json, config) => {
    expect(() => createTokenizer({ tokenizer: json, config, maxTokens: 8 })).toThrow(
      expect.objectContaining({ code: 'model-corrupt' }),
    )
  })

  it('refuses a limit that leaves no room for text', () => {
    expect(() => createTokenizer({ tokenizer: toyTokenizer(), maxTokens: 2 })).toThrow(/no room/)
  })
})
