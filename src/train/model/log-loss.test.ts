import { describe, expect, it } from 'vitest'
import { createRng } from '../../util/index.ts'
import { cooledLogLoss, cooledRowLosses } from './log-loss.ts'

const rng = createRng('log-loss')

/** Rows of three classes whose logits are right more often than not, all of them times `sureness`. */
function rowsOf(kind: 'single-label' | 'multi-label', sureness = 1) {
  const count = 60
  const draws = createRng('rows')
  const targets = new Float32Array(count * 3)
  const logits = new Float32Array(count * 3)
  for (let row = 0; row < count; row++) {
    targets[row * 3 + draws.int(3)] = 1
    for (let k = 0; k < 3; k++) {
      logits[row * 3 + k] = sureness * (draws.normal() + 1.5 * (targets[row * 3 + k] as number))
    }
  }
  const encoded = {
    kind,
    targets,
    weights: new Float32Array(count).fill(1),
    outputs: ['a', 'b', 'c'],
    sequences: Array.from({ length: count }, () => [1]),
  }
  return { encoded, looked: { logits, subset: [...encoded.sequences.keys()] } }
}

/** Slowly, in double precision. */
function lossAt({ encoded, looked }: ReturnType<typeof rowsOf>, temperature: number): number {
  let sum = 0
  for (const row of looked.subset) {
    const z = [...looked.logits.slice(row * 3, row * 3 + 3)].map(value => value / temperature)
    const t = [...encoded.targets.slice(row * 3, row * 3 + 3)]
    const norm = Math.log(z.reduce((total, value) => total + Math.exp(value), 0))
    sum +=
      encoded.kind === 'multi-label'
        ? t.reduce(
            (total, y, k) => total + Math.log(1 + Math.exp((1 - 2 * y) * (z[k] as number))),
            0,
          ) / 3
        : t.reduce((total, y, k) => total + y * (norm - (z[k] as number)), 0)
  }
  return sum / looked.subset.length
}

describe('cooledLogLoss', () => {
  it.each(['single-label', 'multi-label'] as const)('finds the least loss: %s', kind => {
    const rows = rowsOf(kind)
    const { logLoss, temperature } = cooledLogLoss(rows.encoded, rows.looked)
    expect(logLoss).toBeCloseTo(lossAt(rows, temperature), 6)
    for (let i = 0; i < 20; i++) {
      expect(logLoss).toBeLessThanOrEqual(lossAt(rows, 10 ** (rng.next() * 2 - 1)) + 1e-6)
    }
  })

  it('does not care how sure of itself a net is, only how right', () => {
    const [calm, sure] = [rowsOf('single-label'), rowsOf('single-label', 12)]
    const one = cooledLogLoss(calm.encoded, calm.looked)
    const other = cooledLogLoss(sure.encoded, sure.looked)
    expect(other.logLoss).toBeCloseTo(one.logLoss, 5)
    expect(other.temperature / one.temperature).toBeCloseTo(12, 2)
    expect(lossAt(sure, 1)).toBeGreaterThan(2 * one.logLoss)
  })

  it('stays finite where nothing is wrong, nothing is said, and nothing counts', () => {
    const { encoded, looked } = rowsOf('single-label')
    const right = cooledLogLoss(encoded, { ...looked, logits: encoded.targets.map(y => 100 * y) })
    expect(right.logLoss).toBeCloseTo(0, 6)
    const flat = cooledLogLoss(encoded, { ...looked, logits: new Float32Array(180) })
    expect(flat.logLoss).toBeCloseTo(Math.log(3), 6)
    expect(cooledLogLoss(encoded, { ...looked, subset: [] })).toEqual({
      logLoss: 0,
      temperature: 1,
    })
  })
})

it('is the mean of the losses by row', () => {
  const { encoded, looked } = rowsOf('single-label', 3)
  const losses = cooledRowLosses(encoded, looked)
  const mean = losses.reduce((a, b) => a + b, 0) / losses.length
  expect(losses).toHaveLength(60)
  expect(mean).toBeCloseTo(cooledLogLoss(encoded, looked).logLoss, 12)
})
