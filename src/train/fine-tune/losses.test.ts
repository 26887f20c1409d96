import { describe, expect, it } from 'vitest'
import { input, type Value } from '../../engine/index.ts'
import { evaluate } from '../../engine/reference.ts'
import { contrastiveLoss } from './losses.ts'

const TEMPERATURE = 0.5
const embeddings = input('embeddings', 'float32', ['batch', 2])
const targets = input('targets', 'float32', ['batch', 'classes'])
const weights = input('weights', 'float32', ['batch'])
const self = input('self', 'float32', ['batch', 'batch'])
const loss = contrastiveLoss(embeddings, { targets, weights, self, temperature: TEMPERATURE })

/** Of unit vectors at these angles. */
function lossOf(angles: number[], wanted: number[][], counts = angles.map(() => 1)): number {
  const size = angles.length
  const feed = (value: Value, dims: number[], data: number[]) => [value, { dims, data }] as const
  const [found] = evaluate(
    [loss],
    new Map([
      feed(
        embeddings,
        [size, 2],
        angles.flatMap(angle => [Math.cos(angle), Math.sin(angle)]),
      ),
      feed(targets, [size, (wanted[0] as number[]).length], wanted.flat()),
      feed(weights, [size], counts),
      feed(
        self,
        [size, size],
        angles.flatMap((_, i) => angles.map((_, j) => (i === j ? 1 : 0))),
      ),
    ]) as never,
  )
  return found?.data[0] as number
}

/** −log of the share that `p` has among all others of `i`. */
function term(angles: number[], i: number, p: number): number {
  const score = (j: number) =>
    Math.exp(Math.cos((angles[i] as number) - (angles[j] as number)) / TEMPERATURE)
  const others = angles.map((_, j) => j).filter(j => j !== i)
  return -Math.log(score(p) / others.reduce((sum, j) => sum + score(j), 0))
}

const A = [1, 0]
const B = [0, 1]
const ANGLES = [0, 0.3, 1.2, 2.5]

describe('contrastiveLoss', () => {
  it('is the formula: each row, the mean over its partners, among all others', () => {
    const mean = (term(ANGLES, 0, 1) + term(ANGLES, 0, 2)) / 2
    expect(lossOf(ANGLES, [A, A, A, B], [1, 0, 0, 0])).toBeCloseTo(mean, 12)
    const sum = [term(ANGLES, 0, 1), term(ANGLES, 1, 0), term(ANGLES, 2, 3), term(ANGLES, 3, 2)]
    expect(lossOf(ANGLES, [A, A, B, B], [0.5, 1, 2, 1])).toBeCloseTo(
      0.5 * (sum[0] as number) + (sum[1] as number) + 2 * (sum[2] as number) + (sum[3] as number),
      12,
    )
  })

  it('asks nothing of a row alone of its class, which still stands among the others', () => {
    const three = ANGLES.slice(0, 3)
    expect(lossOf(three, [A, A, B])).toBeCloseTo(term(three, 0, 1) + term(three, 1, 0), 12)
    expect(lossOf(three, [A, A, B])).toBeGreaterThan(lossOf(three.slice(0, 2), [A, A]))
    expect(lossOf([0, 1], [A, B])).toBeCloseTo(0, 12)
    expect(lossOf([0], [A])).toBeCloseTo(0, 12)
  })

  it('weighs partners by how much of a class a teacher sees in both', () => {
    const soft = [A, [0.9, 0.1], [0.3, 0.7], B]
    const expected = (0.9 * term(ANGLES, 0, 1) + 0.3 * term(ANGLES, 0, 2)) / 1.2
    expect(lossOf(ANGLES, soft, [1, 0, 0, 0])).toBeCloseTo(expected, 12)
  })

  it('pulls little where a class is hardly shared, as by label smoothing', () => {
    const smoothed = [
      [0.98, 0.02],
      [0.02, 0.98],
      [0.02, 0.98],
    ]
    const shared = 2 * 0.98 * 0.02
    const three = ANGLES.slice(0, 3)
    const expected = shared * (term(three, 0, 1) + term(three, 0, 2))
    expect(lossOf(three, smoothed, [1, 0, 0])).toBeCloseTo(expected, 12)
  })

  it('is the logarithm of how many others there are where all rows are equal', () => {
    expect(lossOf([1, 1, 1, 1], [A, A, B, B], [0.25, 0.25, 0.25, 0.25])).toBeCloseTo(
      Math.log(3),
      12,
    )
  })
})
