/** What fine-tuning changed, put back into an encoder's weights: adapters merged, matrices replaced. Knows no data. */
import {
  addLowRank,
  EMBEDDING_NORM,
  type EncoderWeights,
  LAYER_LINEARS,
  LAYER_NORMS,
  type LayerWeights,
  type Linear,
  layerPath,
  mapValues,
  type Norm,
  POOLER,
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
    ...(weights.pooler && { pooler: tunedLinear(POOLER, weights.pooler, tuned) }),
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
    const { rank, alpha } = tuned.recipe
    return { weight: addLowRank(weight, { a, b, rank, scaling: alpha / rank }), bias }
  }
  return {
    weight: tensors.get(`${path}.weight`) ?? weight,
    bias: tensors.get(`${path}.bias`) ?? bias,
  }
}

function tunedNorm(path: string, { scale, bias }: Norm, { tensors }: FineTuned): Norm {
  return {
    scale: tensors.get(`${path}.weight`) ?? scale,
    bias: tensors.get(`${path}.bias`) ?? bias,
  }
}
