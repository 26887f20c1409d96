import { describe, expect, it } from 'vitest'
import { openInProcessRuntime } from '../runtimes/index.ts'
import { createRng } from '../util/index.ts'
import { fitConfidence } from './closed-set/fit-combiner.ts'
import { foldsByGroup } from './closed-set/folds.ts'
import { openHeadFitter } from './head/fit-head.ts'
import { minimise } from './head/lbfgs.ts'
import { solveSymmetric } from './head/linear-algebra.ts'

describe('foldsByGroup', () => {
  it('never parts a group and fills the folds evenly', () => {
    const groups = Int32Array.from({ length: 100 }, (_, i) => Math.floor(i / 4))
    const { folds, foldCount } = foldsByGroup(groups, 5, createRng(1))
    expect(foldCount).toBe(5)
    groups.forEach((group, row) => {
      expect(folds[row]).toBe(folds[4 * group])
    })
    for (let fold = 0; fold < 5; fold++) {
      expect(folds.filter(other => other === fold).length).toBe(20)
    }
  })

  it('makes no more folds than there are groups', () => {
    expect(foldsByGroup(Int32Array.of(7, 7, 9), 5, createRng(1)).foldCount).toBe(2)
    expect(foldsByGroup(Int32Array.of(7, 7), 5, createRng(1)).foldCount).toBe(1)
  })

  it('leaves other folds to the rest when one group is heavy', () => {
    const groups = Int32Array.from({ length: 100 }, (_, i) => (i < 60 ? 0 : i))
    const { folds } = foldsByGroup(groups, 5, createRng(1))
    const heavy = folds[0]
    expect(new Set(folds.filter(fold => fold !== heavy)).size).toBe(4)
  })
})

describe('solveSymmetric', () => {
  it('solves a positive definite system', () => {
    const x = solveSymmetric(
      [
        [4, 1],
        [1, 3],
      ],
      [1, 2],
    )
    expect(x).toEqual([expect.closeTo(1 / 11, 10), expect.closeTo(7 / 11, 10)])
  })

  it('stays finite on a singular one', () => {
    const x = solveSymmetric(
      [
        [1, 1],
        [1, 1],
      ],
      [1, 1],
    )
    expect(x.every(Number.isFinite)).toBe(true)
  })
})

describe('minimise', () => {
  it("finds the minimum of Rosenbrock's valley", async () => {
    const x = await minimise(
      Float64Array.of(-1.2, 1),
      async ([a = 0, b = 0]) => ({
        loss: (1 - a) ** 2 + 100 * (b - a * a) ** 2,
        gradient: Float64Array.of(-2 * (1 - a) - 400 * a * (b - a * a), 200 * (b - a * a)),
      }),
      { maxEvaluations: 300, tolerance: 1e-12 },
    )
    expect(x[0]).toBeCloseTo(1, 4)
    expect(x[1]).toBeCloseTo(1, 4)
  })

  it('ends at once where there is no slope, and keeps to its evaluations', async () => {
    let count = 0
    const flat = async (x: Float64Array) => {
      count++
      return { loss: 0, gradient: x.map(() => 0) }
    }
    await minimise(Float64Array.of(1, 2), flat, { maxEvaluations: 50 })
    expect(count).toBe(1)
    count = 0
    const steep = async (x: Float64Array) => {
      count++
      return {
        loss: Math.sqrt(1 + (x[0] as number) ** 2),
        gradient: x.map(value => value / Math.sqrt(1 + value * value)),
      }
    }
    await minimise(Float64Array.of(1e6), steep, { maxEvaluations: 7, tolerance: 0 })
    expect(count).toBe(7)
  })
})

describe('fitConfidence', () => {
  it('finds the coefficients that made the data', () => {
    const rng = createRng(5)
    const features = Array.from({ length: 4000 }, () => [rng.normal(), 3 * rng.normal() + 2])
    const isRight = features.map(([a = 0, b = 0]) =>
      rng.next() < 1 / (1 + Math.exp(-(0.5 + 1.5 * a - 0.4 * b))) ? 1 : 0,
    )
    const { coefficients, deviations, means, intercept } = fitConfidence(features, isRight)
    const slope = (i: number) => (coefficients[i] as number) / (deviations[i] as number)
    expect(slope(0)).toBeCloseTo(1.5, 0.8)
    expect(slope(1)).toBeCloseTo(-0.4, 0.8)
    const offset = intercept - slope(0) * (means[0] as number) - slope(1) * (means[1] as number)
    expect(offset).toBeCloseTo(0.5, 0.5)
  })

  it('arrives where nearly every row is right and twelve features say much the same', () => {
    const rng = createRng(1)
    const clip = (value: number) => Math.max(-12, Math.min(12, value))
    const features = Array.from({ length: 300 }, () => {
      const margin = clip(8 + 4 * rng.normal() + rng.normal())
      const others = Array.from({ length: 11 }, (_, i) => {
        const noisy = margin + 2 * rng.normal()
        return i % 3 === 2 ? Number(noisy > 0) : clip(noisy)
      })
      return [margin, ...others]
    })
    const isRight = features.map(([margin = 0]) =>
      rng.next() < 1 / (1 + Math.exp(-0.6 * margin)) ? 1 : 0,
    )
    const { coefficients, deviations, means, intercept } = fitConfidence(features, isRight)
    const score = (row: number[]) => {
      const z = row.map((value, i) => {
        const standard = (value - (means[i] as number)) / (deviations[i] as number)
        return standard * (coefficients[i] as number)
      })
      return 1 / (1 + Math.exp(-z.reduce((a, b) => a + b, intercept)))
    }
    const average = (values: number[]) => values.reduce((a, b) => a + b, 0) / values.length
    // Equal where the gradient vanishes, but for the pseudo-row. Undamped Newton steps miss by 0.01 to 0.03.
    expect(Math.abs(average(features.map(score)) - average(isRight))).toBeLessThan(0.004)
  })

  it('stays finite where all are right, all are wrong, or there are no rows', () => {
    for (const isRight of [[1, 1, 1], [0, 0, 0], []]) {
      const { coefficients, intercept } = fitConfidence(
        isRight.map((_, i) => [i, 1]),
        isRight,
      )
      expect([...coefficients, intercept].every(Number.isFinite)).toBe(true)
    }
  })
})

describe('a head fitted in the runtime', () => {
  it('separates what is separable, ignores rows without weight or class, and twice gives the same', async () => {
    const rng = createRng(2)
    const labels = Int32Array.from({ length: 60 }, (_, i) => (i % 10 === 9 ? -1 : i % 3))
    const dimension = 4
    const embeddings = new Float32Array(60 * dimension)
    labels.forEach((label, row) => {
      for (let d = 0; d < dimension; d++) {
        embeddings[row * dimension + d] = 0.1 * rng.normal() + (label === d ? 1 : 0)
      }
    })
    const runtime = await openInProcessRuntime()
    const fitter = await openHeadFitter(runtime, { embeddings, labels, dimension, classCount: 3 })
    const options = { maxEvaluations: 60, signal: new AbortController().signal }
    // Class 2 has no weight: its bias must sink, its rows must not count.
    const rowWeights = Float32Array.from(labels, label => (label === 2 ? 0 : 1))
    const head = await fitter.fit(rowWeights, options)
    expect(await fitter.fit(rowWeights, options)).toEqual(head)
    labels.forEach((label, row) => {
      if (label < 0 || label === 2) return
      const logits = [0, 1, 2].map(k => {
        let z = head.bias[k] as number
        for (let d = 0; d < dimension; d++) {
          z += (embeddings[row * dimension + d] as number) * (head.weights[d * 3 + k] as number)
        }
        return z
      })
      expect(logits.indexOf(Math.max(...logits))).toBe(label)
    })
    const targets = Float32Array.from({ length: 180 }, (_, i) =>
      labels[Math.floor(i / 3)] === i % 3 ? 1 : 0,
    )
    const soft = await openHeadFitter(runtime, {
      embeddings,
      labels,
      targets,
      dimension,
      classCount: 3,
    })
    expect(await soft.fit(rowWeights, options)).toEqual(head)
    await soft.close()
    const nothing = await fitter.fit(new Float32Array(60), options)
    expect(nothing.weights.every(weight => weight === 0)).toBe(true)
    await fitter.close()
    await runtime.close()
  })
})
