/** Writes an encoder's weights as `model.safetensors` under the names of Hugging Face. Knows no folder. */
import { float32Tensor, type SafetensorsTensor, writeSafetensors } from '../formats/index.ts'
import type { EncoderConfig } from './encoder-config.ts'
import {
  CLASSIFIER,
  EMBEDDING_NORM,
  LAYER_LINEARS,
  LAYER_NORMS,
  type LayerLinear,
  layerPath,
  POOLER,
  POSITIONS,
  TYPES,
  WORDS,
} from './encoder-names.ts'
import {
  type EncoderWeights,
  type LayerWeights,
  type Linear,
  type Norm,
  transpose,
} from './encoder-weights.ts'

export interface WriteWeightsOptions {
  /** Empty for `BertModel`; `bert.` for classes that hold an encoder, `BertForSequenceClassification` among them. */
  readonly prefix?: '' | 'bert.'
  /** From the pooled vector to logits, written as `classifier`. */
  readonly classifier?: Linear | undefined
}

/**
 * The bytes of `model.safetensors`. The embedding of token type 0 stays within the positions, so its row is zero and the
 * other types are what they add to it: every sum of word, position and type comes out the same in transformers.
 */
export function writeEncoderWeights(
  weights: EncoderWeights,
  { hiddenSize, vocabularySize, maxPositions, typeCount }: EncoderConfig,
  { prefix = '', classifier }: WriteWeightsOptions = {},
): Uint8Array<ArrayBuffer> {
  const tensors = new Map<string, SafetensorsTensor>()
  const add = (name: string, values: Float32Array, shape: readonly number[]) =>
    tensors.set(prefix + name, float32Tensor(values, shape))
  const addAll = (named: readonly NamedTensor[]) => {
    for (const [name, tensor] of named) tensors.set(prefix + name, tensor)
  }
  add(`${WORDS}.weight`, weights.words, [vocabularySize, hiddenSize])
  add(`${POSITIONS}.weight`, weights.positions, [maxPositions, hiddenSize])
  add(`${TYPES}.weight`, weights.types, [typeCount, hiddenSize])
  addAll(normTensors(EMBEDDING_NORM, weights.embeddingNorm))
  for (const [i, layer] of weights.layers.entries()) addAll(layerTensors(i, layer))
  if (weights.pooler !== undefined) addAll(linearTensors(POOLER, weights.pooler))
  if (classifier !== undefined) {
    for (const [name, tensor] of linearTensors(CLASSIFIER, classifier)) tensors.set(name, tensor)
  }
  // PyTorch's own mark: transformers refuses a file without it.
  return writeSafetensors(tensors, { format: 'pt' })
}

type NamedTensor = [name: string, tensor: SafetensorsTensor]

/** The tensors of layer `index`. */
export function layerTensors(index: number, layer: LayerWeights): NamedTensor[] {
  const path = layerPath(index)
  return [
    ...Object.entries(LAYER_LINEARS).flatMap(([name, { path: below }]) =>
      linearTensors(`${path}.${below}`, layer[name as LayerLinear]),
    ),
    ...Object.entries(LAYER_NORMS).flatMap(([name, below]) =>
      normTensors(`${path}.${below}`, layer[name as keyof typeof LAYER_NORMS]),
    ),
  ]
}

function normTensors(path: string, { scale, bias }: Norm): NamedTensor[] {
  return [
    [`${path}.weight`, float32Tensor(scale, [scale.length])],
    [`${path}.bias`, float32Tensor(bias, [bias.length])],
  ]
}

/** A linear module as PyTorch keeps it: `weight` `[out, in]` and `bias` `[out]`. */
export function linearTensors(path: string, { weight, bias }: Linear): NamedTensor[] {
  const outSize = bias.length
  const inSize = weight.length / outSize
  return [
    [`${path}.weight`, float32Tensor(transpose(weight, inSize, outSize), [outSize, inSize])],
    [`${path}.bias`, float32Tensor(bias, [outSize])],
  ]
}
