import { afterAll, describe, expect, it } from 'vitest'
import { emit, grad, input } from '../../engine/index.ts'
import { openInProcessRuntime } from '../../runtimes/index.ts'
import { binaryCrossEntropy } from './losses.ts'

const runtime = await openInProcessRuntime({ threads: 1 })
afterAll(() => runtime.close())

const logits = input('logits', 'float32', ['batch', 3])
const targets = input('targets', 'float32', ['batch', 3])
const weights = input('weights', 'float32', ['batch'])
const loss = binaryCrossEntropy(logits, targets, weights)
const [gradient] = grad(loss, [logits])

async function run(x: number[], t: number[], w: number[]) {
  if (gradient === undefined) throw new Error('no gradient')
  const model = emit('loss', { inputs: [logits, targets, weights], outputs: { loss, gradient } })
  await runtime.load('loss', model)
  const float = (dims: number[], data: number[]) =>
    ({ type: 'float32', dims, data: Float32Array.from(data) }) as const
  const rows = w.length
  const outputs = await runtime.run([
    {
      session: 'loss',
      feeds: {
        logits: float([rows, 3], x),
        targets: float([rows, 3], t),
        weights: float([rows], w),
      },
    },
  ])
  return {
    loss: (outputs.loss?.data as Float32Array)[0] as number,
    gradient: Array.from(outputs.gradient?.data as Float32Array),
  }
}

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x))

describe('binaryCrossEntropy', () => {
  it('is the formula, row by row and as a weighted mean over classes', async () => {
    const [x, t, w] = [
      [0.3, -1.2, 2, 0, 0.5, -0.1],
      [1, 0, 0.25, 1, 0, 0],
      [1, 0.5],
    ]
    const found = await run(x, t, w)
    let expected = 0
    x.forEach((value, i) => {
      const p = sigmoid(value)
      const weight = w[Math.floor(i / 3)] as number
      expected -=
        (weight / 3) * ((t[i] as number) * Math.log(p) + (1 - (t[i] as number)) * Math.log(1 - p))
    })
    expect(found.loss).toBeCloseTo(expected, 5)
    x.forEach((value, i) => {
      const weight = w[Math.floor(i / 3)] as number
      expect(found.gradient[i]).toBeCloseTo((weight / 3) * (sigmoid(value) - (t[i] as number)), 6)
    })
  })

  it('keeps its gradient at 0 and neither overflows nor becomes NaN far out', async () => {
    const { loss: far, gradient: slope } = await run([0, 200, -200], [1, 0, 1], [1])
    expect(far).toBeCloseTo((Math.log(2) + 200 + 200) / 3, 3)
    expect(slope.map(value => Number(value.toFixed(5)))).toEqual([-0.16667, 0.33333, -0.33333])
  })
})
