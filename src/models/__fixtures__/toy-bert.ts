/** A BERT with random weights, small enough to test with: its files as `EncoderFiles`. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type SafetensorsTensor, writeSafetensors } from '../../formats/index.ts'
import { createRng } from '../../util/index.ts'
import type { EncoderFiles } from '../encoder-files.ts'

const WORDS = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'hello', 'world', '##s', 'a', 'b', 'c', '!']
const HIDDEN = 8
const INTERMEDIATE = 12
const LAYERS = 2

export function toyTokenizer(): string {
  const special = (id: number) => ({
    id,
    content: WORDS[id],
    special: true,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
  })
  return JSON.stringify({
    version: '1.0',
    added_tokens: [0, 1, 2, 3, 4].map(special),
    normalizer: {
      type: 'BertNormalizer',
      clean_text: true,
      handle_chinese_chars: true,
      strip_accents: null,
      lowercase: true,
    },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: {
      type: 'TemplateProcessing',
      single: [
        { SpecialToken: { id: '[CLS]', type_id: 0 } },
        { Sequence: { id: 'A', type_id: 0 } },
        { SpecialToken: { id: '[SEP]', type_id: 0 } },
      ],
      pair: [],
      special_tokens: {
        '[CLS]': { id: '[CLS]', ids: [2], tokens: ['[CLS]'] },
        '[SEP]': { id: '[SEP]', ids: [3], tokens: ['[SEP]'] },
      },
    },
    decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
    model: {
      type: 'WordPiece',
      unk_token: '[UNK]',
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
      vocab: Object.fromEntries(WORDS.map((word, id) => [word, id])),
    },
  })
}

export const toyConfig = {
  model_type: 'bert',
  vocab_size: WORDS.length,
  hidden_size: HIDDEN,
  num_hidden_layers: LAYERS,
  num_attention_heads: 2,
  intermediate_size: INTERMEDIATE,
  max_position_embeddings: 16,
  type_vocab_size: 2,
  layer_norm_eps: 1e-12,
  hidden_act: 'gelu',
}

/** Random weights under the names of the BERT family, each name behind `prefix`. */
export function toyWeights(prefix = ''): Map<string, SafetensorsTensor> {
  const rng = createRng('toy bert')
  const tensors = new Map<string, SafetensorsTensor>()
  const add = (name: string, shape: number[]) => {
    const size = shape.reduce((a, b) => a * b, 1)
    const values = Float32Array.from({ length: size }, () => rng.normal() / 2)
    tensors.set(prefix + name, { type: 'F32', shape, bytes: new Uint8Array(values.buffer) })
  }
  const linear = (name: string, from: number, to: number) => {
    add(`${name}.weight`, [to, from])
    add(`${name}.bias`, [to])
  }
  const norm = (name: string) => {
    add(`${name}.weight`, [HIDDEN])
    add(`${name}.bias`, [HIDDEN])
  }
  add('embeddings.word_embeddings.weight', [WORDS.length, HIDDEN])
  add('embeddings.position_embeddings.weight', [16, HIDDEN])
  add('embeddings.token_type_embeddings.weight', [2, HIDDEN])
  norm('embeddings.LayerNorm')
  for (let i = 0; i < LAYERS; i++) {
    const layer = `encoder.layer.${i}`
    for (const part of ['self.query', 'self.key', 'self.value', 'output.dense']) {
      linear(`${layer}.attention.${part}`, HIDDEN, HIDDEN)
    }
    norm(`${layer}.attention.output.LayerNorm`)
    linear(`${layer}.intermediate.dense`, HIDDEN, INTERMEDIATE)
    linear(`${layer}.output.dense`, INTERMEDIATE, HIDDEN)
    norm(`${layer}.output.LayerNorm`)
  }
  return tensors
}

export function toyFiles(overrides: Partial<EncoderFiles> = {}): EncoderFiles {
  return {
    weights: writeSafetensors(toyWeights()),
    config: JSON.stringify(toyConfig),
    tokenizer: toyTokenizer(),
    ...overrides,
  }
}

/** The files where a command finds them; the folder is made where there is none. */
export function writeToyFolder(folder: string, overrides: Partial<EncoderFiles> = {}): void {
  const { weights, config, tokenizer } = toyFiles(overrides)
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'model.safetensors'), weights)
  writeFileSync(join(folder, 'config.json'), config)
  writeFileSync(join(folder, 'tokenizer.json'), tokenizer)
}
