import { describe, expect, it } from 'vitest'
import type { Trainer } from '../../engine/index.ts'
import { openBest } from './best-epoch.ts'

/** A trainer whose only weight is the epoch. */
function someTrainer() {
  const weights = new Float32Array(1)
  return {
    weights,
    trainer: { state: () => ({ step: 0, buffers: { weights } }) } as never as Trainer,
  }
}

/** Losses of a hundred rows around a mean; `spread` is what an epoch changes row by row. */
const losses = (mean: number, spread = 0) =>
  Float64Array.from({ length: 100 }, (_, row) => mean + (row % 2 === 0 ? spread : -spread))

function keptAfter(...epochs: Float64Array[]) {
  const { weights, trainer } = someTrainer()
  const best = openBest(trainer)
  epochs.forEach((one, i) => {
    weights[0] = i + 1
    best.look(i + 1, one)
  })
  best.restore()
  if (best.progress().epoch > 0) expect(weights[0]).toBe(best.progress().epoch)
  return best.progress().epoch
}

describe('the best epoch', () => {
  it('is that of the least loss, or a later one that is worse by less than a standard error', () => {
    expect(keptAfter(losses(0.5), losses(0.4), losses(0.45))).toBe(2)
    // Spread 0.3 over a hundred rows: a standard error of 0.03.
    expect(keptAfter(losses(0.5), losses(0.4), losses(0.42, 0.3))).toBe(3)
    expect(keptAfter(losses(0.5), losses(0.4), losses(0.44, 0.3))).toBe(2)
  })

  it('does not drift: what counts is the distance from the least', () => {
    expect(keptAfter(losses(0.4), losses(0.42, 0.3), losses(0.44, 0.3))).toBe(2)
  })

  it('is none where losses are no numbers', () => {
    expect(keptAfter(losses(Number.NaN))).toBe(0)
    expect(keptAfter(losses(0.4), losses(Number.NaN))).toBe(1)
  })

  it('goes on from a checkpoint as if it had not stopped', () => {
    const first = someTrainer()
    const before = openBest(first.trainer)
    first.weights[0] = 1
    before.look(1, losses(0.4))
    const second = someTrainer()
    const after = openBest(second.trainer)
    after.load(before.buffers(), JSON.parse(JSON.stringify(before.progress())))
    second.weights[0] = 2
    after.look(2, losses(0.41))
    after.restore()
    expect(after.progress().epoch).toBe(1)
    expect(second.weights[0]).toBe(1)
  })
})
