/** A tiny BERT and a tiny Llama whose weights are inputs, named as in transformers. test/parity/make-block-goldens.py has their twins. */
import {
  Add,
  Concat,
  constant,
  type Dim,
  Expand,
  FusedMatMul,
  float32,
  Gather,
  GatherElements,
  Gemm,
  int64,
  LayerNormalization,
  LogSoftmax,
  MatMul,
  Mul,
  Neg,
  QuickGelu,
  ReduceMean,
  ReduceSum,
  Reshape,
  RotaryEmbedding,
  Shape,
  SimplifiedLayerNormalization,
  Slice,
  Softmax,
  Transpose,
  Unsqueeze,
  type Value,
} from '../../src/engine/index.ts'
import {
  type EncoderConfig,
  type EncoderModules,
  embedTokens,
  type LayerModules,
  poolTokens,
  runLayers,
  unitLength,
} from '../../src/models/index.ts'
import { below, type Drawn, draw, floats, integers, positives, smalls } from './draws.ts'

export interface Block {
  /** Scalar. */
  readonly loss: Value
  readonly weights: readonly Drawn[]
  readonly data: readonly Drawn[]
}

/** Draws weights on first use: norms of positive scale, all else small. */
function openWeights(block: string) {
  const weights: Drawn[] = []
  return {
    weights,
    weight(name: string, ...shape: Dim[]): Value {
      const isScale = /norm/i.test(name) && name.endsWith('weight')
      const drawn = draw(name, `${block}/${name}`, (isScale ? positives : smalls)(...shape))
      weights.push(drawn)
      return drawn.value
    },
  }
}

const BERT: EncoderConfig = {
  vocabularySize: 7,
  hiddenSize: 4,
  layerCount: 2,
  headCount: 2,
  intermediateSize: 6,
  maxPositions: 5,
  typeCount: 1,
  layerNormEpsilon: 1e-12,
  activation: 'gelu',
  pooling: 'mean',
  maxTokens: 5,
}

/** Two layers, mean over the tokens that are there, unit length; one text is padded. */
export function bertBlock(): Block {
  const { weights, weight } = openWeights('bert')
  const ids = draw('ids', 'bert/ids', below(7, 'rows', 'columns'))
  const mask = draw('mask', 'bert/mask', integers([1, 1, 1, 1, 1, 0], 'rows', 'columns'))
  const cotangent = draw('cotangent', 'bert/cotangent', floats('rows', 4))
  const modules = bertModules(weight)
  const hidden = runLayers(embedTokens(ids.value, modules), mask.value, {
    config: BERT,
    layers: modules.layers,
  })
  const embedding = unitLength(poolTokens(hidden, mask.value, { config: BERT }))
  const loss = ReduceSum(Mul(embedding, cotangent.value), undefined, { keep: false })
  return { loss, weights, data: [ids, mask, cotangent] }
}

type Weight = (name: string, ...shape: Dim[]) => Value

/** Matrices lie as PyTorch has them, `[out, in]`. */
function bertModules(weight: Weight): EncoderModules {
  const { vocabularySize, hiddenSize: hidden, intermediateSize: wide, maxPositions } = BERT
  const norm = (name: string) => {
    const [scale, bias] = [weight(`${name}.weight`, hidden), weight(`${name}.bias`, hidden)]
    return (x: Value) => LayerNormalization(x, scale, bias, BERT.layerNormEpsilon)
  }
  const linear = (name: string, from: number, to: number) => {
    const [matrix, bias] = [weight(`${name}.weight`, to, from), weight(`${name}.bias`, to)]
    return (x: Value) => Gemm(x, matrix, bias, { transB: true })
  }
  const layer = (path: string): LayerModules => ({
    query: linear(`${path}.attention.self.query`, hidden, hidden),
    key: linear(`${path}.attention.self.key`, hidden, hidden),
    value: linear(`${path}.attention.self.value`, hidden, hidden),
    attentionOutput: linear(`${path}.attention.output.dense`, hidden, hidden),
    attentionNorm: norm(`${path}.attention.output.LayerNorm`),
    up: linear(`${path}.intermediate.dense`, hidden, wide),
    down: linear(`${path}.output.dense`, wide, hidden),
    outputNorm: norm(`${path}.output.LayerNorm`),
  })
  const words = weight('embeddings.word_embeddings.weight', vocabularySize, hidden)
  return {
    words: ids => Gather(words, ids),
    positions: weight('embeddings.position_embeddings.weight', maxPositions, hidden),
    embeddingNorm: norm('embeddings.LayerNorm'),
    layers: [layer('encoder.layer.0'), layer('encoder.layer.1')],
  }
}

const LLAMA = { vocabulary: 5, hidden: 4, heads: 4, keys: 2, size: 4, wide: 5, positions: 5 }

/** One layer with two queries to a key, and the cross-entropy of given next tokens. */
export function llamaBlock(): Block {
  const { weights, weight } = openWeights('llama')
  const { vocabulary, hidden } = LLAMA
  const ids = draw('ids', 'llama/ids', below(vocabulary, 'rows', 'columns'))
  const labels = draw('labels', 'llama/labels', below(vocabulary, 'rows', 'columns'))
  const at = draw('positions', '', integers([0, 1, 2, 0, 1, 2], 'rows', 'columns'))
  const norm = (name: string, x: Value) =>
    SimplifiedLayerNormalization(x, weight(`${name}.weight`, hidden), 1e-6)
  const path = 'model.layers.0'
  const tokens = Gather(weight('model.embed_tokens.weight', vocabulary, hidden), ids.value)
  const normed = norm(`${path}.input_layernorm`, tokens)
  const middle = Add(tokens, llamaAttention(normed, at.value, weight))
  const wide = llamaWide(norm(`${path}.post_attention_layernorm`, middle), weight)
  const last = norm('model.norm', Add(middle, wide))
  const logits = times(last, weight('lm_head.weight', vocabulary, hidden))
  const right = GatherElements(LogSoftmax(logits), Unsqueeze(labels.value, [2]), 2)
  const loss = Neg(ReduceMean(right, undefined, { keep: false }))
  return { loss, weights, data: [ids, labels, at] }
}

/** `x·Wᵀ`, the matrix as PyTorch has it. */
function times(x: Value, matrix: Value): Value {
  return FusedMatMul(x, matrix, { transB: true })
}

/** Causal, rotary, each key shared by a group of queries (Ainslie et al. 2023). `x` and result [batch, length, hidden]. */
function llamaAttention(x: Value, at: Value, weight: Weight): Value {
  const { hidden, heads, keys, size, positions } = LLAMA
  const path = 'model.layers.0.self_attn'
  const project = (name: string, count: number) =>
    times(x, weight(`${path}.${name}_proj.weight`, count * size, hidden))
  const split = (part: Value, count: number) =>
    Transpose(Reshape(part, [0, 0, count, size]), [0, 2, 1, 3]) // [batch, count, length, size]
  const turn = (part: Value) => RotaryEmbedding(part, at, angles(Math.cos), angles(Math.sin))
  const query = turn(split(project('q', heads), heads))
  const key = perQuery(turn(split(project('k', keys), keys)), at)
  const value = perQuery(split(project('v', keys), keys), at)
  const scores = FusedMatMul(query, key, { transB: true, alpha: 1 / Math.sqrt(size) })
  const end = Shape(at, 1, 2)
  const mask = Slice(Slice(causalMask(positions), { axis: 0, end }), { axis: 1, end })
  const mixed = MatMul(Softmax(Add(scores, mask)), value)
  const joined = Reshape(Transpose(mixed, [0, 2, 1, 3]), [0, 0, heads * size])
  return times(joined, weight(`${path}.o_proj.weight`, hidden, heads * size))
}

/** [batch, keys, length, size] repeated to [batch, heads, length, size]. */
function perQuery(part: Value, at: Value): Value {
  const { heads, keys, size } = LLAMA
  const [batch, length] = [Shape(at, 0, 1), Shape(at, 1, 2)]
  const grouped = Concat([batch, int64(keys, heads / keys), length, int64(size)], 0)
  const flat = Concat([batch, int64(heads), length, int64(size)], 0)
  return Reshape(Expand(Unsqueeze(part, [2]), grouped), flat)
}

/** SwiGLU (Shazeer 2020). */
function llamaWide(x: Value, weight: Weight): Value {
  const { hidden, wide } = LLAMA
  const path = 'model.layers.0.mlp'
  const gate = QuickGelu(times(x, weight(`${path}.gate_proj.weight`, wide, hidden)), 1)
  const up = times(x, weight(`${path}.up_proj.weight`, wide, hidden))
  return times(Mul(gate, up), weight(`${path}.down_proj.weight`, hidden, wide))
}

/** Cosines or sines of position / 10,000^(2i / size), [positions, size / 2]. */
function angles(of: (angle: number) => number): Value {
  const { positions, size } = LLAMA
  const half = size / 2
  const values = Float32Array.from({ length: positions * half }, (_, i) =>
    of(Math.floor(i / half) / 10_000 ** ((2 * (i % half)) / size)),
  )
  return float32('angles', values, [positions, half])
}

/** 0 where a token may look, far below any score after it. */
function causalMask(length: number): Value {
  const values = Float32Array.from({ length: length ** 2 }, (_, i) =>
    i % length > Math.floor(i / length) ? -1e9 : 0,
  )
  return constant('causal', 'float32', values, [length, length])
}
