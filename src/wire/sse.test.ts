import { expect, test } from 'vitest'
import { createRng } from '../util/index.ts'
import {
  createSseParser,
  formatSse,
  formatSseComment,
  nestsDeeperThan,
  parseJson,
  type SseEvent,
} from './index.ts'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

function read(text: string, cuts: readonly number[] = []): readonly SseEvent[] {
  const parser = createSseParser()
  const all = bytes(text)
  const events: SseEvent[] = []
  let from = 0
  for (const cut of [...cuts, all.length]) {
    events.push(...parser.push(all.subarray(from, cut)))
    from = cut
  }
  return [...events, ...parser.end()]
}

const data = (text: string): string[] => read(text).map(event => event.data)

test.each([
  ['data: a\n\ndata:b\n\n', ['a', 'b']],
  ['data: a\r\n\r\ndata: b\r\rdata: c\n\n', ['a', 'b', 'c']],
  ['data: one\ndata: two\ndata\n\n', ['one\ntwo\n']],
  [': comment\n\n:\ndata: a\nid: 5\nretry: 10\nnonsense: x\n\n', ['a']],
  ['data:  two spaces\n\n', [' two spaces']],
  ['\uFEFFdata: after a mark\n\n', ['after a mark']],
  ['data: not closed', ['not closed']],
  ['event: only\n\n', []],
  ['', []],
])('%j is read as %j', (text, expected) => {
  expect(data(text)).toEqual(expected)
})

test('names and ids belong to their own event', () => {
  expect(read('event: done\nid: 7\ndata: x\n\ndata: y\n\n')).toEqual([
    { event: 'done', id: '7', data: 'x' },
    { event: 'message', id: null, data: 'y' },
  ])
})

test('a stream is read the same wherever it is cut', () => {
  const text =
    ': hi\r\ndata: Grüße, 世界 🌍\r\n\r\nevent: e\ndata: {"a":\ndata: 1}\n\ndata: [DONE]\r\r'
  const whole = read(text)
  expect(whole).toHaveLength(3)
  const length = bytes(text).length
  for (let cut = 1; cut < length; cut++) expect(read(text, [cut])).toEqual(whole)
  const rng = createRng('sse cuts')
  for (let round = 0; round < 50; round++) {
    const cuts = Array.from({ length: 8 }, () => rng.int(length)).sort((a, b) => a - b)
    expect(read(text, cuts)).toEqual(whole)
  }
})

test('an event beyond the limit is dropped, not held, and the next one is read', () => {
  const parser = createSseParser({ maxEventLength: 100 })
  for (let i = 0; i < 1000; i++) expect(parser.push(bytes('data: xxxxxxxxxxxxxxxx'))).toEqual([])
  expect(parser.isOverflown).toBe(true)
  expect(parser.push(bytes('\n\ndata: a\n\n')).map(event => event.data)).toEqual(['a'])
  for (let i = 0; i < 50; i++) expect(parser.push(bytes('data: many lines\n'))).toEqual([])
  expect(parser.push(bytes('\ndata: b\n\n')).map(event => event.data)).toEqual(['b'])
})

test('what is written is read back', () => {
  const written =
    formatSse('{"a":1}\nsecond', { event: 'e', id: '1' }) + formatSseComment('note\nx')
  expect(read(written)).toEqual([{ event: 'e', id: '1', data: '{"a":1}\nsecond' }])
})

test('depth is counted outside strings only', () => {
  expect(nestsDeeperThan('[[[]]]', 2)).toBe(true)
  expect(nestsDeeperThan('[[],[],{}]', 2)).toBe(false)
  expect(nestsDeeperThan('["[[[[\\"[[[["]', 1)).toBe(false)
  expect(nestsDeeperThan('["\\\\",[[', 2)).toBe(true)
  expect(nestsDeeperThan('"[[[[', 0)).toBe(false)
  expect(() => parseJson('['.repeat(100_000))).toThrow('deeper')
  expect(() => parseJson('{')).toThrow('not valid JSON')
})
