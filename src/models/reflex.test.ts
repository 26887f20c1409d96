import { describe, expect, it } from 'vitest'
import { createRng } from '../util/index.ts'
import { decodeReflex, encodeReflex, predictReflex, quantiseReflex } from './reflex.ts'
import { hashFeatures, tokenise, weighFeatures } from './reflex-features.ts'
import { reflexOpinionOfText } from './reflex-part.ts'

function someReflex(bits = 10, classCount = 3) {
  const rng = createRng('reflex')
  const buckets = 2 ** bits
  return quantiseReflex({
    bits,
    classCount,
    bias: Float32Array.from({ length: classCount }, () => rng.normal()),
    idf: new Float32Array(buckets).fill(1),
    weights: Float32Array.from({ length: buckets * classCount }, () => rng.normal()),
  })
}

describe('reflex features', () => {
  it('do not depend on case, compatibility forms or white space', () => {
    const plain = hashFeatures('card lost', 12)
    expect(hashFeatures('  CARD\n\tlost ', 12)).toEqual(plain)
    expect(hashFeatures('ｃａｒｄ lost', 12)).toEqual(plain)
  })

  it('tell apart texts that differ in one character, in any script', () => {
    for (const [a, b] of [
      ['refund', 'refunds'],
      ['退款', '退票'],
      ['тариф', 'тарифы'],
      ['👍', '👎'],
    ] as const) {
      expect(hashFeatures(a, 16).buckets).not.toEqual(hashFeatures(b, 16).buckets)
    }
  })

  it('share most character grams between a word and its misspelling', () => {
    const upper = 2 ** 15
    const grams = (text: string) =>
      new Set([...hashFeatures(text, 16).buckets].filter(bucket => bucket >= upper))
    const right = grams('transaction')
    const shared = [...grams('transactoin')].filter(gram => right.has(gram))
    expect(shared.length).toBeGreaterThan(right.size / 3)
  })

  it('read a bounded part of a long text, and keep buckets ascending, distinct and in range', () => {
    const long = 'overdraft fee ¿qué? '.repeat(2500) // 50 kB
    const { buckets, counts, wordCount } = hashFeatures(long, 12)
    expect(buckets.length).toBeLessThan(4096)
    expect(wordCount).toBeLessThan(buckets.length)
    expect(counts.every(count => count >= 1)).toBe(true)
    for (let i = 1; i < buckets.length; i++) {
      expect(buckets[i] as number).toBeGreaterThan(buckets[i - 1] as number)
    }
    expect(tokenise('a'.repeat(50_000))).toEqual(['a'.repeat(4096)])
  })

  it('survive empty, blank and broken text', () => {
    for (const text of ['', ' \n\t', '\u0000', '\ud800', 'ﷺ'.repeat(3000), '\u0301']) {
      const features = hashFeatures(text, 10)
      const values = weighFeatures(features, new Float32Array(1024).fill(1))
      expect(values.every(Number.isFinite)).toBe(true)
    }
    expect(hashFeatures('', 10).buckets.length).toBe(0)
  })

  it('weigh nothing where no bucket was seen in fitting', () => {
    const values = weighFeatures(hashFeatures('hello there', 10), new Float32Array(1024))
    expect(values.every(value => value === 0)).toBe(true)
  })
})

describe('a reflex', () => {
  it('gives probabilities that sum to one', () => {
    for (const text of ['', 'where is my card', 'x'.repeat(50_000)]) {
      const sum = predictReflex(someReflex(), text).reduce((total, lp) => total + Math.exp(lp), 0)
      expect(sum).toBeCloseTo(1, 12)
    }
  })

  it('answers with its bias where it knows nothing, and says that nothing is familiar', () => {
    const reflex = { ...someReflex(), idf: new Float32Array(1024) }
    const { logProbabilities, signals } = reflexOpinionOfText(reflex, 'never seen')
    const logSum = Math.log(reflex.bias.reduce((sum, b) => sum + Math.exp(b), 0))
    logProbabilities.forEach((lp, k) => {
      expect(lp).toBeCloseTo((reflex.bias[k] as number) - logSum, 10)
    })
    expect(signals[0]).toBe(0)
  })

  it('is the same after a round trip through bytes, from any offset', () => {
    const reflex = someReflex()
    const bytes = encodeReflex(reflex)
    const shifted = new Uint8Array(bytes.length + 3)
    shifted.set(bytes, 3)
    expect(decodeReflex(shifted.subarray(3), 10, 3)).toEqual(reflex)
    // A file is read into a Buffer, whose own `slice` copies nothing.
    expect(decodeReflex(Buffer.from(shifted.buffer, 3), 10, 3)).toEqual(reflex)
  })

  it('refuses bytes of another size and values that are not numbers', () => {
    const bytes = encodeReflex(someReflex())
    expect(() => decodeReflex(bytes.subarray(1), 10, 3)).toThrow(/bytes where/)
    expect(() => decodeReflex(bytes, 11, 3)).toThrow(/bytes where/)
    const broken = bytes.slice()
    new DataView(broken.buffer).setFloat32(0, Number.NaN, true)
    expect(() => decodeReflex(broken, 10, 3)).toThrow(/not a finite number/)
  })

  it('keeps weights to within half a step of 8 bits', () => {
    const weights = Float32Array.from([1, -0.5, 0.013, 0, 0, 0])
    const idf = new Float32Array(2).fill(1)
    const { scales, codes } = quantiseReflex({
      bits: 1,
      classCount: 3,
      bias: new Float32Array(3),
      idf,
      weights,
    })
    weights.forEach((weight, i) => {
      const bucket = Math.floor(i / 3)
      const stored = (scales[bucket] as number) * (codes[i] as number)
      expect(Math.abs(stored - weight)).toBeLessThanOrEqual(0.5 / 127 + 1e-6)
    })
  })
})
