/** An encoder with random weights, of sizes that blocks of 32 fit, with a few words that tell two classes apart. */
import { createRng } from '../../util/index.ts'
import type { EncoderConfig } from '../encoder-config.ts'
import type { EncoderWeights, LayerWeights, Linear } from '../encoder-weights.ts'
import type { ModelFolder } from '../model-folder.ts'

const rng = createRng('small bert')
const random = (length: number, size = 1) =>
  Float32Array.from({ length }, () => size * rng.normal())
const WORDS = [
  '[PAD]',
  '[UNK]',
  '[CLS]',
  '[SEP]',
  'refund',
  'invoice',
  'late',
  'please',
  'a',
  'unused',
]
const config: EncoderConfig = {
  vocabularySize: WORDS.length,
  hiddenSize: 32,
  layerCount: 2,
  headCount: 4,
  intermediateSize: 64,
  maxPositions: 16,
  typeCount: 1,
  layerNormEpsilon: 1e-12,
  activation: 'gelu',
  pooling: 'mean',
  maxTokens: 12,
}
const linear = (from: number, to: number): Linear => ({
  weight: random(from * to, 0.1),
  bias: random(to, 0.1),
})
const norm = () => ({ scale: random(32, 0.1).map(one => one + 1), bias: random(32, 0.1) })
export const smallLayer = (): LayerWeights => ({
  query: linear(32, 32),
  key: linear(32, 32),
  value: linear(32, 32),
  attentionOutput: linear(32, 32),
  attentionNorm: norm(),
  up: linear(32, 64),
  down: linear(64, 32),
  outputNorm: norm(),
})
const weights: EncoderWeights = {
  words: random(WORDS.length * 32),
  positions: random(16 * 32, 0.1),
  types: new Float32Array(32),
  embeddingNorm: norm(),
  layers: [smallLayer(), smallLayer()],
}
const tokenizer = {
  added_tokens: [],
  normalizer: { type: 'Lowercase' },
  pre_tokenizer: { type: 'BertPreTokenizer' },
  post_processor: { type: 'BertProcessing', sep: ['[SEP]', 3], cls: ['[CLS]', 2] },
  decoder: null,
  model: {
    type: 'WordPiece',
    unk_token: '[UNK]',
    continuing_subword_prefix: '##',
    max_input_chars_per_word: 100,
    vocab: Object.fromEntries(WORDS.map((word, id) => [word, id])),
  },
}
/** Weights are drawn once: two calls give the same model. */
export function smallBert(): ModelFolder {
  const json = new TextEncoder().encode(JSON.stringify(tokenizer))
  return { config, weights, isNormalised: true, tokenizer: new Map([['tokenizer.json', json]]) }
}
