import { describe, expect, it } from 'vitest'
import { createRng } from '../util/index.ts'
import { chainFilters, createJsonFilter, createStopFilter, type StopFilter } from './llama-stops.ts'

function through(filter: StopFilter, pieces: readonly string[]): string {
  let out = ''
  for (const piece of pieces) {
    out += filter.push(piece)
    if (filter.isStopped) return out
  }
  return out + filter.flush()
}

/** The text cut into pieces of one to four units, differently for each seed. */
function cut(text: string, seed: number): string[] {
  const rng = createRng(seed)
  const pieces: string[] = []
  for (let at = 0; at < text.length; ) {
    const length = 1 + rng.int(4)
    pieces.push(text.slice(at, at + length))
    at += length
  }
  return pieces
}

describe('createStopFilter', () => {
  it('cuts before the first stop sequence, however the text is cut into pieces', () => {
    for (let seed = 0; seed < 50; seed++) {
      expect(through(createStopFilter(['END', 'ENOUGH']), cut('an ENENOUGH END', seed))).toBe(
        'an EN',
      )
    }
  })

  it('lets through what only began like one', () => {
    for (let seed = 0; seed < 20; seed++) {
      expect(through(createStopFilter(['ENDING']), cut('the END', seed))).toBe('the END')
    }
  })

  it('holds nothing back without stop sequences', () => {
    expect(createStopFilter([]).push('abc')).toBe('abc')
  })

  it('stays silent after the stop', () => {
    const filter = createStopFilter(['.'])
    expect(filter.push('a.b')).toBe('a')
    expect([filter.isStopped, filter.push('c'), filter.flush()]).toEqual([true, '', ''])
  })
})

describe('createJsonFilter', () => {
  it.each([
    ['{"a": "}\\"]"} and more', '{"a": "}\\"]"}'],
    ['\n {"a": [1, {"b": []}]}\n\n\n\n', '\n {"a": [1, {"b": []}]}'],
    ['[1, "[", 2]]', '[1, "[", 2]'],
    ['"red"\n\n\n\n', '"red"'],
    ['12\n', '12'],
    ['{"unfinished": ', '{"unfinished": '],
  ])('cuts %j after its value', (text, value) => {
    for (let seed = 0; seed < 20; seed++) {
      expect(through(createJsonFilter(), cut(text, seed)).trim()).toBe(value.trim())
    }
  })
})

describe('chainFilters', () => {
  it('stops where either does', () => {
    const chained = () => chainFilters(createJsonFilter(), createStopFilter(['STOP']))
    expect(through(chained(), ['{"a": "b', 'STOP"}'])).toBe('{"a": "b')
    expect(through(chained(), ['{"a": 1} STOP'])).toBe('{"a": 1}')
  })
})
