import { describe, expect, it } from 'vitest'
import { emit } from './emit.ts'
import { float32, input, type Value } from './graph.ts'
import { Add, MatMul, Mul, Relu, TopK } from './ops.ts'

const x = input('x', 'float32', ['batch', 2])
const text = (bytes: Uint8Array) => new TextDecoder('latin1').decode(bytes)
const count = (bytes: Uint8Array, word: string) => text(bytes).split(word).length - 1

describe('emit', () => {
  it('writes a shared value once, however often it is used', () => {
    const w = float32('weight', Float32Array.of(1, 2, 3, 4), [2, 2])
    const y = MatMul(x, w)
    const bytes = emit('g', { inputs: [x], outputs: { sum: Add(y, y), product: Mul(y, Relu(y)) } })
    // Type and name of the one node, its output, and the inputs that name it: Add 2, Mul 1, Relu 1.
    expect(count(bytes, 'MatMul_0:0')).toBe(1 + 4)
    expect(count(bytes, 'weight')).toBe(1 + 1)
  })

  it('numbers constants of one name apart, and leaves inputs their names', () => {
    const w = (name: string) => float32(name, Float32Array.of(1), [1])
    const bytes = emit('g', { inputs: [x], outputs: { y: Add(Add(x, w('x')), w('x')) } })
    expect(count(bytes, 'x_2')).toBe(2)
    expect(count(bytes, 'x_3')).toBe(2)
  })

  it('writes a graph deeper than the call stack', () => {
    let y: Value = x
    for (let i = 0; i < 20_000; i++) y = Relu(y)
    expect(emit('deep', { inputs: [x], outputs: { y } }).byteLength).toBeGreaterThan(20_000)
  })

  it('gives results their public names, and copies only what cannot take one', () => {
    const { values, indices } = TopK(x, 1)
    const bytes = emit('g', { inputs: [x], outputs: { largest: values, places: indices } })
    // The node's output and the graph's; no Identity, which would be a pass over memory.
    expect(['largest', 'places', 'Identity'].map(name => count(bytes, name))).toEqual([2, 2, 0])
    const twice = emit('g', { inputs: [x], outputs: { one: values, two: values, same: x } })
    expect(count(twice, 'Identity')).toBe(2)
  })

  it('refuses an input that is not listed, and two of one name', () => {
    const other = input('x', 'float32', ['batch', 2])
    expect(() => emit('g', { inputs: [], outputs: { y: Relu(x) } })).toThrow(/needs the input x/)
    expect(() => emit('g', { inputs: [x, other], outputs: { y: Add(x, other) } })).toThrow(
      /one name/,
    )
  })
})
