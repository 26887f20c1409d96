/** Gamma, beta and binomial against SciPy, at ordinary values and at the extremes. */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import {
  betaTails,
  binomialCdf,
  binomialDensity,
  binomialSf,
  clopperPearsonLower,
  clopperPearsonUpper,
  inverseRegularisedBeta,
  inverseUpperBeta,
  logGamma,
  regularisedBeta,
} from './index.ts'

interface Goldens {
  readonly logGamma: readonly [number, number][]
  readonly betaTails: readonly [number, number, number, number, number][]
  readonly inverse: readonly [number, number, number, number][]
  readonly binomial: readonly [number, number, number, number, number, number][]
  readonly clopperPearson: readonly [number, number, number, number, number][]
}

// Made by __fixtures__/make-goldens.py, which names its versions.
const goldens = JSON.parse(
  readFileSync(new URL('./__fixtures__/scipy.json', import.meta.url), 'utf8'),
) as Goldens

/** Relative agreement, with a floor below which both count as zero. */
function expectClose(got: number, want: number, what: string, tolerance = 1e-9, floor = 1e-290) {
  const gap = Math.abs(got - want)
  const isClose =
    gap <= tolerance * Math.abs(want) || (Math.abs(got) < floor && Math.abs(want) < floor)
  if (!isClose) expect.fail(`${what}: got ${got}, SciPy says ${want}`)
}

describe('distributions', () => {
  it('agrees with SciPy on the log-gamma function', () => {
    for (const [x, want] of goldens.logGamma)
      expectClose(logGamma(x), want, `logGamma(${x})`, 1e-13)
    expect(logGamma(1)).toBe(0)
    expect(logGamma(0)).toBeNaN()
  })

  it('agrees with SciPy on both tails of the incomplete beta function', () => {
    for (const [a, b, x, lower, upper] of goldens.betaTails) {
      const got = betaTails(a, b, x)
      // The larger tail is one minus the smaller: absolute precision there, relative precision in the small one.
      expectClose(got.lower, lower, `lower(${a}, ${b}, ${x})`, 1e-9, 1e-15)
      expectClose(got.upper, upper, `upper(${a}, ${b}, ${x})`, 1e-9, 1e-15)
      if (lower < upper) expectClose(got.lower, lower, `small lower(${a}, ${b}, ${x})`)
    }
  })

  it('agrees with SciPy on the inverse, and inverts itself', () => {
    for (const [a, b, p, want] of goldens.inverse) {
      expectClose(inverseRegularisedBeta(a, b, p), want, `inverse(${a}, ${b}, ${p})`)
    }
    expect(regularisedBeta(3, 9, inverseRegularisedBeta(3, 9, 0.123))).toBeCloseTo(0.123, 12)
    expect(betaTails(3, 9, inverseUpperBeta(3, 9, 1e-12)).upper / 1e-12).toBeCloseTo(1, 8)
  })

  it('agrees with SciPy on the binomial distribution up to a million trials', () => {
    for (const [k, n, p, density, cdf, sf] of goldens.binomial) {
      const name = `(${k}, ${n}, ${p})`
      expectClose(binomialDensity(k, n, p), density, `density${name}`)
      expectClose(binomialCdf(k, n, p), cdf, `cdf${name}`, 1e-9, 1e-15)
      expectClose(binomialSf(k, n, p), sf, `sf${name}`, 1e-9, 1e-15)
      if (cdf < 0.4) expectClose(binomialCdf(k, n, p), cdf, `small cdf${name}`)
    }
  })

  it('agrees with SciPy on Clopper–Pearson bounds, including no and only hits', () => {
    for (const [k, n, delta, lower, upper] of goldens.clopperPearson) {
      const name = `(${k}, ${n}, ${delta})`
      expectClose(clopperPearsonLower(k, n, delta), lower, `lower${name}`)
      expectClose(clopperPearsonUpper(k, n, delta), upper, `upper${name}`)
    }
    expect(clopperPearsonUpper(0, 0, 0.1)).toBe(1)
  })

  it('sums the binomial density to its distribution function', () => {
    let sum = 0
    for (let k = 0; k <= 12; k++) sum += binomialDensity(k, 40, 0.21)
    expect(binomialCdf(12, 40, 0.21)).toBeCloseTo(sum, 13)
  })

  it('answers NaN or a bound, never throws, on values outside the domain', () => {
    expect(betaTails(0, 1, 0.5).lower).toBeNaN()
    expect(betaTails(1, 1, Number.NaN).lower).toBeNaN()
    expect(inverseRegularisedBeta(1, 1, 1.5)).toBeNaN()
    expect(inverseUpperBeta(1, 1, -1)).toBeNaN()
    expect(binomialCdf(-1, 10, 0.5)).toBe(0)
    expect(binomialCdf(11, 10, 0.5)).toBe(1)
    expect(binomialSf(-1, 10, 0.5)).toBe(1)
  })
})
