import { describe, expect, it } from 'vitest'
import { bioLabels, bioToSpans, spansToBio, splitWords } from './spans.ts'

const LABELS = ['city', 'time']
const words = (text: string) => splitWords(text).map(word => word.text)

describe('splitWords', () => {
  it.each([
    ['fly to Rome, at 7:30', ['fly', 'to', 'Rome', ',', 'at', '7', ':', '30']],
    ["don't", ['don', "'", 't']],
    ['  ', []],
    ['東京へ', ['東', '京', 'へ']],
    ['naïve\u00a0café', ['naïve', 'café']],
    ['a😀b', ['a', '😀', 'b']],
  ])('cuts %j', (text, expected) => {
    expect(words(text)).toEqual(expected)
  })

  it('says where words stand, in UTF-16 code units', () => {
    for (const { text, start, end } of splitWords('a😀 b')) {
      expect('a😀 b'.slice(start, end)).toBe(text)
    }
  })
})

describe('spans and BIO', () => {
  const text = 'fly to New York at noon'
  const cut = splitWords(text)

  it('come back as they were', () => {
    const spans = [
      { start: 7, end: 15, label: 'city' },
      { start: 19, end: 23, label: 'time' },
    ]
    const bio = spansToBio(cut, spans, LABELS)
    expect([...bio]).toEqual([0, 0, 1, 2, 0, 3])
    expect(bioToSpans(cut, bio, LABELS)).toEqual(spans)
    expect(bioLabels(LABELS)).toEqual(['O', 'B-city', 'I-city', 'B-time', 'I-time'])
  })

  it('take whole words where a mark begins or ends inside one', () => {
    expect([...spansToBio(cut, [{ start: 8, end: 12, label: 'city' }], LABELS)]).toEqual([
      0, 0, 1, 2, 0, 0,
    ])
  })

  it('keep neighbours of one label apart', () => {
    const spans = [
      { start: 7, end: 10, label: 'city' },
      { start: 11, end: 15, label: 'city' },
    ]
    expect(bioToSpans(cut, spansToBio(cut, spans, LABELS), LABELS)).toEqual(spans)
  })

  it('give overlapping words to the span that begins first', () => {
    const spans = [
      { start: 11, end: 18, label: 'time' },
      { start: 7, end: 15, label: 'city' },
    ]
    expect([...spansToBio(cut, spans, LABELS)]).toEqual([0, 0, 1, 2, 0, 0])
  })

  it('begin a span at an I that follows no word of its label', () => {
    expect(bioToSpans(cut, [0, 0, 2, 2, 4, 0], LABELS)).toEqual([
      { start: 7, end: 15, label: 'city' },
      { start: 16, end: 18, label: 'time' },
    ])
  })

  it('leave out a mark on white space alone, and a label that is not known', () => {
    const spans = [
      { start: 3, end: 4, label: 'city' },
      { start: 0, end: 3, label: 'airline' },
    ]
    expect([...spansToBio(cut, spans, LABELS)]).toEqual([0, 0, 0, 0, 0, 0])
  })
})
