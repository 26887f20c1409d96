import { describe, expect, it } from 'vitest'
import { createOccurrenceCounter } from './occurrences.ts'
import { createSplitter, type Piece } from './split.ts'

function split(bytes: Buffer, chunkBytes: number): Piece[] {
  const splitter = createSplitter({ maxBytes: 64 })
  const pieces: Piece[] = []
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    pieces.push(...splitter.push(bytes.subarray(at, at + chunkBytes)))
  }
  return [...pieces, ...splitter.end()]
}

describe('splitter', () => {
  it.each([
    '{"a":1}\n\r\n {"b":"ü\\"]"}\r\n{"c":2}',
    '\ufeff{"a":1}\n{"b":2}\n',
    '[{"a":"]},[\\\\"}, 2,\n [3, {"x": null}],"s"]',
    '\ufeff \n[\n{"a":1}\n,\n{"b":2}]\n',
    `{"a":1}\n${'x'.repeat(100)}\n{"b":2}`,
    `[{"a":1},"${'x'.repeat(100)}",{"b":2}]`,
    '[{"a":1},{"b":',
    '[]',
    '',
    '\n',
  ])('cuts %j the same way whatever the chunks are', text => {
    const bytes = Buffer.from(text)
    const whole = split(bytes, bytes.length || 1)
    for (const chunkBytes of [1, 2, 3, 7]) expect(split(bytes, chunkBytes)).toEqual(whole)
  })

  it('locates each piece so that it can be read again', () => {
    const bytes = Buffer.from('\ufeff{"a":"ü"}\r\n\n{"b":2}')
    for (const piece of split(bytes, 5)) {
      if ('reason' in piece) throw new Error(piece.reason)
      const again = bytes.subarray(piece.offset, piece.offset + piece.byteLength).toString()
      expect(again.replace('\ufeff', '').trim()).toBe(piece.text)
    }
    expect(split(bytes, 5).map(piece => piece.line)).toEqual([1, 3])
  })
})

describe('occurrence counter', () => {
  it('counts like a map, also past several growths', () => {
    const counter = createOccurrenceCounter()
    const expected = new Map<string, number>()
    for (let i = 0; i < 40_000; i++) {
      const hash = ((i * 2654435761) % 9_000)
        .toString(16)
        .padStart(64, '0')
        .slice(-12)
        .padEnd(64, '0')
      expect(counter.next(hash)).toBe(expected.get(hash) ?? 0)
      expected.set(hash, (expected.get(hash) ?? 0) + 1)
    }
  })
})
