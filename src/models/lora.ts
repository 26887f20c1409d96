/** Merges a LoRA adapter into an encoder's weights. Knows neither how it was trained nor its files. */
import { UnderstudyError } from '../errors.ts'
import { type LoraModule, loraScaling, type PeftAdapter } from '../formats/index.ts'
import { CLASSIFIER, LAYER_LINEARS, type LayerLinear, POOLER, PREFIXES } from './encoder-names.ts'
import {
  type EncoderWeights,
  type LayerWeights,
  type Linear,
  readClassifier,
  transpose,
} from './encoder-weights.ts'
import { linearTensors } from './encoder-weights-file.ts'

/**
 * The weights with `scaling · B · A` added to each module that the adapter names (Hu et al. 2021, §4.1); what does not change
 * is shared with the weights given. A pooler saved whole takes the place of the encoder's.
 * @throws model-corrupt for a module that the encoder does not have, or has in another size
 */
export function mergeAdapter(weights: EncoderWeights, adapter: PeftAdapter): EncoderWeights {
  const layers: LayerWeights[] = [...weights.layers]
  let { pooler } = readSaved(weights, adapter)
  for (const [module, lora] of adapter.modules) {
    const path = withoutPrefix(module)
    const scaling = loraScaling(adapter, lora)
    if (path === POOLER) {
      // Where there is no pooler, pooling does without, and whatever an adapter does to one changes nothing.
      pooler = pooler && addProduct(pooler, { module, lora, scaling })
      continue
    }
    const { index, name } = findLinear(path, module)
    const layer = layers[index]
    if (layer === undefined) {
      throw corrupt(`${module} is of layer ${index}, and the encoder has ${layers.length}`)
    }
    layers[index] = { ...layer, [name]: addProduct(layer[name], { module, lora, scaling }) }
  }
  return { ...weights, layers, ...(pooler === undefined ? {} : { pooler }) }
}

export interface CollectOptions extends Pick<PeftAdapter, 'rank' | 'alpha' | 'baseModel'> {
  /**
   * Behind the pooler, `[hidden, labels]`: the adapter is then one of `BertForSequenceClassification`, with this saved whole.
   * Without it, the adapter is one of `BertModel`, which knows no classifier.
   */
  readonly classifier?: Linear | undefined
}

/**
 * An adapter from factors as training keeps them, named `encoder.layer.N.PATH.lora_A.weight` `[rank, in]` and
 * `….lora_B.weight` `[out, rank]`. Its targets are the full paths of these modules: ends such as `query` would reach layers that
 * were not trained, and `output.dense` that of the attention too.
 * @throws model-corrupt when a factor stands alone
 */
export function collectAdapter(
  factors: ReadonlyMap<string, Float32Array>,
  { rank, alpha, baseModel, classifier }: CollectOptions,
): PeftAdapter {
  const prefix = classifier === undefined ? '' : 'bert.'
  const modules = new Map<string, LoraModule>()
  for (const name of factors.keys()) {
    const [, path, half] = /^(.+)\.lora_([AB])\.weight$/.exec(name) ?? []
    const a = factors.get(`${path}.lora_A.weight`)
    const b = factors.get(`${path}.lora_B.weight`)
    if (path === undefined || a === undefined || b === undefined) {
      throw corrupt(`${name} stands alone, without ${half === 'A' ? 'lora_B' : 'lora_A'} beside it`)
    }
    const sizes = { inSize: a.length / rank, outSize: b.length / rank }
    modules.set(prefix + path, { a, b, ...sizes, rank, alpha })
  }
  return {
    rank,
    alpha,
    isRankStabilised: false,
    dropout: 0,
    targetModules: [...modules.keys()],
    baseModel,
    taskType: classifier === undefined ? 'FEATURE_EXTRACTION' : 'SEQ_CLS',
    modules,
    saved: new Map(classifier === undefined ? [] : linearTensors(CLASSIFIER, classifier)),
  }
}

/**
 * The classifier that the adapter saved whole, `[hidden, labels]`; undefined where there is none.
 * @throws model-corrupt when its input is not as wide as `inSize`
 */
export function adapterClassifier(adapter: PeftAdapter, inSize: number): Linear | undefined {
  return readClassifier(adapter.saved, { inSize })
}

/** @throws model-corrupt for a tensor of the encoder itself, which would go unused */
function readSaved({ embeddingNorm, pooler }: EncoderWeights, { saved }: PeftAdapter) {
  const inSize = embeddingNorm.bias.length
  const tensors = new Map([...saved].map(([name, tensor]) => [withoutPrefix(name), tensor]))
  const foreign = [...tensors.keys()].find(name => /^(encoder|embeddings)\./.test(name))
  if (foreign !== undefined) {
    throw corrupt(`it saved ${foreign} whole; only classifiers and poolers can be taken over`)
  }
  const savedPooler = readClassifier(tensors, { inSize, path: POOLER })
  return { pooler: pooler && (savedPooler ?? pooler) }
}

function withoutPrefix(path: string): string {
  const prefix = PREFIXES.find(one => one !== '' && path.startsWith(one)) ?? ''
  return path.slice(prefix.length)
}

function findLinear(path: string, module: string): { index: number; name: LayerLinear } {
  const [, index, below] = /^encoder\.layer\.(\d{1,4})\.(.+)$/.exec(path) ?? []
  const names = Object.keys(LAYER_LINEARS) as LayerLinear[]
  const name = names.find(one => LAYER_LINEARS[one].path === below)
  if (name === undefined) {
    const known = names.map(one => LAYER_LINEARS[one].path).join(', ')
    throw corrupt(`the encoder has no module ${module}; those of a layer are ${known}`)
  }
  return { index: Number(index), name }
}

interface Product {
  readonly module: string
  readonly lora: LoraModule
  readonly scaling: number
}

/** @throws model-corrupt where the sizes differ */
function addProduct({ weight, bias }: Linear, { module, lora, scaling }: Product): Linear {
  const { inSize, outSize } = lora
  if (bias.length !== outSize || weight.length !== inSize * outSize) {
    const size = `[${bias.length},${weight.length / bias.length}]`
    throw corrupt(`${module} adapts a matrix [${outSize},${inSize}], the encoder has ${size}`)
  }
  return { weight: addLowRank(weight, { ...lora, scaling }), bias }
}

/** `weight + scaling · (B·A)ᵀ`: weight `[in, out]`, A `[rank, in]`, B `[out, rank]`. */
export function addLowRank(
  weight: Float32Array,
  { a, b, rank, scaling }: { a: Float32Array; b: Float32Array; rank: number; scaling: number },
): Float32Array {
  const [inSize, outSize] = [a.length / rank, b.length / rank]
  const rows = transpose(b, outSize, rank) // [rank, out]
  const merged = new Float32Array(weight.length)
  // Summed in 64 bits and rounded once, so that merging loses less than the 32-bit product it replaces.
  const sums = new Float64Array(outSize)
  for (let i = 0; i < inSize; i++) {
    sums.fill(0)
    for (let r = 0; r < rank; r++) {
      const factor = scaling * (a[r * inSize + i] as number)
      for (let o = 0; o < outSize; o++) {
        sums[o] = (sums[o] as number) + factor * (rows[r * outSize + o] as number)
      }
    }
    for (let o = 0; o < outSize; o++) {
      merged[i * outSize + o] = (weight[i * outSize + o] as number) + (sums[o] as number)
    }
  }
  return merged
}

function corrupt(what: string): UnderstudyError {
  return new UnderstudyError('model-corrupt', `The adapter does not fit this encoder: ${what}`, {
    help: 'Use the adapter with the model it was trained on, named in its adapter_config.json.',
  })
}
