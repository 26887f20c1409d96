import { describe, expect, it } from 'vitest'
import { toyConfig } from './__fixtures__/toy-bert.ts'
import { parseEncoderConfig } from './encoder-config.ts'

const parse = (
  change: Record<string, unknown>,
  rest: { sentenceBert?: string; pooling?: string; tokenizerConfig?: string } = {},
) => parseEncoderConfig({ config: JSON.stringify({ ...toyConfig, ...change }), ...rest })

describe('parseEncoderConfig', () => {
  it('reads the shape, with mean pooling and all positions unless told otherwise', () => {
    expect(parse({})).toMatchObject({ hiddenSize: 8, headCount: 2, pooling: 'mean', maxTokens: 16 })
  })

  it('takes the limit and the pooling of sentence-transformers', () => {
    const cls = JSON.stringify({ pooling_mode_cls_token: true })
    expect(parse({}, { sentenceBert: '{"max_seq_length": 10}', pooling: cls })).toMatchObject({
      maxTokens: 10,
      pooling: 'cls',
    })
    expect(parse({}, { sentenceBert: '{"max_seq_length": 999}' }).maxTokens).toBe(16)
    expect(parse({}, { sentenceBert: '{"max_seq_length": null}' }).maxTokens).toBe(16)
  })

  it('takes them from where sentence-transformers 6 keeps them, too', () => {
    const newer = { sentenceBert: '{}', pooling: '{"pooling_mode":"cls","include_prompt":true}' }
    const limit = (length: number) => ({ tokenizerConfig: `{"model_max_length":${length}}` })
    expect(parse({}, { ...newer, ...limit(12) })).toMatchObject({ maxTokens: 12, pooling: 'cls' })
    expect(parse({}, { ...limit(12), sentenceBert: '{"max_seq_length":9}' }).maxTokens).toBe(9)
    expect(parse({}, limit(1e30)).maxTokens).toBe(16)
  })

  it('pools as BertForSequenceClassification does, unless a file says otherwise', () => {
    const classifier = { architectures: ['BertForSequenceClassification'] }
    expect(parse(classifier).pooling).toBe('pooler')
    expect(parse(classifier, { pooling: '{"pooling_mode":"mean"}' }).pooling).toBe('mean')
  })

  it.each([
    [
      'heads that do not divide',
      { num_attention_heads: 3 },
      /hidden_size 8 does not divide by num_attention_heads 3/,
    ],
    ['no heads', { num_attention_heads: 0 }, /num_attention_heads/],
    ['a missing size', { hidden_size: undefined }, /hidden_size/],
    ['a size that is text', { vocab_size: '12' }, /vocab_size/],
    ['a size beyond reason', { num_hidden_layers: 1e9 }, /num_hidden_layers/],
    ['an unknown activation', { hidden_act: 'swish9' }, /hidden_act/],
    ['another family', { model_type: 'llama' }, /model_type/],
    ['relative positions', { position_embedding_type: 'relative_key' }, /position_embedding_type/],
    ['a negative epsilon', { layer_norm_eps: -1 }, /layer_norm_eps/],
  ])('refuses %s, naming the key', (_what, change, message) => {
    expect(() => parse(change)).toThrow(
      expect.objectContaining({ code: 'model-corrupt', message: expect.stringMatching(message) }),
    )
  })

  it.each([
    ['{"pooling_mode_max_tokens":true,"pooling_mode_mean_tokens":true}', /pooling_mode_max_tokens/],
    ['{"pooling_mode_cls_token":true,"pooling_mode_mean_tokens":true}', /either/],
    ['{}', /either/],
    ['{"pooling_mode":"lasttoken"}', /pooling_mode/],
    ['{"pooling_mode":["cls","mean"]}', /pooling_mode/],
    ['[', /not JSON/],
  ])('refuses the pooling %s', (pooling, message) => {
    expect(() => parse({}, { pooling })).toThrow(message)
  })

  it.each(['', '[]', 'null', '3'])('refuses %j as config.json', config => {
    expect(() => parseEncoderConfig({ config })).toThrow(/config\.json cannot be used/)
  })
})
