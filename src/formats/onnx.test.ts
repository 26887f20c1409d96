import { describe, expect, it } from 'vitest'
import { type OnnxModel, writeOnnx } from './onnx.ts'

/** A slow, obvious protobuf reader: fields by number, in order. */
function fields(bytes: Uint8Array): { field: number; value: bigint | Uint8Array }[] {
  const found: { field: number; value: bigint | Uint8Array }[] = []
  let at = 0
  const varint = (): bigint => {
    let value = 0n
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++] as number
      value |= BigInt(byte & 127) << shift
      if (byte < 128) return value
    }
  }
  while (at < bytes.length) {
    const tag = varint()
    const wire = Number(tag & 7n)
    const length = wire === 2 ? Number(varint()) : 4
    const value = wire === 0 ? varint() : bytes.subarray(at, at + length)
    if (wire !== 0) at += length
    found.push({ field: Number(tag >> 3n), value })
  }
  return found
}

const all = (bytes: Uint8Array, field: number) =>
  fields(bytes).flatMap(one => (one.field === field ? [one.value] : []))
const messages = (bytes: Uint8Array, field: number) => all(bytes, field) as Uint8Array[]
const message = (bytes: Uint8Array, field: number) => messages(bytes, field)[0] as Uint8Array
const texts = (bytes: Uint8Array, field: number) =>
  messages(bytes, field).map(one => new TextDecoder().decode(one))

const model: OnnxModel = {
  name: 'test',
  opsets: { '': 20, 'com.microsoft': 1 },
  nodes: [
    {
      op: 'Softmax',
      name: 'soft',
      domain: 'com.microsoft',
      inputs: ['x', ''],
      outputs: ['y'],
      attributes: {
        axis: { kind: 'int', value: -1 },
        epsilon: { kind: 'float', value: 0.5 },
        mode: { kind: 'string', value: 'é' },
        perm: { kind: 'ints', value: [0, 300] },
      },
    },
  ],
  initializers: [{ name: 'w', type: 'float32', dims: [1, 2], data: Float32Array.of(1, 2) }],
  inputs: [{ name: 'x', type: 'int64', shape: ['batch', 3] }],
  outputs: [{ name: 'y', type: 'bool', shape: [] }],
}

describe('writeOnnx', () => {
  const bytes = writeOnnx(model)
  const graph = message(bytes, 7)

  it('writes versions and operator sets', () => {
    expect(all(bytes, 1)).toEqual([10n])
    expect(messages(bytes, 8).map(set => [texts(set, 1)[0], all(set, 2)[0]])).toEqual([
      ['', 20n],
      ['com.microsoft', 1n],
    ])
  })

  it('writes nodes with inputs left out, domain and every kind of attribute', () => {
    const node = message(graph, 1)
    expect([
      texts(node, 1),
      texts(node, 2),
      texts(node, 3),
      texts(node, 4),
      texts(node, 7),
    ]).toEqual([['x', ''], ['y'], ['soft'], ['Softmax'], ['com.microsoft']])
    const [axis, epsilon, mode, perm] = messages(node, 5) as [
      Uint8Array,
      Uint8Array,
      Uint8Array,
      Uint8Array,
    ]
    expect([texts(axis, 1), all(axis, 3), all(axis, 20)]).toEqual([
      ['axis'],
      [2n ** 64n - 1n],
      [2n],
    ])
    expect([[...message(epsilon, 2)], all(epsilon, 20)]).toEqual([[0, 0, 0, 0x3f], [1n]])
    expect([texts(mode, 4), all(mode, 20)]).toEqual([['é'], [3n]])
    expect([all(perm, 8), all(perm, 20)]).toEqual([[0n, 300n], [7n]])
  })

  it('writes tensors as raw little-endian bytes', () => {
    const tensor = message(graph, 5)
    expect([all(tensor, 1), all(tensor, 2), texts(tensor, 8)]).toEqual([[1n, 2n], [1n], ['w']])
    expect([...message(tensor, 9)]).toEqual([0, 0, 128, 63, 0, 0, 0, 64])
  })

  it('writes named and fixed sizes of inputs and outputs', () => {
    const type = message(message(message(graph, 11), 2), 1)
    expect(all(type, 1)).toEqual([7n])
    const [batch, three] = messages(message(type, 2), 1) as [Uint8Array, Uint8Array]
    expect([texts(batch, 2), all(three, 1)]).toEqual([['batch'], [3n]])
    expect(all(message(message(message(graph, 12), 2), 1), 1)).toEqual([9n])
  })

  it('refuses a model beyond the limit of protobuf without building it', () => {
    const data = new Uint8Array(2 ** 20)
    const initializers = Array.from({ length: 2049 }, (_, i) => ({
      name: `w${i}`,
      type: 'uint8' as const,
      dims: [2 ** 20],
      data,
    }))
    expect(() => writeOnnx({ ...model, initializers })).toThrow(/The graph test has 2148/)
  })
})
