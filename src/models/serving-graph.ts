/** A BERT encoder as a graph made to answer fast: attention in one step, nothing to differentiate. Knows no weights. */
import { Add, Concat, emit, input, int64, Reshape, Shape, type Value } from '../engine/index.ts'
import type { EncoderConfig } from './encoder-config.ts'
import {
  activate,
  ENCODER_IDS,
  ENCODER_MASK,
  embedTokens,
  encoderOutputs,
  type GraphClassifier,
  poolTokens,
} from './encoder-graph.ts'
import type { EncoderModules, LayerModules } from './encoder-modules.ts'

/** Modules whose layers also take hidden states `[batch, length, hidden]`. */
export interface ServingModules extends EncoderModules {
  /** From query, key and value `[batch, length, hidden]` and mask int64 `[batch, length]` to what is attended to, of their shape. */
  readonly attend: (
    parts: { readonly query: Value; readonly key: Value; readonly value: Value },
    mask: Value,
  ) => Value
}

/**
 * `inputIds` and `attentionMask` int64 `[batch, length]` in, `embedding` float32 `[batch, hidden]` of unit length out, as
 * `encoderGraph` has it, without the hidden states between layers; with a classifier, `logits` too.
 */
export function servingGraph(
  config: EncoderConfig,
  modules: ServingModules,
  classifier?: GraphClassifier,
): Uint8Array<ArrayBuffer> {
  const ids = input(ENCODER_IDS, 'int64', ['batch', 'length'])
  const mask = input(ENCODER_MASK, 'int64', ['batch', 'length'])
  const shape = Concat([Shape(mask), int64(config.hiddenSize)], 0)
  const first = Reshape(embedTokens(ids, modules), shape) // [batch, length, hidden]
  const hidden = modules.layers.reduce<Value>((x, layer) => {
    const parts = { query: layer.query(x), key: layer.key(x), value: layer.value(x) }
    return afterAttention(x, modules.attend(parts, mask), { layer, config })
  }, first)
  const pooled = poolTokens(hidden, mask, { config, pooler: modules.pooler })
  return emit('encoder', { inputs: [ids, mask], outputs: encoderOutputs(pooled, classifier) })
}

function afterAttention(
  x: Value,
  mixed: Value,
  { layer, config }: { readonly layer: LayerModules; readonly config: EncoderConfig },
): Value {
  const middle = layer.attentionNorm(Add(layer.attentionOutput(mixed), x))
  const wide = activate(layer.up(middle), config)
  return layer.outputNorm(Add(layer.down(wide), middle))
}
