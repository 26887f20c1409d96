/** What the BERT family calls its modules, and their sizes: one table for reading, writing and adapters. Knows no file. */
import type { EncoderConfig } from './encoder-config.ts'

type Size = 'hiddenSize' | 'intermediateSize'

interface LinearName {
  /** Path below `encoder.layer.N`. */
  readonly path: string
  readonly from: Size
  readonly to: Size
}

/** The linear modules of one layer, in the order of computation. */
export const LAYER_LINEARS = {
  query: { path: 'attention.self.query', from: 'hiddenSize', to: 'hiddenSize' },
  key: { path: 'attention.self.key', from: 'hiddenSize', to: 'hiddenSize' },
  value: { path: 'attention.self.value', from: 'hiddenSize', to: 'hiddenSize' },
  attentionOutput: { path: 'attention.output.dense', from: 'hiddenSize', to: 'hiddenSize' },
  up: { path: 'intermediate.dense', from: 'hiddenSize', to: 'intermediateSize' },
  down: { path: 'output.dense', from: 'intermediateSize', to: 'hiddenSize' },
} as const satisfies Record<string, LinearName>

/** The normalisations of one layer: paths below `encoder.layer.N`. */
export const LAYER_NORMS = {
  attentionNorm: 'attention.output.LayerNorm',
  outputNorm: 'output.LayerNorm',
} as const

export type LayerLinear = keyof typeof LAYER_LINEARS

export const WORDS = 'embeddings.word_embeddings'
export const POSITIONS = 'embeddings.position_embeddings'
export const TYPES = 'embeddings.token_type_embeddings'
export const EMBEDDING_NORM = 'embeddings.LayerNorm'
export const POOLER = 'pooler.dense'
export const CLASSIFIER = 'classifier'

/** What stands before these names, depending on the class that the weights were saved from. */
export const PREFIXES = ['', 'bert.', 'model.'] as const

/** Path of layer `i`. */
export function layerPath(i: number): string {
  return `encoder.layer.${i}`
}

/** Sizes of a linear module of a layer. */
export function linearSizes(
  linear: LayerLinear,
  config: EncoderConfig,
): { inSize: number; outSize: number } {
  const { from, to } = LAYER_LINEARS[linear]
  return { inSize: config[from], outSize: config[to] }
}
