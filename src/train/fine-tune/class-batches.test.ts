import { describe, expect, it } from 'vitest'
import { createRng } from '../../util/index.ts'
import { planClassEpoch } from './class-batches.ts'

function plan(classes: number[], more: { maxRows?: number; batchTokens?: number } = {}) {
  const lengths = classes.map((_, row) => 3 + (row % 5))
  const options = { classes, lengths, maxRows: 8, batchTokens: 1000, rowsPerClass: 2, ...more }
  return planClassEpoch(options, createRng('plan'))
}

/** Ten rows of each of six classes. */
const EVEN = Array.from({ length: 60 }, (_, row) => row % 6)

describe('planClassEpoch', () => {
  it('takes every row once, with a partner of its class in its batch', () => {
    const batches = plan(EVEN)
    expect(batches.flat().sort((a, b) => a - b)).toEqual([...EVEN.keys()])
    for (const batch of batches) {
      expect(batch.length).toBe(batch === batches.at(-1) ? 60 % 8 : 8)
      for (const row of batch) {
        expect(batch.filter(other => EVEN[other] === EVEN[row]).length).toBeGreaterThan(1)
      }
    }
  })

  it('leaves no row of an odd class alone, and takes a class with a single row', () => {
    const classes = [0, 0, 0, 1, 1, 1, 1, 1, 2]
    for (const batch of plan(classes, { maxRows: 4 })) {
      for (const row of batch.filter(one => classes[one] !== 2)) {
        expect(batch.filter(other => classes[other] === classes[row]).length).toBeGreaterThan(1)
      }
    }
    expect(plan(classes, { maxRows: 4 }).flat().length).toBe(9)
  })

  it('keeps within the tokens of a batch, but does not part a bunch', () => {
    for (const batch of plan(EVEN, { batchTokens: 30 })) expect(batch.length).toBeLessThanOrEqual(9)
    expect(plan(EVEN, { batchTokens: 1 }).every(batch => batch.length === 2)).toBe(true)
  })

  it('mixes anew with every stream, and repeats by it', () => {
    expect(plan(EVEN)).toEqual(plan(EVEN))
    const options = { classes: EVEN, lengths: EVEN, maxRows: 8, batchTokens: 1000, rowsPerClass: 2 }
    expect(planClassEpoch(options, createRng('other'))).not.toEqual(plan(EVEN))
  })

  it('plans nothing for no rows', () => {
    expect(plan([])).toEqual([])
  })
})
