/** Tests, bounds, resampling and curves: tabulated values and known truths. */
import { describe, expect, it } from 'vitest'
import { createRng } from '../util/index.ts'
import {
  areaUnderRiskCoverage,
  binomialCdf,
  deltaOfLook,
  expectedCalibrationError,
  fixedSequenceTest,
  groupBootstrap,
  hoeffdingBentkus,
  hoeffdingBentkusUpper,
  lossesAllowed,
  monotoneScan,
  reliabilityBins,
  riskCoverageCurve,
  zeroLossMinimum,
} from './index.ts'

describe('sample sizes', () => {
  it('matches the published table of zero-error minima', () => {
    expect([0.01, 0.02, 0.05].map(risk => zeroLossMinimum(risk, 0.05))).toEqual([299, 149, 59])
    expect([0.01, 0.02, 0.05].map(risk => zeroLossMinimum(risk, 0.1))).toEqual([230, 114, 45])
    expect(zeroLossMinimum(0.5, 0.25)).toBe(2)
    expect(zeroLossMinimum(0, 0.1)).toBe(Number.POSITIVE_INFINITY)
  })

  it('matches the published table of disagreements allowed', () => {
    const allowed = (risk: number, counts: number[]) =>
      counts.map(n => lossesAllowed(n, risk, 0.05))
    expect(allowed(0.01, [500, 1000, 2000, 5000])).toEqual([1, 4, 12, 38])
    expect(allowed(0.02, [200, 500, 1000, 2000])).toEqual([0, 4, 12, 29])
    expect(allowed(0.05, [100, 300, 500, 1000])).toEqual([1, 8, 16, 38])
    expect(allowed(0.1, [100, 300, 1000])).toEqual([4, 21, 84])
    expect(lossesAllowed(58, 0.05, 0.05)).toBe(-1)
  })
})

describe('hoeffdingBentkus', () => {
  it('is the smaller of its two published parts', () => {
    const n = 400
    const mean = 12 / n
    const kl = mean * Math.log(mean / 0.05) + (1 - mean) * Math.log((1 - mean) / 0.95)
    const expected = Math.min(Math.exp(-n * kl), Math.E * binomialCdf(12, n, 0.05))
    expect(hoeffdingBentkus(12, n, 0.05)).toBeCloseTo(expected, 14)
    expect(hoeffdingBentkus(40, n, 0.05)).toBe(1)
    expect(hoeffdingBentkus(0, 0, 0.05)).toBe(1)
  })

  it('is not fooled by rounding errors in the sum of losses', () => {
    expect(hoeffdingBentkus(3 + 4e-16 * 3, 200, 0.05)).toBeCloseTo(
      hoeffdingBentkus(3, 200, 0.05),
      12,
    )
  })

  it('gives a bound that the test itself just rejects', () => {
    const bound = hoeffdingBentkusUpper(7.5, 300, 0.02)
    expect(hoeffdingBentkus(7.5, 300, bound + 1e-9)).toBeLessThanOrEqual(0.02)
    expect(hoeffdingBentkus(7.5, 300, bound - 1e-6)).toBeGreaterThan(0.02)
    expect(hoeffdingBentkusUpper(5, 5, 0.1)).toBe(1)
  })

  it('rejects a true mean of exactly the target at most as often as allowed', () => {
    const rng = createRng('hb')
    let rejections = 0
    for (let r = 0; r < 2000; r++) {
      let sum = 0
      // Losses of 0, ½ and 1 with mean 0.1.
      for (let i = 0; i < 150; i++) {
        const u = rng.next()
        sum += u < 0.05 ? 1 : u < 0.15 ? 0.5 : 0
      }
      if (hoeffdingBentkus(sum, 150, 0.1) <= 0.1) rejections++
    }
    expect(rejections).toBeGreaterThan(0)
    expect(rejections / 2000).toBeLessThanOrEqual(0.1)
  })
})

describe('several tests at one level', () => {
  const indices = (rejections: readonly { index: number }[]) => rejections.map(each => each.index)

  it('walks from every start until the first failure', () => {
    const p = [0.5, 0.001, 0.02, 0.5, 0.001, 0.015, 0.3]
    const rejections = fixedSequenceTest(p, [0, 2, 4], 0.06)
    expect(indices(rejections)).toEqual([2, 4, 5])
    expect(rejections.every(({ level }) => level === 0.02)).toBe(true)
    expect(fixedSequenceTest([], [], 0.1)).toEqual([])
    expect(indices(monotoneScan([0.01, 0.09, 0.2, 0.01], 0.1))).toEqual([0, 1])
  })

  it('brings its level along to the next start, and loses it with the first failure', () => {
    expect(fixedSequenceTest([0.001, 0.02, 0.03, 0.04], [0, 2], 0.04)).toEqual([
      { index: 0, level: 0.02 },
      { index: 1, level: 0.02 },
      { index: 2, level: 0.04 },
      { index: 3, level: 0.04 },
    ])
    expect(indices(fixedSequenceTest([0.001, 0.5, 0.03], [0, 2], 0.04))).toEqual([0])
  })

  it('rejects any true hypothesis with probability delta at most, wherever the true ones begin', () => {
    const rng = createRng('fallback')
    const runs = 20_000
    for (const firstTrue of [0, 3, 7]) {
      let wrong = 0
      for (let run = 0; run < runs; run++) {
        const p = Array.from({ length: 10 }, (_, i) => (i < firstTrue ? 0 : rng.next()))
        if (fixedSequenceTest(p, [0, 2, 4, 6, 8], 0.1).some(({ index }) => index >= firstTrue))
          wrong++
      }
      // Three standard errors of the count at probability 0.1.
      expect(wrong / runs).toBeLessThan(0.1 + 3 * Math.sqrt(0.09 / runs))
    }
  })

  it('never rejects on a p-value that is not a number', () => {
    expect(fixedSequenceTest([Number.NaN], [0], 0.1)).toEqual([])
  })

  it('spends no more than delta over all looks', () => {
    let spent = 0
    for (let look = 1; look <= 100_000; look++) spent += deltaOfLook(0.1, look)
    expect(spent).toBeLessThan(0.1)
    expect(spent).toBeGreaterThan(0.0999)
    expect(deltaOfLook(0.1, 1)).toBeCloseTo(0.0608, 4)
  })
})

describe('resampling', () => {
  it('covers the true ratio about as often as its level says', () => {
    const rng = createRng('bootstrap')
    let covered = 0
    for (let r = 0; r < 200; r++) {
      const sizes = Array.from({ length: 80 }, () => 1 + rng.int(5))
      const losses = sizes.map(size => (rng.next() < 0.3 ? size : 0))
      const { low, high } = groupBootstrap(losses, sizes, { rng, resampleCount: 200 })
      if (low <= 0.3 && 0.3 <= high) covered++
    }
    expect(covered).toBeGreaterThan(175)
    expect(covered).toBeLessThan(200)
  })

  it('says NaN where there is nothing to resample', () => {
    expect(groupBootstrap([], [], { rng: createRng(1) }).estimate).toBeNaN()
    expect(groupBootstrap([0], [0], { rng: createRng(1) }).low).toBeNaN()
  })
})

describe('curves', () => {
  it('puts scores on a bin edge into the lower bin and leaves NaN out', () => {
    const bins = reliabilityBins([0, 0.5, 0.51, 1, Number.NaN], [1, 0, 1, 0, 1], 2)
    expect(bins.map(bin => bin.count)).toEqual([2, 2])
    expect(bins[0]?.meanGain).toBe(0.5)
    // |0.25 − 0.5| and |0.755 − 0.5|, each half of the data.
    expect(expectedCalibrationError(bins)).toBeCloseTo((0.25 + 0.255) / 2, 12)
    expect(expectedCalibrationError(reliabilityBins([], []))).toBeNaN()
  })

  it('gives one point per distinct score', () => {
    const curve = riskCoverageCurve([0.9, 0.9, 0.4, Number.NaN], [0, 1, 1, 0])
    expect(curve).toEqual([
      { score: 0.9, coverage: 0.5, risk: 0.5 },
      { score: 0.4, coverage: 0.75, risk: 2 / 3 },
    ])
  })

  it('measures the area as the mean risk over prefixes, ties averaged', () => {
    expect(areaUnderRiskCoverage([3, 2, 1], [0, 0, 1])).toBeCloseTo(1 / 9, 12)
    expect(areaUnderRiskCoverage([1, 1, 1, 1], [0, 1, 0, 1])).toBeCloseTo(0.5, 12)
    expect(areaUnderRiskCoverage([], [])).toBeNaN()
  })
})
