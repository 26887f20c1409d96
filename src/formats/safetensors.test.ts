import { describe, expect, it } from 'vitest'
import { isUnderstudyError } from '../errors.ts'
import {
  float16Tensor,
  float32Values,
  readSafetensors,
  readSafetensorsHead,
  type SafetensorsTensor,
  safetensorsHeadBytes,
  safetensorsParts,
  writeSafetensors,
} from './safetensors.ts'

/** A file with this header text and so many data bytes. */
function fileOf(header: string, dataBytes = 0, claimed?: bigint): Uint8Array {
  const json = new TextEncoder().encode(header)
  const file = new Uint8Array(8 + json.length + dataBytes)
  new DataView(file.buffer).setBigUint64(0, claimed ?? BigInt(json.length), true)
  file.set(json, 8)
  return file
}

const entry = (shape: number[], begin: number, end: number, dtype = 'F32') => ({
  dtype,
  shape,
  data_offsets: [begin, end],
})

function floats(values: number[], shape: number[]): SafetensorsTensor {
  return { type: 'F32', shape, bytes: new Uint8Array(Float32Array.from(values).buffer) }
}

describe('readSafetensors', () => {
  it('reads what writeSafetensors wrote, as views into the file', () => {
    const tensors = new Map([
      ['a', floats([1, 2, 3, 4, 5, 6], [2, 3])],
      ['empty', floats([], [0, 4])],
      ['scalar', floats([7], [])],
      ['__proto__', floats([8], [1])],
    ])
    const file = writeSafetensors(tensors, { format: 'pt' })
    const read = readSafetensors(file)
    expect([...read.tensors.keys()]).toEqual(['a', 'empty', 'scalar', '__proto__'])
    expect(read.metadata).toEqual({ format: 'pt' })
    const a = read.tensors.get('a') as SafetensorsTensor
    expect(a.bytes.buffer).toBe(file.buffer)
    const values = float32Values('a', a)
    expect(values.buffer).toBe(file.buffer)
    expect([...values]).toEqual([1, 2, 3, 4, 5, 6])
    expect(read.tensors.get('empty')?.bytes.byteLength).toBe(0)
  })

  it('copies floats only where the file is not aligned', () => {
    const file = fileOf(`${JSON.stringify({ a: entry([1], 0, 4) })} `, 4)
    const moved = new Uint8Array(file.length + 1)
    moved.set(file, 1)
    for (const bytes of [file, moved.subarray(1), Buffer.from(moved.buffer, 1)]) {
      const tensor = readSafetensors(bytes).tensors.get('a') as SafetensorsTensor
      expect([...float32Values('a', tensor)]).toEqual([0])
    }
  })

  it('widens half and brain floats, subnormals and infinities included', () => {
    const half = Uint16Array.of(0x3c00, 0xc000, 0x0001, 0x03ff, 0x7c00, 0x8000)
    const bytes = new Uint8Array(half.buffer)
    const wide = float32Values('h', { type: 'F16', shape: [6], bytes })
    expect([...wide]).toEqual([1, -2, 2 ** -24, 1023 * 2 ** -24, Number.POSITIVE_INFINITY, -0])
    const brain = new Uint8Array(Uint16Array.of(0x3f80, 0xc040).buffer)
    expect([...float32Values('b', { type: 'BF16', shape: [2], bytes: brain })]).toEqual([1, -3])
    const integers = { type: 'I64', shape: [1], bytes: new Uint8Array(8) } as const
    expect(() => float32Values('ids', integers)).toThrow(/ids is I64/)
  })

  it('narrows to half floats and back: exact where halves are, else to the nearest, even on a tie', () => {
    const every = Uint16Array.from({ length: 2 ** 16 }, (_, bits) => bits)
    const halves = { type: 'F16', shape: [2 ** 16], bytes: new Uint8Array(every.buffer) } as const
    const wide = float32Values('h', halves)
    const back = new Uint16Array(float16Tensor(wide, [2 ** 16]).bytes.buffer)
    const odd = [...back.entries()].filter(([bits, again]) =>
      Number.isNaN(wide[bits]) ? (again & 0x7fff) <= 0x7c00 : again !== bits,
    )
    expect(odd).toEqual([])
    const narrow = (value: number) =>
      float32Values('x', float16Tensor(Float32Array.of(value), [1]))[0]
    expect(narrow(1 + 2 ** -11)).toBe(1)
    expect(narrow(1 + 3 * 2 ** -11)).toBe(1 + 2 ** -9)
    expect(narrow(1 + 2 ** -11 + 2 ** -20)).toBe(1 + 2 ** -10)
    expect([narrow(2 ** -25), narrow(2 ** -25 + 2 ** -40), narrow(-1e-30)]).toEqual([
      0,
      2 ** -24,
      -0,
    ])
    expect(narrow(65_519)).toBe(65_504)
    expect(() => narrow(65_520)).toThrow(/65520 does not fit/)
  })

  const json = JSON.stringify
  const broken: [string, Uint8Array, RegExp][] = [
    ['is empty', new Uint8Array(0), /0 bytes/],
    ['is cut inside the length', new Uint8Array(7), /7 bytes/],
    ['claims a header of 100 GB', fileOf('{}', 0, 100_000_000_000n), /claims 100000000000 bytes/],
    ['claims the largest header', fileOf('{}', 0, 2n ** 64n - 1n), /claims 18446744073709551615/],
    ['claims more header than there is', fileOf('{}', 0, 3n), /claims 3 bytes, the file has 10/],
    ['has a header that is not JSON', fileOf('{"a":'), /not JSON/],
    ['has a header that is not UTF-8', Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0, 0xff), /not JSON/],
    ['has a header that is a list', fileOf('[]'), /not a JSON object/],
    ['names a tensor twice', fileOf(`{"a":${json(entry([0], 0, 0))},"\\u0061":1}`), /"a" twice/],
    ['names an offset twice', fileOf('{"a":{"shape":[],"shape":[]}}'), /"shape" twice/],
    ['has metadata that are not strings', fileOf('{"__metadata__":{"a":1}}'), /metadata/],
    ['describes a tensor by a number', fileOf('{"a":1}'), /a has no description/],
    ['has an unknown type', fileOf(json({ a: entry([1], 0, 4, 'F99') }), 4), /unknown type "F99"/],
    ['has a type of Object', fileOf(json({ a: entry([1], 0, 4, 'toString') }), 4), /unknown type/],
    ['has a negative size', fileOf(json({ a: entry([-1], 0, 4) }), 4), /no valid shape/],
    ['has a broken size', fileOf(json({ a: entry([0.5], 0, 2) }), 2), /no valid shape/],
    ['has a huge rank', fileOf(json({ a: entry(Array(17).fill(1), 0, 4) }), 4), /no valid shape/],
    [
      'has one offset',
      fileOf('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}}', 4),
      /offsets/,
    ],
    ['has offsets backwards', fileOf(json({ a: entry([1], 4, 0) }), 4), /claims bytes 4 to 0/],
    ['reaches past the end', fileOf(json({ a: entry([2], 0, 8) }), 4), /claims bytes 0 to 8 of 4/],
    ['claims 100 GB', fileOf(json({ a: entry([25e9], 0, 100e9) }), 4), /claims bytes 0 to/],
    ['has sizes that overflow', fileOf(json({ a: entry([2 ** 50, 2 ** 50], 0, 4) }), 4), /needs/],
    ['has another size than its shape', fileOf(json({ a: entry([2], 0, 4) }), 4), /needs 8 bytes/],
    [
      'has overlapping tensors',
      fileOf(json({ a: entry([2], 0, 8), b: entry([1], 4, 8) }), 8),
      /b begins at 4, inside/,
    ],
    [
      'has a gap',
      fileOf(json({ a: entry([1], 0, 4), b: entry([1], 8, 12) }), 12),
      /b begins at 8, after a gap/,
    ],
    [
      'nests a type 10,000 deep',
      fileOf(`{"a":{"dtype":${'['.repeat(1e4)}${']'.repeat(1e4)}}}`),
      /a has the unknown type a list$/,
    ],
    [
      'nests a shape 10,000 deep',
      fileOf(`{"a":{"dtype":"F32","shape":${'['.repeat(1e4)}${']'.repeat(1e4)}}}`),
      /no valid shape/,
    ],
    [
      'names its type by a megabyte',
      fileOf(json({ a: entry([1], 0, 4, 'F'.repeat(1e6)) }), 4),
      /type "F{79}…"$/,
    ],
    [
      'names a tensor by a megabyte',
      fileOf(json({ ['a'.repeat(1e6)]: entry([2], 0, 4) }), 4),
      /tensor "a{79}…" has 1000000 characters, more than 512$/,
    ],
    [
      'names a megabyte twice',
      fileOf(`{"${'a'.repeat(1e6)}":1,"${'a'.repeat(1e6)}":2}`),
      /names "a{79}…" twice$/,
    ],
    [
      'names a tensor by five million escapes',
      fileOf(`{"${'\\u0061'.repeat(5e6)}":1}`),
      /tensor "a{79}…" has 5000000 characters/,
    ],
    ['has unused bytes at its end', fileOf(json({ a: entry([1], 0, 4) }), 9), /5 bytes at its end/],
  ]
  it.each(broken)('refuses a file that %s', (_what, file, message) => {
    let thrown: unknown
    try {
      readSafetensors(file)
    } catch (error) {
      thrown = error
    }
    expect(isUnderstudyError(thrown) && thrown.code).toBe('model-corrupt')
    expect((thrown as Error).message).toMatch(message)
  })

  it('never does anything but read or refuse when bytes of a good file are changed', () => {
    const good = writeSafetensors(new Map([['a', floats([1, 2], [2])]]))
    for (let at = 0; at < good.length - 8; at++) {
      for (const value of [0, 0x22, 0x39, 0x7d, 0xff]) {
        const bad = good.slice()
        bad[at] = value
        try {
          for (const tensor of readSafetensors(bad).tensors.values()) {
            expect(tensor.bytes.byteLength).toBeLessThanOrEqual(8)
          }
        } catch (error) {
          expect(isUnderstudyError(error)).toBe(true)
        }
      }
    }
  })
})

describe('safetensorsParts', () => {
  it('are the bytes of the file, the tensors’ own', () => {
    const tensors = new Map([
      ['a', floats([1, 2], [2])],
      ['b', floats([3], [])],
    ])
    const parts = safetensorsParts(tensors, { format: 'pt' })
    expect(Buffer.concat(parts).equals(writeSafetensors(tensors, { format: 'pt' }))).toBe(true)
    expect(parts.slice(1)).toEqual(Array.from(tensors.values(), ({ bytes }) => bytes))
    expect(parts[1]?.buffer).toBe(tensors.get('a')?.bytes.buffer)
  })

  it('begin with a head that places tensors beyond what one array holds', () => {
    const shared = { type: 'F32', shape: [1 << 18], bytes: new Uint8Array(1 << 20) } as const
    const names = Array.from({ length: 5000 }, (_, i) => `t${i}`)
    const parts = safetensorsParts(new Map(names.map(name => [name, shared])))
    const head = parts[0] as Uint8Array
    const fileBytes = parts.reduce((sum, { byteLength }) => sum + byteLength, 0)
    expect(fileBytes).toBeGreaterThan(2 ** 32)
    expect(safetensorsHeadBytes(head.subarray(0, 8), fileBytes)).toBe(head.byteLength)
    const { spans } = readSafetensorsHead(head, fileBytes)
    expect([...spans.keys()]).toEqual(names)
    expect(spans.get('t0')?.begin).toBe(head.byteLength)
    expect(spans.get('t4999')).toMatchObject({ begin: fileBytes - 2 ** 20, end: fileBytes })
    expect(() => readSafetensorsHead(head, fileBytes - 1)).toThrow(/t4999 claims bytes/)
  })
})
