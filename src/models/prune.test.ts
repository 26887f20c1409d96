import { describe, expect, it } from 'vitest'
import { readSafetensors, writeSafetensors } from '../formats/index.ts'
import { toyConfig, toyTokenizer, toyWeights } from './__fixtures__/toy-bert.ts'
import { parseEncoderConfig } from './encoder-config.ts'
import { readEncoderWeights } from './encoder-weights.ts'
import type { TokenizerFile } from './model-folder.ts'
import {
  keepLayers,
  spreadLayers,
  type TrimmableModel,
  trimmingReport,
  trimVocabulary,
} from './prune.ts'
import { createTokenizer } from './tokenizer.ts'

const config = parseEncoderConfig({ config: JSON.stringify(toyConfig) })
const weights = readEncoderWeights(readSafetensors(writeSafetensors(toyWeights())), config)
const bytes = (value: unknown) =>
  new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value))
const files = (...entries: [TokenizerFile, unknown][]) =>
  new Map(entries.map(([name, value]) => [name, bytes(value)]))

type Json = Record<string, unknown>
const toy = JSON.parse(toyTokenizer()) as { model: Json & { vocab: Json } } & Json
const modelWith = (tokenizer: unknown): TrimmableModel => ({
  config,
  weights,
  tokenizer: files(['tokenizer.json', tokenizer]),
})
const withVocabulary = (vocab: unknown, more: Json = {}) =>
  modelWith({ ...toy, model: { ...toy.model, vocab, ...more } })
const read = ({ tokenizer }: TrimmableModel, name: TokenizerFile = 'tokenizer.json') =>
  new TextDecoder().decode(tokenizer.get(name))
const encoder = (model: TrimmableModel) =>
  createTokenizer({ tokenizer: read(model), maxTokens: model.config.maxTokens }).encode

describe('keepLayers', () => {
  it('shares the weights of the layers that stay', () => {
    const kept = keepLayers({ config, weights }, [1])
    expect(kept.config.layerCount).toBe(1)
    expect(kept.weights.layers[0]).toBe(weights.layers[1])
    expect(weights.layers).toHaveLength(2)
  })

  it.each([[[]], [[1, 0]], [[0, 0]], [[2]], [[-1]], [[0.5]]])('refuses %j', keep => {
    expect(() => keepLayers({ config, weights }, keep)).toThrow(/cannot be kept .* 0 to 1/)
  })

  it.each([
    [6, 6, [0, 1, 2, 3, 4, 5]],
    [6, 4, [0, 2, 3, 5]],
    [6, 2, [0, 5]],
    [6, 1, [0]],
    [3, 9, [0, 1, 2]],
  ])('of %i layers spreads %i as %j', (layerCount, keepCount, wanted) => {
    expect(spreadLayers(layerCount, keepCount)).toEqual(wanted)
  })
})

describe('trimVocabulary', () => {
  const original = modelWith(toy)

  it('gives the texts it was made for the same tokens and the same rows', () => {
    const texts = ['Hello!', 'hellos']
    const { model, kept } = trimVocabulary(original, texts)
    expect(model.config.vocabularySize).toBe(kept.length)
    // "world" is gone; special tokens, used ones and single characters stay, in their order.
    expect([...kept]).toEqual([0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11])
    for (const text of texts) {
      const ids = encoder(model)(text)
      expect(ids.map(id => kept[id])).toEqual(encoder(original)(text))
    }
    const { hiddenSize } = config
    kept.forEach((from, to) => {
      expect(model.weights.words.slice(to * hiddenSize, (to + 1) * hiddenSize)).toEqual(
        weights.words.slice(from * hiddenSize, (from + 1) * hiddenSize),
      )
    })
  })

  it('reports what became of other texts', () => {
    const trimmed = trimVocabulary(original, ['hello'])
    expect(trimmingReport(original, trimmed, ['hello world', 'a b c'])).toEqual({
      tokenCount: 9,
      goneShare: 1 / 9,
      unknownShare: 1 / 9,
      growth: 1,
    })
  })

  it('renumbers every file that holds numbers', () => {
    const { model } = trimVocabulary(
      {
        config,
        weights,
        tokenizer: files(
          ['tokenizer.json', { ...toy, padding: { pad_id: 0, pad_token: '[PAD]' } }],
          ['vocab.txt', Object.keys(toy.model.vocab).join('\n')],
          ['added_tokens.json', { '!': 11, world: 6 }],
          ['tokenizer_config.json', { added_tokens_decoder: { 11: { content: '!' } }, x: 1 }],
        ),
      },
      ['hello'],
    )
    expect(read(model, 'vocab.txt')).toBe(
      '[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nhello\n##s\na\nb\nc\n!\n',
    )
    expect(JSON.parse(read(model, 'added_tokens.json'))).toEqual({ '!': 10 })
    expect(JSON.parse(read(model, 'tokenizer_config.json'))).toEqual({
      added_tokens_decoder: { 10: { content: '!' } },
      x: 1,
    })
  })

  it('trims a Unigram vocabulary, whose numbers are places', () => {
    const vocab = [
      '<pad>',
      '<unk>',
      '<s>',
      '</s>',
      '▁hello',
      '▁world',
      '▁',
      'h',
      '▁a',
      'hello',
      'b',
    ]
    const unigram = modelWith({
      ...toy,
      added_tokens: [],
      normalizer: null,
      pre_tokenizer: { type: 'Metaspace', replacement: '▁', add_prefix_space: true },
      post_processor: {
        type: 'Sequence',
        processors: [{ type: 'RobertaProcessing', sep: ['</s>', 3], cls: ['<s>', 2] }],
      },
      decoder: null,
      model: { type: 'Unigram', unk_id: 1, vocab: vocab.map((piece, i) => [piece, -i]) },
    })
    const { model, kept } = trimVocabulary(unigram, ['world a'])
    expect([...kept]).toEqual([0, 1, 2, 3, 5, 6, 7, 8, 10])
    const ids = encoder(model)('world a')
    expect(ids.map(id => vocab[kept[id] as number])).toEqual(['<s>', '▁world', '▁a', '</s>'])
    expect(JSON.parse(read(model)).model.unk_id).toBe(1)
  })

  it('keeps a piece called __proto__', () => {
    const vocab = JSON.parse(JSON.stringify(toy.model.vocab).replace('"world"', '"__proto__"'))
    const { model, kept } = trimVocabulary(withVocabulary(vocab), ['a'])
    expect(kept).not.toContain(6)
    expect(Object.keys(JSON.parse(read(model)).model.vocab)).toHaveLength(kept.length)
    const kind = trimVocabulary(
      modelWith({
        ...JSON.parse(JSON.stringify(toy)),
        added_tokens: [{ id: 6, content: 'world' }],
      }),
      ['a'],
    )
    expect(kind.kept).toContain(6)
  })

  it.each<[string, unknown, RegExp]>([
    ['no vocabulary', { ...toy, model: { type: 'WordPiece', unk_token: '[UNK]' } }, /cannot be/],
    ['a list', { ...toy, model: { ...toy.model, vocab: ['a'] } }, /cannot be/],
    ['byte pairs', { ...toy, model: { type: 'BPE', vocab: { a: 0 }, merges: [] } }, /BPE|cannot/],
    ['no JSON', '{', /cannot be used/],
  ])('refuses a tokenizer with %s', (_what, tokenizer, message) => {
    expect(() => trimVocabulary(modelWith(tokenizer), ['a'])).toThrow(message)
  })

  it.each<[string, Json, RegExp]>([
    ['a number twice', { ...toy.model.vocab, world: 5 }, /both have the number 5/],
    ['a number that is text', { ...toy.model.vocab, world: '6' }, /world has no number|cannot be/],
    ['a fraction', { ...toy.model.vocab, world: 6.5 }, /world has no number/],
    ['a number beyond the model', { ...toy.model.vocab, world: 12 }, /a token 12, .* 12 of them/],
    ['a number below zero', { ...toy.model.vocab, world: -1 }, /a token -1/],
  ])('refuses a vocabulary with %s', (_what, vocab, message) => {
    expect(() => trimVocabulary(withVocabulary(vocab), ['a'])).toThrow(message)
  })

  it('refuses an unknown token that is not there', () => {
    expect(() =>
      trimVocabulary(withVocabulary(toy.model.vocab, { unk_token: '?' }), ['a']),
    ).toThrow(/unknown token \? is not/)
  })
})
