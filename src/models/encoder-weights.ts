/** Finds a BERT encoder's tensors in a safetensors file and checks their shapes. Knows no graph. */
import { UnderstudyError } from '../errors.ts'
import { float32Values, type Safetensors } from '../formats/index.ts'
import type { EncoderConfig } from './encoder-config.ts'

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
  readonly embeddingNorm: Norm
  readonly layers: readonly LayerWeights[]
}

/**
 * The weights, with and without the prefix `bert.` or `model.`, old LayerNorm names (`gamma`, `beta`) included.
 * @throws model-corrupt naming the tensor that is missing or has another shape
 */
export function readEncoderWeights(file: Safetensors, config: EncoderConfig): EncoderWeights {
  const { hiddenSize: hidden, intermediateSize: intermediate } = config
  const take = tensorTaker(file)
  const linear = (name: string, from: number, to: number): Linear => ({
    weight: transpose(take([`${name}.weight`], [to, from]), to, from),
    bias: take([`${name}.bias`], [to]),
  })
  const norm = (name: string): Norm => ({
    scale: take([`${name}.weight`, `${name}.gamma`], [hidden]),
    bias: take([`${name}.bias`, `${name}.beta`], [hidden]),
  })
  const types = take(['embeddings.token_type_embeddings.weight'], [config.typeCount, hidden])
  const positions = take(['embeddings.position_embeddings.weight'], [config.maxPositions, hidden])
  return {
    words: take(['embeddings.word_embeddings.weight'], [config.vocabularySize, hidden]),
    positions: positions.map((value, i) => value + (types[i % hidden] as number)),
    embeddingNorm: norm('embeddings.LayerNorm'),
    layers: Array.from({ length: config.layerCount }, (_, i) => {
      const layer = `encoder.layer.${i}`
      return {
        query: linear(`${layer}.attention.self.query`, hidden, hidden),
        key: linear(`${layer}.attention.self.key`, hidden, hidden),
        value: linear(`${layer}.attention.self.value`, hidden, hidden),
        attentionOutput: linear(`${layer}.attention.output.dense`, hidden, hidden),
        attentionNorm: norm(`${layer}.attention.output.LayerNorm`),
        up: linear(`${layer}.intermediate.dense`, hidden, intermediate),
        down: linear(`${layer}.output.dense`, intermediate, hidden),
        outputNorm: norm(`${layer}.output.LayerNorm`),
      }
    }),
  }
}

function tensorTaker({ tensors }: Safetensors) {
  const prefix = ['', 'bert.', 'model.'].find(one =>
    tensors.has(`${one}embeddings.word_embeddings.weight`),
  )
  return (names: readonly string[], shape: readonly number[]): Float32Array => {
    const name = names.map(one => `${prefix ?? ''}${one}`).find(one => tensors.has(one))
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
function transpose(from: Float32Array, rows: number, columns: number): Float32Array {
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
