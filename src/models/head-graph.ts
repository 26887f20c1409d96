/** The graphs behind an embedding: linear head and nearest neighbours. Portable; knows no runtime. */
import { Add, emit, float32, Gemm, input, TopK, type Value } from '../engine/index.ts'

/** Names of what is fed and what comes out. */
export const HEAD_INPUT = 'embedding'
export const HEAD_LOGITS = 'logits'
export const NEAREST_SIMILARITIES = 'similarities'
export const NEAREST_INDICES = 'indices'
/** Only of the graph that fitting uses: added to every similarity, to keep rows out. */
export const NEAREST_PENALTIES = 'penalties'

/** A linear layer over unit-length embeddings. */
export interface LinearHead {
  readonly dimension: number
  readonly classCount: number
  /** [dimension, classCount] */
  readonly weights: Float32Array
  /** [classCount] */
  readonly bias: Float32Array
}

/** Embeddings to compare with, unit length. */
export interface NeighbourVectors {
  readonly dimension: number
  readonly count: number
  /** [count, dimension] */
  readonly vectors: Float32Array
}

/** Similarities and positions of the `k` nearest vectors, under their names. */
export function nearest(
  embedding: Value,
  { vectors, count, dimension }: NeighbourVectors,
  k: number,
  penalties?: Value,
) {
  const known = float32('vectors', vectors, [count, dimension])
  const similarities = Gemm(embedding, known, undefined, { transB: true }) // [batch, count]
  const { values, indices } = TopK(penalties ? Add(similarities, penalties) : similarities, k)
  return { [NEAREST_SIMILARITIES]: values, [NEAREST_INDICES]: indices }
}

/**
 * `embedding` float32 [batch, dimension] in; `logits` [batch, classCount], `similarities` and `indices` (int64)
 * [batch, k] of the nearest rows out.
 */
export function headGraph(
  head: LinearHead,
  neighbours: NeighbourVectors,
  k: number,
): Uint8Array<ArrayBuffer> {
  const { dimension, classCount } = head
  const embedding = input(HEAD_INPUT, 'float32', ['batch', dimension])
  const weights = float32('weights', head.weights, [dimension, classCount])
  const logits = Gemm(embedding, weights, float32('bias', head.bias, [classCount]))
  return emit('head', {
    inputs: [embedding],
    outputs: { [HEAD_LOGITS]: logits, ...nearest(embedding, neighbours, k) },
  })
}

/** The neighbours alone, with `penalties` float32 [1, count] as a second input. */
export function neighboursGraph(neighbours: NeighbourVectors, k: number): Uint8Array<ArrayBuffer> {
  const embedding = input(HEAD_INPUT, 'float32', ['batch', neighbours.dimension])
  const penalties = input(NEAREST_PENALTIES, 'float32', [1, neighbours.count])
  return emit('neighbours', {
    inputs: [embedding, penalties],
    outputs: nearest(embedding, neighbours, k, penalties),
  })
}
