import { describe, expect, it } from 'vitest'
import { splitInner } from './inner-split.ts'

const rows = (count: number, labelOf = (i: number) => `l${i % 4}`) =>
  Array.from({ length: count }, (_, i) => ({ text: `text ${i}`, label: labelOf(i) }))

describe('splitInner', () => {
  it('holds back 15 % of each label', () => {
    const all = rows(400)
    const { training, selection } = splitInner('label', all, 0)
    expect([...training, ...selection].sort((a, b) => a - b)).toEqual(all.map((_, i) => i))
    for (const label of ['l0', 'l1', 'l2', 'l3']) {
      expect(selection.filter(row => all[row]?.label === label)).toHaveLength(15)
    }
  })

  it('never parts rows of one normalised text', () => {
    const twice = [
      ...rows(100),
      ...rows(100).map(row => ({ ...row, text: ` ${row.text.toUpperCase()}` })),
    ]
    const { selection } = splitInner('label', twice, 1)
    const held = new Set(selection)
    expect(held.size).toBeGreaterThan(10)
    for (const row of selection) expect(held.has((row + 100) % 200)).toBe(true)
  })

  it('keeps a label that is seen once for training', () => {
    const all = rows(50, i => (i === 7 ? 'rare' : 'common'))
    for (let seed = 0; seed < 20; seed++) {
      expect(splitInner('label', all, seed).training).toContain(7)
    }
  })

  it('holds nothing back of very few rows, and no more than 2,000 of very many', () => {
    expect(splitInner('label', rows(3), 0).selection).toEqual([])
    expect(splitInner('labels', rows(30_000), 0).selection.length).toBeLessThanOrEqual(2001)
  })

  it('holds some back of labels that have few rows each, however many there are', () => {
    const all = rows(60_000, i => `l${i % 6000}`)
    const { training, selection } = splitInner('label', all, 0)
    expect(selection.length).toBeGreaterThan(1900)
    expect(selection.length).toBeLessThanOrEqual(2000)
    expect(training).toHaveLength(all.length - selection.length)
  })

  it('changes with the seed, and not with the order of rows', () => {
    const all = rows(200)
    const texts = (list: typeof all, seed: number) =>
      splitInner('label', list, seed)
        .selection.map(row => list[row]?.text)
        .sort()
    expect(texts([...all].reverse(), 3)).toEqual(texts(all, 3))
    expect(texts(all, 4)).not.toEqual(texts(all, 3))
  })
})
