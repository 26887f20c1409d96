/** Rows of operators that ONNX Runtime adds to ONNX's own. Knows no model. */
import { floats, type OperatorRule, of, requireShape, sameType } from './operator-rules.ts'
import { matMul, normaliseAxes } from './shapes.ts'

const MICROSOFT = 'com.microsoft'

export const CONTRIB_OPERATORS = {
  /** `alpha · a·b` over the last two dimensions, either factor transposed at no cost. */
  FusedMatMul: {
    inputs: [2, 2],
    domain: MICROSOFT,
    attributes: { alpha: 'float', transA: 'int', transB: 'int' },
    infer: ([a, b], { transA = 0, transB = 0 }) => {
      const turned = (shape: readonly (number | string)[], isTurned: unknown) =>
        isTurned ? [...shape.slice(0, -2), ...shape.slice(-2).toReversed()] : shape
      const shape = matMul(turned(of(a).shape, transA), turned(of(b).shape, transB))
      return [{ dtype: sameType(a, b), shape }]
    },
  },
  /** `x · sigmoid(alpha · x)`; SiLU at alpha 1 (Elfwing et al. 2017). */
  QuickGelu: {
    inputs: [1, 1],
    domain: MICROSOFT,
    attributes: { alpha: 'float' },
    infer: ([x]) => [{ dtype: floats(of(x).dtype), shape: of(x).shape }],
  },
  /** Root-mean-square norm over the last axis (Zhang & Sennrich 2019), then the reciprocal root. */
  SimplifiedLayerNormalization: {
    inputs: [2, 2],
    attributes: { axis: 'int', epsilon: 'float', stash_type: 'int' },
    optionalFrom: 1,
    infer: ([x, scale], { axis = -1 }) => {
      const { shape } = of(x)
      const [from] = normaliseAxes([axis as number], shape.length) as [number]
      requireShape(of(scale).shape, shape.slice(from))
      const dtype = floats(sameType(x, scale))
      return [
        { dtype, shape },
        { dtype, shape: shape.map((dim, i) => (i < from ? dim : 1)) },
      ]
    },
  },
  /** Attention over heads laid side by side: query, key, value `[batch, length, hidden]`, none, mask int32 `[batch, length]`. */
  MultiHeadAttention: {
    inputs: [3, 5],
    domain: MICROSOFT,
    attributes: { num_heads: 'int', scale: 'float' },
    infer: ([query, key, value, , mask]) => {
      const { shape } = of(query)
      requireShape(of(value).shape, of(key).shape)
      if (mask !== undefined) requireShape(mask.shape, of(key).shape.slice(0, 2))
      return [{ dtype: floats(sameType(query, key, value)), shape }]
    },
  },
  /** Rotates pairs of features by an angle per position (Su et al. 2021): x, positions, cosines, sines. */
  RotaryEmbedding: {
    inputs: [4, 4],
    domain: MICROSOFT,
    attributes: { interleaved: 'int', num_heads: 'int', rotary_embedding_dim: 'int' },
    infer: ([x, , cosines, sines]) => {
      requireShape(of(sines).shape, of(cosines).shape)
      return [{ dtype: floats(sameType(x, cosines, sines)), shape: of(x).shape }]
    },
  },
} as const satisfies Record<string, OperatorRule>
