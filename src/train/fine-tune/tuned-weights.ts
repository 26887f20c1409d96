/** What fine-tuning changed, put back into an encoder's weights: adapters merged, matrices replaced. Knows no data. */
import {
  EMBEDDING_NORM,
  type EncoderWeights,
  LAYER_LINEARS,
  LAYER_NORMS,
  type LayerWeights,
  type Linear,
  layerPath,
  mapValues,
  type Norm,
  POSITIONS,
} from '../../models/index.ts'
import type { FineTuned } from './fine-tune.ts'

/** The encoder's weights after training; what did not train is shared with the weights given. */
export function tunedWeights(weights: EncoderWeights, tuned: FineTuned): EncoderWeights {
  const positions = tuned.tensors.get(`${POSITIONS}.weight`)
  return {
    ...weights,
    ...(tuned.words && { words: tuned.words }),
    ...(positions && { positions }),
    embeddingNorm: tunedNorm(EMBEDDING_NORM, weights.embeddingNorm, tuned),
    layers: weights.layers.map((layer, i) =>
      i < tuned.firstLayer ? layer : tunedLayer(i, layer, tuned),
    ),
  }
}

function tunedLayer(index: number, layer: LayerWeights, tuned: FineTuned): LayerWeights {
  const path = layerPath(index)
  return {
    ...mapValues(LAYER_LINEARS, ({ path: below }, name) =>
      tunedLinear(`${path}.${below}`, layer[name], tuned),
    ),
    ...mapValues(LAYER_NORMS, (below, name) => tunedNorm(`${path}.${below}`, layer[name], tuned)),
  }
}

function tunedLinear(path: string, { weight, bias }: Linear, tuned: FineTuned): Linear {
  const { tensors } = tuned
  const a = tensors.get(`${path}.lora_A.weight`)
  const b = tensors.get(`${path}.lora_B.weight`)
  if (a !== undefined && b !== undefined) {
    return { weight: withAdapter(weight, { a, b, ...tuned.recipe }), bias }
  }
  return {
    weight: tensors.get(`${path}.weight`) ?? weight,
    bias: tensors.get(`${path}.bias`) ?? bias,
  }
}

/** `W + alpha/rank · (B·A)ᵀ`, W `[in, out]`, A `[rank, in]`, B `[out, rank]`. */
function withAdapter(
  weight: Float32Array,
  { a, b, rank, alpha }: { a: Float32Array; b: Float32Array; rank: number; alpha: number },
): Float32Array {
  const merged = weight.slice()
  const [inSize, outSize] = [a.length / rank, b.length / rank]
  for (let i = 0; i < inSize; i++) {
    for (let o = 0; o < outSize; o++) {
      let sum = 0
      for (let r = 0; r < rank; r++) {
        sum += (a[r * inSize + i] as number) * (b[o * rank + r] as number)
      }
      const at = i * outSize + o
      merged[at] = (merged[at] as number) + (alpha / rank) * sum
    }
  }
  return merged
}

function tunedNorm(path: string, { scale, bias }: Norm, { tensors }: FineTuned): Norm {
  return {
    scale: tensors.get(`${path}.weight`) ?? scale,
    bias: tensors.get(`${path}.bias`) ?? bias,
  }
}
