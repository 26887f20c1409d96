/** The reflex: a linear softmax over hashed n-grams, in plain portable TypeScript. Knows no labels by name. */
import { UnderstudyError } from '../errors.ts'
import { type HashedFeatures, hashFeatures, weighFeatures } from './reflex-features.ts'

/** A fitted reflex. Weights are 8-bit with one scale per bucket: a quarter of the bytes, and no loss that shows. */
export interface Reflex {
  /** log2 of the number of buckets. */
  readonly bits: number
  readonly classCount: number
  /** [classCount] */
  readonly bias: Float32Array
  /** [buckets]; 0 where the bucket was never seen. */
  readonly idf: Float32Array
  /** [buckets]; weight = scale · code */
  readonly scales: Float32Array
  /** [buckets, classCount] */
  readonly codes: Int8Array
}

/** Log-probabilities of every class, [classCount]. */
export function predictReflex(reflex: Reflex, text: string): Float64Array {
  return scoreFeatures(reflex, hashFeatures(text, reflex.bits))
}

/** The same for features that were hashed before (with the same `bits`). */
export function scoreFeatures(reflex: Reflex, features: HashedFeatures): Float64Array {
  const { classCount, bias, scales, codes, idf } = reflex
  const values = weighFeatures(features, idf)
  const logits = Float64Array.from(bias)
  for (let i = 0; i < values.length; i++) {
    const bucket = features.buckets[i] as number
    const value = (values[i] as number) * (scales[bucket] as number)
    if (value === 0) continue
    const row = bucket * classCount
    for (let k = 0; k < classCount; k++) {
      logits[k] = (logits[k] as number) + value * (codes[row + k] as number)
    }
  }
  return toLogProbabilities(logits)
}

/** No probability is taken to be smaller: one part's certainty must not outweigh everything, and 0 has no logarithm. */
const LEAST_LOG_PROBABILITY = -50

/** Turns logits (the largest finite) into log-probabilities no smaller than −50, in place. */
export function toLogProbabilities(logits: Float64Array): Float64Array {
  let top = Number.NEGATIVE_INFINITY
  for (const value of logits) if (value > top) top = value
  let sum = 0
  for (const value of logits) sum += Math.exp(value - top)
  const shift = top + Math.log(sum)
  for (let k = 0; k < logits.length; k++) {
    logits[k] = Math.max(LEAST_LOG_PROBABILITY, (logits[k] as number) - shift)
  }
  return logits
}

/** Packs float weights [buckets, classCount] into 8 bits with one scale per bucket. */
export function quantiseReflex(parts: {
  bits: number
  classCount: number
  bias: Float32Array
  idf: Float32Array
  weights: Float32Array
}): Reflex {
  const { bits, classCount, bias, idf, weights } = parts
  const scales = new Float32Array(idf.length)
  const codes = new Int8Array(weights.length)
  for (let bucket = 0; bucket < idf.length; bucket++) {
    const row = bucket * classCount
    let largest = 0
    for (let k = 0; k < classCount; k++) {
      largest = Math.max(largest, Math.abs(weights[row + k] as number))
    }
    if (largest === 0) continue
    const scale = Math.fround(largest / 127)
    scales[bucket] = scale
    for (let k = 0; k < classCount; k++) {
      codes[row + k] = Math.max(
        -127,
        Math.min(127, Math.round((weights[row + k] as number) / scale)),
      )
    }
  }
  return { bits, classCount, bias, idf, scales, codes }
}

/** The reflex as bytes: bias, idf, scales (float32, little-endian), codes (int8); sizes stand in the manifest. */
export function encodeReflex(reflex: Reflex): Uint8Array {
  const parts = [reflex.bias, reflex.idf, reflex.scales, reflex.codes]
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0))
  let at = 0
  for (const part of parts) {
    bytes.set(new Uint8Array(part.buffer, part.byteOffset, part.byteLength), at)
    at += part.byteLength
  }
  return bytes
}

/**
 * Reads a reflex back.
 * @throws model-corrupt when length or values cannot belong to a reflex of this size
 */
export function decodeReflex(bytes: Uint8Array, bits: number, classCount: number): Reflex {
  const buckets = 2 ** bits
  const expected = 4 * classCount + 8 * buckets + buckets * classCount
  if (bytes.length !== expected) {
    throw corrupt(`has ${bytes.length} bytes where ${expected} were expected`)
  }
  // Not `slice`: that of a Buffer copies nothing.
  const copy = new Uint8Array(bytes)
  const bias = new Float32Array(copy.buffer, 0, classCount)
  const idf = new Float32Array(copy.buffer, 4 * classCount, buckets)
  const scales = new Float32Array(copy.buffer, 4 * (classCount + buckets), buckets)
  const codes = new Int8Array(copy.buffer, 4 * (classCount + 2 * buckets))
  for (const part of [bias, idf, scales]) {
    if (!part.every(Number.isFinite)) throw corrupt('holds a value that is not a finite number')
  }
  return { bits, classCount, bias, idf, scales, codes }
}

function corrupt(what: string): UnderstudyError {
  return new UnderstudyError('model-corrupt', `The reflex file ${what}.`, {
    help: 'Learn the task again; the specialist on disk is damaged.',
  })
}
