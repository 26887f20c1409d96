/** What an encoder's JSON files say about its shape, checked. Knows no weights and no files on disk. */
import { z } from 'zod'
import { modelJson } from './model-json.ts'

const { parse, corrupt } = modelJson(
  'Use a BERT-family sentence encoder, or remove the model and pull it again.',
)

/** The shape of a BERT encoder. */
export interface EncoderConfig {
  readonly vocabularySize: number
  readonly hiddenSize: number
  readonly layerCount: number
  readonly headCount: number
  readonly intermediateSize: number
  readonly maxPositions: number
  readonly typeCount: number
  readonly layerNormEpsilon: number
  readonly activation: 'gelu' | 'gelu-tanh' | 'relu'
  /**
   * How the last hidden states become one vector: their mean, that of the first token, or that after the pooler's matrix
   * and tanh, as `BertForSequenceClassification` classifies.
   */
  readonly pooling: 'mean' | 'cls' | 'pooler'
  /** Longest sequence that the model is used with, special tokens included. */
  readonly maxTokens: number
}

/** Texts of the JSON files beside the weights. */
export interface EncoderConfigFiles {
  readonly config: string
  /** `sentence_bert_config.json`. */
  readonly sentenceBert?: string | undefined
  /** `1_Pooling/config.json`. */
  readonly pooling?: string | undefined
  /** `tokenizer_config.json`: newer sentence-transformers keep the limit there. */
  readonly tokenizerConfig?: string | undefined
}

const count = z.int().min(1).max(1_000_000)

const bertSchema = z.object({
  model_type: z.literal('bert'),
  vocab_size: count,
  hidden_size: count.max(16_384),
  num_hidden_layers: count.max(256),
  num_attention_heads: count.max(1024),
  intermediate_size: count.max(131_072),
  max_position_embeddings: count,
  type_vocab_size: count,
  layer_norm_eps: z.number().positive().max(1),
  hidden_act: z.enum(['gelu', 'gelu_new', 'gelu_pytorch_tanh', 'relu']),
  position_embedding_type: z.literal('absolute').default('absolute'),
  architectures: z.array(z.string()).nullish(),
})
const sentenceBertSchema = z.object({ max_seq_length: count.nullish() })
const tokenizerSchema = z.object({ model_max_length: z.number().min(1).nullish() })
const poolingSchema = z.object({
  /** sentence-transformers 6 and later, in place of the flags. */
  pooling_mode: z.enum(['mean', 'cls']).optional(),
  pooling_mode_cls_token: z.boolean().default(false),
  pooling_mode_mean_tokens: z.boolean().default(false),
  pooling_mode_max_tokens: z.literal(false).default(false),
  pooling_mode_mean_sqrt_len_tokens: z.literal(false).default(false),
})

const ACTIVATIONS = {
  gelu: 'gelu',
  gelu_new: 'gelu-tanh',
  gelu_pytorch_tanh: 'gelu-tanh',
  relu: 'relu',
} as const

/** @throws model-corrupt naming the file and the key */
export function parseEncoderConfig(files: EncoderConfigFiles): EncoderConfig {
  const bert = parse('config.json', bertSchema, files.config)
  if (bert.hidden_size % bert.num_attention_heads !== 0) {
    throw corrupt(
      'config.json',
      `hidden_size ${bert.hidden_size} does not divide by num_attention_heads ${bert.num_attention_heads}`,
    )
  }
  return {
    vocabularySize: bert.vocab_size,
    hiddenSize: bert.hidden_size,
    layerCount: bert.num_hidden_layers,
    headCount: bert.num_attention_heads,
    intermediateSize: bert.intermediate_size,
    maxPositions: bert.max_position_embeddings,
    typeCount: bert.type_vocab_size,
    layerNormEpsilon: bert.layer_norm_eps,
    activation: ACTIVATIONS[bert.hidden_act],
    pooling: parsePooling(files.pooling, bert.architectures ?? []),
    maxTokens: Math.min(parseMaxTokens(files), bert.max_position_embeddings),
  }
}

function parseMaxTokens({ sentenceBert = '{}', tokenizerConfig = '{}' }: EncoderConfigFiles) {
  const { max_seq_length: own } = parse(
    'sentence_bert_config.json',
    sentenceBertSchema,
    sentenceBert,
  )
  if (typeof own === 'number') return own
  const { model_max_length: all } = parse('tokenizer_config.json', tokenizerSchema, tokenizerConfig)
  return all ?? Number.POSITIVE_INFINITY
}

function parsePooling(
  text: string | undefined,
  architectures: readonly string[],
): EncoderConfig['pooling'] {
  if (text === undefined) {
    return architectures.includes('BertForSequenceClassification') ? 'pooler' : 'mean'
  }
  const {
    pooling_mode: mode,
    pooling_mode_cls_token: cls,
    pooling_mode_mean_tokens: mean,
  } = parse('1_Pooling/config.json', poolingSchema, text)
  if (mode !== undefined && !cls && !mean) return mode
  if (cls === mean) {
    throw corrupt('1_Pooling/config.json', 'it must choose either the cls token or the mean')
  }
  return cls ? 'cls' : 'mean'
}
