/** Finds a BERT encoder's tensors in a safetensors file and checks their shapes. Knows no graph. */
import { UnderstudyError } from '../errors.ts'
import { float32Values, type Safetensors } from '../formats/index.ts'
import type { EncoderConfig } from './encoder-config.ts'
import {
  CLASSIFIER,
  EMBEDDING_NORM,
  LAYER_LINEARS,
  LAYER_NORMS,
  layerPath,
  linearSizes,
  POOLER,
  POSITIONS,
  PREFIXES,
  TYPES,
  WORDS,
} from './encoder-names.ts'

/** A matrix `[in, out]`, the way `MatMul` wants it, and its bias `[out]`. */
export interface Linear {
  readonly weight: Float32Array
  readonly bias: Float32Array
}

export interface Norm {
  readonly scale: Float32Array
  readonly bias: Float32Array
}

export interface LayerWeights {
  readonly query: Linear
  readonly key: Linear
  readonly value: Linear
  readonly attentionOutput: Linear
  readonly attentionNorm: Norm
  readonly up: Linear
  readonly down: Linear
  readonly outputNorm: Norm
}

export interface EncoderWeights {
  /** `[vocabulary, hidden]`. */
  readonly words: Float32Array
  /** `[positions, hidden]`, the embedding of token type 0 already added: one text has one type. */
  readonly positions: Float32Array
  /** `[types, hidden]`, less the embedding of token type 0, which `positions` hold: what other types add. */
  readonly types: Float32Array
  readonly embeddingNorm: Norm
  readonly layers: readonly LayerWeights[]
  /** From the first token's last hidden state, before tanh; many encoders have one that nothing uses. */
  readonly pooler?: Linear | undefined
}

/**
 * The weights, with and without the prefix `bert.` or `model.`, old LayerNorm names (`gamma`, `beta`) included.
 * @throws model-corrupt naming the tensor that is missing or has another shape
 */
export function readEncoderWeights(file: Safetensors, config: EncoderConfig): EncoderWeights {
  const { hiddenSize: hidden } = config
  const take = tensorTaker(file)
  const { linear, norm } = moduleReader(take, config)
  const types = take([`${TYPES}.weight`], [config.typeCount, hidden])
  const positions = take([`${POSITIONS}.weight`], [config.maxPositions, hidden])
  const hasPooler = config.pooling === 'pooler' || take.has(`${POOLER}.weight`)
  return {
    words: take([`${WORDS}.weight`], [config.vocabularySize, hidden]),
    positions: positions.map((value, i) => value + (types[i % hidden] as number)),
    types: types.map((value, i) => value - (types[i % hidden] as number)),
    embeddingNorm: norm(EMBEDDING_NORM),
    layers: readLayers(take, config, 0),
    ...(hasPooler ? { pooler: linear(POOLER, hidden, hidden) } : {}),
  }
}

/**
 * The layers from `first` to the last, of a file that holds just these.
 * @throws model-corrupt naming the tensor that is missing or has another shape
 */
export function readUpperLayers(
  { tensors }: Safetensors,
  config: EncoderConfig,
  first: number,
): LayerWeights[] {
  return readLayers(shapedTaker(tensors, ''), config, first)
}

function readLayers(take: Taker, config: EncoderConfig, first: number): LayerWeights[] {
  const { linear, norm } = moduleReader(take, config)
  return Array.from({ length: config.layerCount - first }, (_, above) => ({
    ...mapValues(LAYER_LINEARS, ({ path }, name) => {
      const { inSize, outSize } = linearSizes(name, config)
      return linear(`${layerPath(first + above)}.${path}`, inSize, outSize)
    }),
    ...mapValues(LAYER_NORMS, path => norm(`${layerPath(first + above)}.${path}`)),
  }))
}

function moduleReader(take: Taker, { hiddenSize: hidden }: EncoderConfig) {
  return {
    linear: (path: string, inSize: number, outSize: number): Linear => ({
      weight: transpose(take([`${path}.weight`], [outSize, inSize]), outSize, inSize),
      bias: take([`${path}.bias`], [outSize]),
    }),
    norm: (path: string): Norm => ({
      scale: take([`${path}.weight`, `${path}.gamma`], [hidden]),
      bias: take([`${path}.bias`, `${path}.beta`], [hidden]),
    }),
  }
}

/**
 * A classifier's matrix and bias, where there are any: `classifier.weight` is `[labels, inSize]`.
 * @throws model-corrupt when only one is there, or a shape is wrong
 */
export function readClassifier(
  tensors: Safetensors['tensors'],
  { inSize, path = CLASSIFIER }: { readonly inSize: number; readonly path?: string },
): Linear | undefined {
  const weight = tensors.get(`${path}.weight`)
  if (weight === undefined) {
    if (tensors.has(`${path}.bias`)) throw corrupt(`it has ${path}.bias without ${path}.weight`)
    return undefined
  }
  const outSize = weight.shape[0] ?? 0
  if (outSize < 1) throw corrupt(`${path}.weight is [${weight.shape}]`)
  const take = shapedTaker(tensors, '')
  return {
    weight: transpose(take([`${path}.weight`], [outSize, inSize]), outSize, inSize),
    bias: take([`${path}.bias`], [outSize]),
  }
}

/** The same keys with other values. */
export function mapValues<Key extends string, From, To>(
  from: Readonly<Record<Key, From>>,
  change: (value: From, key: Key) => To,
): Record<Key, To> {
  const entries = Object.entries(from) as [Key, From][]
  return Object.fromEntries(entries.map(([key, value]) => [key, change(value, key)])) as Record<
    Key,
    To
  >
}

/** A tensor under one of the names, of a shape. */
type Taker = (names: readonly string[], shape: readonly number[]) => Float32Array

function tensorTaker({ tensors }: Safetensors) {
  const prefix = PREFIXES.find(one => tensors.has(`${one}${WORDS}.weight`)) ?? ''
  return Object.assign(shapedTaker(tensors, prefix), {
    has: (name: string) => tensors.has(prefix + name),
  })
}

function shapedTaker(tensors: Safetensors['tensors'], prefix: string): Taker {
  return (names, shape) => {
    const name = names.map(one => prefix + one).find(one => tensors.has(one))
    const tensor = name === undefined ? undefined : tensors.get(name)
    if (name === undefined || tensor === undefined) {
      throw corrupt(`it has no tensor ${names.join(' or ')}`)
    }
    if (tensor.shape.join() !== shape.join()) {
      throw corrupt(`${name} is [${tensor.shape}], config.json asks for [${shape}]`)
    }
    return float32Values(name, tensor)
  }
}

/** `[rows, columns]` to `[columns, rows]`. */
export function transpose(from: Float32Array, rows: number, columns: number): Float32Array {
  const to = new Float32Array(from.length)
  // In squares that fit the cache: a plain double loop takes three times as long.
  for (let r0 = 0; r0 < rows; r0 += 32) {
    for (let c0 = 0; c0 < columns; c0 += 32) {
      for (let r = r0; r < Math.min(r0 + 32, rows); r++) {
        for (let c = c0; c < Math.min(c0 + 32, columns); c++) {
          to[c * rows + r] = from[r * columns + c] as number
        }
      }
    }
  }
  return to
}

function corrupt(what: string): UnderstudyError {
  return new UnderstudyError('model-corrupt', `model.safetensors cannot be used: ${what}`, {
    help: 'Use weights and config.json of the same model.',
  })
}
