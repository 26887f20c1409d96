import { describe, expect, it } from 'vitest'
import { type Combiner, confidenceFeatures, decideVerdict, pool, topTwo } from './combiner.ts'
import { neighboursOpinion } from './neighbours.ts'
import { toLogProbabilities } from './reflex.ts'

const opinion = (probabilities: number[], signals: number[] = []) => ({
  logProbabilities: toLogProbabilities(Float64Array.from(probabilities, Math.log)),
  signals,
})

describe('the pool', () => {
  it('is the part itself when there is one with weight 1', () => {
    const pooled = pool([opinion([0.7, 0.2, 0.1])], [1])
    expect([...pooled].map(Math.exp)).toEqual([0.7, 0.2, 0.1].map(p => expect.closeTo(p, 12)))
  })

  it('prefers what both parts find likely over the favourite of one', () => {
    const pooled = pool([opinion([0.6, 0.39, 0.01]), opinion([0.01, 0.39, 0.6])], [0.5, 0.5])
    expect(topTwo(pooled).first).toBe(1)
  })
})

describe('topTwo', () => {
  it('takes the first of equals and knows no runner-up among one', () => {
    expect(topTwo(Float64Array.of(1, 3, 3, 2))).toEqual({ first: 1, second: 2 })
    expect(topTwo(Float64Array.of(5, 4))).toEqual({ first: 0, second: 1 })
    expect(topTwo(Float64Array.of(5))).toEqual({ first: 0, second: -1 })
  })
})

describe('the confidence', () => {
  const combiner: Combiner = {
    poolWeights: [1],
    means: [0, 0],
    deviations: [1, 1],
    coefficients: [1, 0.5],
    intercept: 0,
    lows: [-20, -20],
    highs: [20, 20],
  }

  it('lies in [0, 1] and grows with the lead of the best class', () => {
    const scores = [0.34, 0.5, 0.9, 0.999999, 1].map(
      p => decideVerdict(combiner, [opinion([p, (1 - p) / 2, (1 - p) / 2])]).score,
    )
    expect(scores).toEqual([...scores].sort((a, b) => a - b))
    expect(scores.every(score => score >= 0 && score <= 1)).toBe(true)
  })

  it('does not extrapolate: an input unlike all that was seen has none', () => {
    const withSignal: Combiner = {
      ...combiner,
      means: [0, 0, 0.8],
      deviations: [1, 1, 0.1],
      coefficients: [1, 0.5, -3],
      lows: [-20, -20, 0.6],
      highs: [20, 20, 1],
    }
    const score = (familiarity: number) =>
      decideVerdict(withSignal, [opinion([0.4, 0.3, 0.3], [familiarity])]).score
    expect(score(0.55)).toBe(score(0.6))
    expect(score(0.1)).toBe(0)
    expect(score(5)).toBe(0)
  })

  it('is computed from finite numbers, for one class too', () => {
    for (const probabilities of [[1], [1, 0, 0], [0.5, 0.5]]) {
      const parts = [opinion(probabilities, [1]), opinion(probabilities.toReversed())]
      const features = confidenceFeatures(pool(parts, [1, 0]), parts)
      expect(features.every(Number.isFinite)).toBe(true)
    }
  })
})

describe("the neighbours' opinion", () => {
  const rule = { k: 3, sharpness: 25, smoothing: 0.02 }
  const labels = Int32Array.of(0, 1, 1, 2)

  it('weighs near votes more than far ones', () => {
    const nearest = {
      similarities: Float32Array.of(0.95, 0.7, 0.7),
      indices: Int32Array.of(3, 0, 1),
    }
    const { logProbabilities, signals } = neighboursOpinion(nearest, labels, {
      classCount: 3,
      rule,
    })
    expect(topTwo(logProbabilities).first).toBe(2)
    expect(signals[0]).toBeCloseTo(0.95, 6)
    expect(logProbabilities.reduce((sum, lp) => sum + Math.exp(lp), 0)).toBeCloseTo(1, 12)
  })

  it('is uniform where every row is shut out', () => {
    const nearest = {
      similarities: Float32Array.of(-7, -7.5, -8),
      indices: Int32Array.of(0, 1, 2),
    }
    const { logProbabilities, signals } = neighboursOpinion(nearest, labels, {
      classCount: 3,
      rule,
    })
    logProbabilities.forEach(lp => {
      expect(lp).toBeCloseTo(-Math.log(3), 12)
    })
    expect(signals).toEqual([-1, 0])
  })
})
