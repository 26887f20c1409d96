/** Head and neighbours as bytes, little-endian, and back with every value checked. Portable. */
import { UnderstudyError } from '../errors.ts'
import type { LinearHead } from './head-graph.ts'
import type { Neighbours } from './neighbours.ts'

/** Weights [dimension, classCount] then bias [classCount], float32. */
export function encodeHead({ weights, bias }: LinearHead): Uint8Array {
  return concat([weights, bias])
}

/** @throws model-corrupt */
export function decodeHead(
  bytes: Uint8Array,
  { dimension, classCount }: { dimension: number; classCount: number },
): LinearHead {
  const buffer = checked(bytes, 4 * classCount * (dimension + 1), 'head')
  const weights = new Float32Array(buffer, 0, dimension * classCount)
  const bias = new Float32Array(buffer, 4 * dimension * classCount, classCount)
  checkFinite([weights, bias], 'head')
  return { dimension, classCount, weights, bias }
}

/** Vectors [count, dimension] float32, then labels and rows [count] int32. */
export function encodeNeighbours({ vectors, labels, rows }: Neighbours): Uint8Array {
  return concat([vectors, labels, rows])
}

/** @throws model-corrupt */
export function decodeNeighbours(
  bytes: Uint8Array,
  { dimension, count, classCount }: { dimension: number; count: number; classCount: number },
): Neighbours {
  const buffer = checked(bytes, 4 * count * (dimension + 2), 'neighbours')
  const vectors = new Float32Array(buffer, 0, count * dimension)
  const labels = new Int32Array(buffer, 4 * count * dimension, count)
  const rows = new Int32Array(buffer, 4 * count * (dimension + 1), count)
  checkFinite([vectors], 'neighbours')
  if (!labels.every(label => label >= 0 && label < classCount)) {
    throw corrupt('neighbours', 'names a class that does not exist')
  }
  return { dimension, count, vectors, labels, rows }
}

function concat(parts: readonly (Float32Array | Int32Array)[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0))
  let at = 0
  for (const part of parts) {
    bytes.set(new Uint8Array(part.buffer, part.byteOffset, part.byteLength), at)
    at += part.byteLength
  }
  return bytes
}

/** A copy, so that 4-byte views are aligned whatever the bytes were cut from. */
function checked(bytes: Uint8Array, expected: number, what: string): ArrayBuffer {
  if (bytes.length !== expected) {
    throw corrupt(what, `has ${bytes.length} bytes where ${expected} were expected`)
  }
  return Uint8Array.from(bytes).buffer
}

function checkFinite(parts: readonly Float32Array[], what: string): void {
  if (parts.every(part => part.every(Number.isFinite))) return
  throw corrupt(what, 'holds a value that is not a finite number')
}

function corrupt(what: string, problem: string): UnderstudyError {
  return new UnderstudyError('model-corrupt', `The file of the ${what} ${problem}.`, {
    help: 'Learn the task again; the specialist on disk is damaged.',
  })
}
