/** Certification: exact decisions on small cases, values instead of errors, and the level under a known truth. */
import { describe, expect, it } from 'vitest'
import { clopperPearsonUpper } from '../stats/index.ts'
import { createRng } from '../util/index.ts'
import { certify, certifyTable, gridStarts, serves, thresholdGrid } from './index.ts'
import type { CertificationInput, Claim, NoClaim } from './types.ts'

function look(
  scores: number[],
  losses: number[],
  changes: Partial<CertificationInput> = {},
): CertificationInput {
  return {
    scores,
    losses,
    grid: [0.9, 0.5],
    targetRisk: 0.05,
    delta: 0.1,
    promise: 'selective',
    ...changes,
  }
}

const repeat = <T>(count: number, item: T) => Array.from({ length: count }, () => item)

describe('serves', () => {
  it('compares in steps of 1e-4, ties served', () => {
    expect(serves(0.9, 0.9)).toBe(true)
    expect(serves(0.89996, 0.9)).toBe(true)
    expect(serves(0.89994, 0.9)).toBe(false)
    expect(serves(0.1 + 0.2, 0.3)).toBe(true)
  })

  it('never serves what is not a finite number', () => {
    for (const score of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      expect(serves(score, 0)).toBe(false)
    }
    expect(serves(0.5, Number.NaN)).toBe(false)
    expect(serves(undefined as unknown as number, 0)).toBe(false)
  })
})

describe('thresholdGrid', () => {
  it('is descending, distinct, at most 20, and reaches full coverage', () => {
    const rng = createRng('grid')
    const scores = Float64Array.from({ length: 5000 }, () => rng.next())
    const grid = thresholdGrid(scores)
    expect(grid).toHaveLength(20)
    expect([...grid].sort((a, b) => b - a)).toEqual(grid)
    expect(scores.every(score => serves(score, grid.at(-1) as number))).toBe(true)
    expect(gridStarts(20)).toEqual([0, 4, 8, 12, 16])
  })

  it('collapses ties and copes with few, no and unusable scores', () => {
    expect(thresholdGrid([0.5, 0.5, 0.5, 0.9])).toEqual([0.9, 0.5])
    expect(thresholdGrid([])).toEqual([])
    expect(thresholdGrid([Number.NaN, Number.NEGATIVE_INFINITY])).toEqual([])
    expect(thresholdGrid([0.7, Number.NaN])).toEqual([0.7])
    expect(gridStarts(3)).toEqual([0, 1, 2])
    expect(gridStarts(1)).toEqual([0])
    expect(gridStarts(0)).toEqual([])
  })
})

describe('certify', () => {
  it('deploys the smallest threshold that passes, with the exact bound at its own level', () => {
    const claim = certify(
      look([...repeat(100, 0.95), ...repeat(100, 0.6)], repeat(200, 0)),
    ) as Claim
    expect(claim).toMatchObject({
      claimed: true,
      threshold: 0.5,
      n: 200,
      servedCount: 200,
      coverage: 1,
    })
    // The sequence of the first start reaches the second one: the shares of both, which is all of δ.
    expect(claim.riskUpperBound).toBeCloseTo(clopperPearsonUpper(0, 200, 0.1), 12)
    expect(claim.riskUpperBound).toBeLessThanOrEqual(0.05)
    expect(claim.method).toContain('Clopper–Pearson')
  })

  it('stops at a threshold below which the errors are', () => {
    const losses = [...repeat(100, 0), ...repeat(100, 1)]
    const claim = certify(look([...repeat(100, 0.95), ...repeat(100, 0.6)], losses)) as Claim
    expect(claim).toMatchObject({ claimed: true, threshold: 0.9, servedCount: 100, lossSum: 0 })
  })

  it('needs exactly the published minimum of error-free examples', () => {
    const one = (count: number) =>
      certify(look(repeat(count, 0.95), repeat(count, 0), { grid: [0.9] }))
    expect(one(44).claimed).toBe(false)
    expect(one(45).claimed).toBe(true)
  })

  it('promises less under the marginal promise, and finds it with fewer examples', () => {
    const scores = [...repeat(4, 0.95), ...repeat(200, 0.1)]
    const losses = [...repeat(4, 1), ...repeat(200, 0)]
    expect(certify(look(scores, losses)).claimed).toBe(false)
    expect(certify(look(scores, losses, { promise: 'marginal' }))).toMatchObject({
      claimed: true,
      servedCount: 4,
      lossSum: 4,
    })
  })

  it('uses Hoeffding–Bentkus as soon as a loss is neither 0 nor 1', () => {
    const claim = certify(look(repeat(400, 0.95), repeat(400, 0.01))) as Claim
    expect(claim.method).toContain('Hoeffding–Bentkus')
    expect(claim.lossSum).toBeCloseTo(4, 9)
    expect(claim.riskUpperBound).toBeGreaterThan(0.01)
    expect(claim.riskUpperBound).toBeLessThanOrEqual(0.05)
  })

  it('never counts an input whose score is not a number as served', () => {
    const scores = [...repeat(100, 0.95), ...repeat(100, Number.NaN)]
    expect(certify(look(scores, [...repeat(100, 0), ...repeat(100, 1)]))).toMatchObject({
      claimed: true,
      servedCount: 100,
      coverage: 0.5,
    })
  })

  it('makes a table of separate statements at the same delta', () => {
    const { targetRisk: _, ...rest } = look(repeat(150, 0.95), repeat(150, 0))
    const table = certifyTable(rest, [0.01, 0.02, 0.05])
    expect(table.map(row => row.claimed)).toEqual([false, true, true])
    expect(table.every(row => row.delta === 0.1)).toBe(true)
  })

  it('refuses input that breaks its contract', () => {
    expect(() => certify(look([0.5], []))).toThrow(/as many losses/)
    expect(() => certify(look([0.5], [2]))).toThrow(/\[0, 1\]/)
    expect(() => certify(look([0.5], [Number.NaN]))).toThrow(/\[0, 1\]/)
    expect(() => certify(look([0.5], [0], { grid: [0.1, 0.2] }))).toThrow(/descend/)
    expect(() => certify(look([0.5], [0], { targetRisk: 0 }))).toThrow(/target risk/)
    expect(() => certify(look([0.5], [0], { delta: 1 }))).toThrow(/delta/)
  })
})

describe('no claim', () => {
  const noClaim = (input: CertificationInput, requestsPerExample = 1) =>
    certify(input, { requestsPerExample }) as NoClaim

  it('says how many more requests, in requests rather than examples', () => {
    const input = look(repeat(30, 0.95), repeat(30, 0), { grid: [0.9] })
    const once = noClaim(input)
    expect(once).toMatchObject({ code: 'too-few-examples', claimed: false })
    expect(once.moreRequests).toBeGreaterThanOrEqual(15)
    expect(once.moreRequests).toBeLessThan(200)
    const tenfold = noClaim(input, 10).moreRequests as number
    expect(tenfold / (once.moreRequests as number)).toBeCloseTo(10, 0)
    expect(once.because).toContain('30 distinct inputs')
  })

  it('forecasts what then suffices when the rates stay as they are', () => {
    const n = 100
    const input = look(repeat(n, 0.95), [...repeat(2, 1), ...repeat(n - 2, 0)], { grid: [0.9] })
    const more = noClaim(input).moreRequests as number
    const total = n + more
    const errors = Math.floor(total * 0.02)
    const later = look(repeat(total, 0.95), [...repeat(errors, 1), ...repeat(total - errors, 0)], {
      grid: [0.9],
    })
    expect(certify(later).claimed).toBe(true)
  })

  it('foresees nothing where the risk itself is too high', () => {
    const scores = Array.from({ length: 500 }, (_, i) => 0.5 + (i % 50) / 100)
    const allWrong = noClaim(look(scores, repeat(500, 1)))
    expect(allWrong).toMatchObject({ code: 'risk-too-high', moreRequests: null })
    const evenlyWrong = scores.map((_, i) => (i % 5 === 0 ? 1 : 0))
    expect(noClaim(look(scores, evenlyWrong)).code).toBe('score-uninformative')
  })

  it('answers for no examples, no grid, and nothing ever served', () => {
    expect(noClaim(look([], []))).toMatchObject({ code: 'no-examples', n: 0 })
    expect(noClaim(look([], [])).moreRequests).toBeGreaterThan(0)
    expect(noClaim(look([0.5], [0], { grid: [] })).code).toBe('score-uninformative')
    const abstaining = look(repeat(50, Number.NaN), repeat(50, 1))
    expect(noClaim(abstaining)).toMatchObject({ code: 'score-uninformative', moreRequests: null })
  })
})

describe('the promise under a known truth', () => {
  /** True risk above a threshold when errors have probability (1 − score)/5 and scores are uniform in tenths. */
  const trueRisk = (threshold: number) => (1 - threshold) / 10

  it.each([
    'selective',
    'marginal',
  ] as const)('breaks the %s promise in at most δ of looks', promise => {
    const rng = createRng(`truth-${promise}`)
    const grid = [1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4]
    let violations = 0
    let claims = 0
    for (let r = 0; r < 1000; r++) {
      const scores = Array.from({ length: 1500 }, () => rng.int(11) / 10)
      const losses = scores.map(score => (rng.next() < (1 - score) / 5 ? 1 : 0))
      const outcome = certify(look(scores, losses, { grid, promise }))
      if (!outcome.claimed) continue
      claims++
      const share = (11 - Math.round(outcome.threshold * 10)) / 11
      const risk = trueRisk(outcome.threshold) * (promise === 'marginal' ? share : 1)
      if (risk > 0.05) violations++
    }
    expect(claims).toBeGreaterThan(500)
    // δ = 10 % plus a one-sided binomial margin at 1e-4.
    expect(violations).toBeLessThanOrEqual(136)
  })
})
