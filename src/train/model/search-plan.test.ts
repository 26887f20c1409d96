import { describe, expect, it } from 'vitest'
import { toyConfig } from '../../models/__fixtures__/toy-bert.ts'
import { parseEncoderConfig } from '../../models/index.ts'
import {
  type CandidateOptions,
  candidateRecipes,
  fewShotGuess,
  planEpochs,
  planTime,
} from './search-plan.ts'

const config = {
  ...parseEncoderConfig({ config: JSON.stringify(toyConfig) }),
  layerCount: 6,
}
const options: CandidateOptions = {
  config,
  meanTokens: 16,
  rowCount: 5000,
  seed: 0,
  fixed: {},
  batchTokens: 1024,
}
const names = (more: Partial<CandidateOptions>) =>
  candidateRecipes('auto', { ...options, ...more }).map(({ name }) => name)

describe('candidateRecipes', () => {
  it('tries the upper layers first where the frozen head does well, and all layers where it does not', () => {
    expect(names({ leftOpen: 0.1 })[0]).toBe('full, top 2 layers')
    expect(names({ leftOpen: 0.1 })).toContain('full, all layers')
    expect(names({ leftOpen: 0.9 })[0]).toBe('full, all layers')
    const [deep] = candidateRecipes('auto', { ...options, leftOpen: 0.9 })
    // The embeddings stay frozen: only `null` trains them too.
    expect(deep?.recipe.layerCount).toBe(6)
  })

  it('compares rows with each other where there are few of a label, and only there', () => {
    expect(names({ rowsPerLabel: 10 })).toContain('contrastive')
    expect(names({ rowsPerLabel: 100 })).not.toContain('contrastive')
    expect(names({ rowsPerLabel: null })).not.toContain('contrastive')
  })

  it('guesses where few rows a label have few rows held back, and for as long as there is time', () => {
    const method = (rowsPerLabel: number | null, heldBackCount: number) =>
      fewShotGuess({ ...options, rowsPerLabel }, heldBackCount)?.method
    expect(method(10, 150)).toBe('contrastive')
    expect([method(10, 400), method(17, 150), method(null, 150)]).toEqual(Array(3).fill(undefined))
    const plan = (leftMs: number) =>
      planEpochs({ epochCount: 5, msPerRow: 1, rowCount: 1000, leftMs })
    expect([plan(60_000), plan(4_000), plan(2_000)]).toEqual([5, 3, null])
  })

  it('tries nothing twice with an encoder of two layers', () => {
    const all = names({ config: { ...config, layerCount: 2 }, leftOpen: 0.9 })
    expect(new Set(all).size).toBe(all.length)
  })

  it('trains all layers to name words', () => {
    expect(names({ kind: 'tokens' })[0]).toBe('full, all layers')
    const [full] = candidateRecipes('full', { ...options, kind: 'tokens' })
    expect(full?.recipe.learningRate).toBeGreaterThan(1e-4)
  })

  it('leaves what was fixed as it is', () => {
    for (const method of ['auto', 'full', 'lora', 'contrastive'] as const) {
      for (const { recipe } of candidateRecipes(method, { ...options, fixed: { seed: 7 } })) {
        expect(recipe.seed).toBe(7)
      }
    }
  })
})

describe('planTime', () => {
  const plan = (leftMs: number, reservedMs = 0) =>
    planTime({ epochCount: 4, msPerRow: 1, trainingCount: 850, allCount: 1000, leftMs, reservedMs })

  it('plans trial and last fit, then the trial alone, then fewer epochs, then nothing', () => {
    expect(plan(10_000)).toBe(4)
    expect(plan(7000)).toBe(3)
    expect(plan(5000)).toBe(4)
    expect(plan(2500)).toBe(2)
    expect(plan(1000)).toBeNull()
  })

  it('leaves the reserve for the best so far alone', () => {
    expect(plan(10_000, 6000)).toBeNull()
    expect(plan(10_000, 2000)).toBe(4)
  })
})
