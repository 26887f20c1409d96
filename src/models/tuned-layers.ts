/** Fine-tuned upper layers as a file, and as the graph that stands on the lower layers of a shared encoder. Knows no runtime. */
import { emit, float32, Gemm, input, Mul, scalar, type Value } from '../engine/index.ts'
import { readSafetensors, writeSafetensors } from '../formats/index.ts'
import type { EncoderConfig } from './encoder-config.ts'
import { ENCODER_MASK, poolTokens, runLayers, unitLength } from './encoder-graph.ts'
import { layerModules } from './encoder-modules.ts'
import { type LayerWeights, readUpperLayers } from './encoder-weights.ts'
import { layerTensors } from './encoder-weights-file.ts'
import {
  HEAD_INPUT,
  HEAD_LOGITS,
  type LinearHead,
  type NeighbourVectors,
  nearest,
} from './head-graph.ts'

/** Name under which hidden states of the lower layers are fed. */
export const TUNED_INPUT = 'hidden'

export interface TunedLayers {
  /** Number of the first of these layers; those below are the encoder's own. */
  readonly firstLayer: number
  readonly layers: readonly LayerWeights[]
  /** The head sees the embedding, of length 1, times this. */
  readonly scale: number
}

/** Layers as safetensors under the names of Hugging Face. */
export function encodeLayers({ firstLayer, layers }: TunedLayers): Uint8Array {
  const tensors = layers.flatMap((layer, above) => layerTensors(firstLayer + above, layer))
  return writeSafetensors(new Map(tensors))
}

/** @throws model-corrupt */
export function decodeLayers(
  bytes: Uint8Array,
  config: EncoderConfig,
  firstLayer: number,
): LayerWeights[] {
  return readUpperLayers(readSafetensors(bytes), config, firstLayer)
}

/** Hidden states `[batch·length, hidden]` below the tuned layers to logits `[batch, classCount]`. */
function tunedLogits(
  hidden: Value,
  mask: Value,
  { config, tuned, head }: TunedGraphOptions,
): Value {
  const layers = tuned.layers.map(layer => layerModules(layer, config))
  const pooled = poolTokens(runLayers(hidden, mask, { config, layers }), mask, { config })
  const { dimension, classCount } = head
  return Gemm(
    Mul(unitLength(pooled), scalar(tuned.scale)),
    float32('weights', head.weights, [dimension, classCount]),
    float32('bias', head.bias, [classCount]),
  )
}

export interface TunedGraphOptions {
  readonly config: EncoderConfig
  readonly tuned: TunedLayers
  readonly head: LinearHead
}

/** `hidden` float32 `[batch·length, hidden]` and the mask in, `logits` [batch, classCount] out. */
export function tunedGraph(options: TunedGraphOptions): Uint8Array<ArrayBuffer> {
  const { hidden, mask } = tunedInputs(options.config)
  const logits = tunedLogits(hidden, mask, options)
  return emit('tuned', { inputs: [hidden, mask], outputs: { [HEAD_LOGITS]: logits } })
}

/** The same with the neighbours of the frozen embedding, which is fed too. */
export function tunedHeadGraph(
  options: TunedGraphOptions,
  neighbours: NeighbourVectors,
  k: number,
): Uint8Array<ArrayBuffer> {
  const { hidden, mask } = tunedInputs(options.config)
  const embedding = input(HEAD_INPUT, 'float32', ['batch', neighbours.dimension])
  const logits = tunedLogits(hidden, mask, options)
  return emit('tuned-head', {
    inputs: [embedding, hidden, mask],
    outputs: { [HEAD_LOGITS]: logits, ...nearest(embedding, neighbours, k) },
  })
}

function tunedInputs({ hiddenSize }: EncoderConfig) {
  return {
    hidden: input(TUNED_INPUT, 'float32', ['batch*length', hiddenSize]),
    mask: input(ENCODER_MASK, 'int64', ['batch', 'length']),
  }
}
