/** An encoder whose upper layers train: adapters beside frozen matrices, or the matrices themselves. Knows no data and no loss. */
import {
  Gather,
  Gemm,
  input,
  LayerNormalization,
  type ParameterSpec,
  type RowsSpec,
} from '../../engine/index.ts'
import { UnderstudyError } from '../../errors.ts'
import {
  EMBEDDING_NORM,
  type EncoderConfig,
  type EncoderModules,
  type EncoderWeights,
  frozenModules,
  LAYER_LINEARS,
  LAYER_NORMS,
  type Layer,
  type LayerModules,
  type LayerWeights,
  type Linear,
  layerPath,
  mapValues,
  type Norm,
  POOLER,
  POSITIONS,
  WORDS,
} from '../../models/index.ts'
import type { Rng } from '../../util/index.ts'
import type { Recipe } from './recipe.ts'

/** Paths of a layer's modules below `encoder.layer.N`. */
const PATHS: Readonly<Record<keyof LayerWeights, string>> = {
  ...mapValues(LAYER_LINEARS, ({ path }) => path),
  ...LAYER_NORMS,
}

export interface TrainableEncoder {
  readonly modules: EncoderModules
  /** First layer that trains; those below, and the embeddings unless it is 0 and everything trains, are frozen. */
  readonly firstLayer: number
  readonly parameters: readonly ParameterSpec[]
  /** The word embeddings where they train. */
  readonly rows: readonly RowsSpec[]
}

export interface TrainableOptions {
  readonly config: EncoderConfig
  readonly weights: EncoderWeights
  readonly recipe: Pick<Recipe, 'method' | 'rank' | 'alpha' | 'targetModules' | 'layerCount'>
  /** Draws the first factors of adapters. */
  readonly rng: Rng
  /** Whether the head stands on the encoder's pooler, which then trains with whole layers; default false. */
  readonly usesPooler?: boolean
}

/** @throws request-invalid when LoRA finds none of its target modules: the head alone would train */
export function trainableEncoder(options: TrainableOptions): TrainableEncoder {
  const { config, weights, recipe } = options
  const frozen = frozenModules(config, weights)
  if (recipe.method === 'head') {
    return { modules: frozen, firstLayer: config.layerCount, parameters: [], rows: [] }
  }
  const trainedCount = Math.min(recipe.layerCount ?? config.layerCount, config.layerCount)
  const firstLayer = config.layerCount - trainedCount
  const parameters: ParameterSpec[] = []
  const rows: RowsSpec[] = []
  const layers = weights.layers.map((layer, i) =>
    i < firstLayer
      ? (frozen.layers[i] as LayerModules)
      : recipe.method === 'lora'
        ? adaptedLayer(i, layer, frozen.layers[i] as LayerModules, options, parameters)
        : trainedLayer(i, layer, config, parameters),
  )
  if (recipe.method === 'lora' && parameters.length === 0) throw noTargets(recipe)
  const areEmbeddingsTrained = recipe.method === 'full' && recipe.layerCount === null
  const lower = areEmbeddingsTrained ? trainedEmbeddings(options, parameters, rows) : {}
  const upper =
    recipe.method === 'full' && options.usesPooler && weights.pooler
      ? { pooler: trainedLinear(POOLER, weights.pooler, parameters) }
      : {}
  return { modules: { ...frozen, ...lower, ...upper, layers }, firstLayer, parameters, rows }
}

/** Adds LoRA (Hu et al. 2021) to the layers that the recipe names: `x·W + b + alpha/rank · x·Aᵀ·Bᵀ`, B starting at 0. */
function adaptedLayer(
  index: number,
  weights: LayerWeights,
  frozen: LayerModules,
  { recipe, rng }: TrainableOptions,
  parameters: ParameterSpec[],
): LayerModules {
  const adapt = (name: keyof LayerWeights): Layer => {
    const path = PATHS[name]
    const isTarget = recipe.targetModules.some(
      target => path === target || path.endsWith(`.${target}`),
    )
    if (!isTarget || !('weight' in weights[name])) return frozen[name]
    const { weight, bias } = weights[name] as Linear
    const [from, to] = [weight.length / bias.length, bias.length]
    const module = `${layerPath(index)}.${path}`
    const { rank } = recipe
    const a = input(`${module}.lora_A.weight`, 'float32', [rank, from])
    const b = input(`${module}.lora_B.weight`, 'float32', [to, rank])
    parameters.push(
      { input: a, initial: kaimingUniform(rank, from, rng.fork(a.name)), isDecayed: true },
      { input: b, initial: new Float32Array(to * rank), isDecayed: true },
    )
    const alpha = recipe.alpha / rank
    return x =>
      Gemm(Gemm(x, a, undefined, { transB: true }), b, frozen[name](x), { transB: true, alpha })
  }
  return mapLayer(adapt)
}

/** As PEFT starts A: uniform within ±√(1/from), which is Kaiming's rule with a = √5. */
function kaimingUniform(rank: number, from: number, rng: Rng): Float32Array {
  const bound = Math.sqrt(1 / from)
  return Float32Array.from({ length: rank * from }, () => (2 * rng.next() - 1) * bound)
}

/** All weights of a layer as inputs. Matrices keep the layout `[in, out]` of `EncoderWeights`. */
function trainedLayer(
  index: number,
  weights: LayerWeights,
  config: EncoderConfig,
  parameters: ParameterSpec[],
): LayerModules {
  return mapLayer(name => {
    const path = `${layerPath(index)}.${PATHS[name]}`
    const own = weights[name]
    return 'weight' in own
      ? trainedLinear(path, own, parameters)
      : trainedNorm(path, own, config, parameters)
  })
}

export function trainedLinear(
  path: string,
  { weight, bias }: Linear,
  parameters: ParameterSpec[],
): Layer {
  const to = bias.length
  const matrix = input(`${path}.weight`, 'float32', [weight.length / to, to])
  const vector = input(`${path}.bias`, 'float32', [to])
  parameters.push(
    { input: matrix, initial: weight, isDecayed: true },
    { input: vector, initial: bias, isDecayed: false },
  )
  return x => Gemm(x, matrix, vector)
}

function trainedNorm(
  path: string,
  { scale, bias }: Norm,
  { layerNormEpsilon }: EncoderConfig,
  parameters: ParameterSpec[],
): Layer {
  const gain = input(`${path}.weight`, 'float32', [scale.length])
  const shift = input(`${path}.bias`, 'float32', [bias.length])
  parameters.push(
    { input: gain, initial: scale, isDecayed: false },
    { input: shift, initial: bias, isDecayed: false },
  )
  return x => LayerNormalization(x, gain, shift, layerNormEpsilon)
}

/** Word embeddings are fed row by row as the batch needs them; positions and their norm as a whole. */
function trainedEmbeddings(
  { config, weights }: TrainableOptions,
  parameters: ParameterSpec[],
  rows: RowsSpec[],
): Omit<EncoderModules, 'layers'> {
  const { hiddenSize, maxPositions } = config
  const words = input(`${WORDS}.weight`, 'float32', ['words', hiddenSize])
  rows.push({ input: words, table: weights.words.slice(), isDecayed: true })
  const positions = input(`${POSITIONS}.weight`, 'float32', [maxPositions, hiddenSize])
  parameters.push({ input: positions, initial: weights.positions, isDecayed: true })
  return {
    words: ids => Gather(words, ids),
    positions,
    embeddingNorm: trainedNorm(EMBEDDING_NORM, weights.embeddingNorm, config, parameters),
  }
}

function mapLayer(module: (name: keyof LayerWeights) => Layer): LayerModules {
  return Object.fromEntries(
    Object.keys(PATHS).map(name => [name, module(name as keyof LayerWeights)]),
  ) as Record<keyof LayerModules, Layer> as LayerModules
}

function noTargets({ targetModules }: TrainableOptions['recipe']): UnderstudyError {
  const known = Object.values(LAYER_LINEARS).map(({ path }) => path)
  return new UnderstudyError(
    'request-invalid',
    `recipe.targetModules: the encoder has no linear module ${targetModules.join(' or ')}`,
    {
      help: `Name some of ${known.join(', ')}, or the ends of them.`,
      details: { param: 'recipe.targetModules' },
    },
  )
}
