/** Log loss of logits once their temperature is right: what recipes and epochs are chosen by. Knows no labels by name. */
import type { EncodedRows } from './encode-rows.ts'
import { unitStarts } from './training-rows.ts'

/** Logits of all rows, looked at for some of them. */
export interface Looked {
  /** [units, outputs]. */
  readonly logits: Float32Array
  readonly subset: readonly number[]
}

export interface CooledLoss {
  /** Mean over what counts; the mean of the binary ones for several labels. */
  readonly logLoss: number
  /** Logits are divided by it. */
  readonly temperature: number
}

type Rows = Pick<EncodedRows, 'targets' | 'weights' | 'outputs' | 'kind' | 'sequences'>

/** Loss with its first and second derivative by the inverse temperature. */
type Derivatives = readonly [loss: number, slope: number, curvature: number]

const MAX_STEPS = 12
const [LEAST, MOST] = [0.02, 50]

/**
 * The least log loss that one temperature for all logits gives (Guo et al. 2017). A fine-tuned net is right more often than a frozen
 * head and far too sure of it, so that the bare log loss prefers the frozen head. Convex in the inverse temperature: Newton's
 * method, with halved steps where one is too long.
 */
export function cooledLogLoss(rows: Rows, looked: Looked): CooledLoss {
  let inverse = 1
  let now = derivatives(rows, looked, inverse)
  for (let step = 0; step < MAX_STEPS; step++) {
    const [loss, slope, curvature] = now
    let move = curvature > 0 ? -slope / curvature : 0
    let next = now
    let at = inverse
    do {
      at = Math.min(MOST, Math.max(LEAST, inverse + move))
      next = derivatives(rows, looked, at)
      move /= 2
    } while (next[0] > loss && Math.abs(move) > 1e-6)
    if (!(next[0] < loss - 1e-9)) break
    inverse = at
    now = next
  }
  return { logLoss: now[0], temperature: 1 / inverse }
}

/** That loss by row, as shares whose mean is `logLoss`: [subset]. */
export function cooledRowLosses(rows: Rows, looked: Looked): Float64Array {
  const { temperature } = cooledLogLoss(rows, looked)
  const losses = new Float64Array(looked.subset.length)
  const total = eachUnit(rows, looked, 1 / temperature, (i, weight, [loss]) => {
    losses[i] = (losses[i] as number) + weight * loss
  })
  return losses.map(loss => (total === 0 ? 0 : (loss * losses.length) / total))
}

function derivatives(rows: Rows, looked: Looked, inverse: number): Derivatives {
  const sums: [number, number, number] = [0, 0, 0]
  const total = eachUnit(rows, looked, inverse, (_, weight, [loss, slope, curvature]) => {
    sums[0] += weight * loss
    sums[1] += weight * slope
    sums[2] += weight * curvature
  })
  if (total === 0) return [0, 0, 0]
  return [sums[0] / total, sums[1] / total, sums[2] / total]
}

/** Calls for what counts, with the place of its row in the subset and its weight; gives the sum of weights. */
function eachUnit(
  { targets, weights, outputs, kind, sequences }: Rows,
  { logits, subset }: Looked,
  inverse: number,
  take: (place: number, weight: number, values: Derivatives) => void,
): number {
  const size = outputs.length
  const starts = unitStarts({ sequences, kind })
  const of = kind === 'multi-label' ? binary : categorical
  let total = 0
  for (const [place, row] of subset.entries()) {
    for (let unit = starts[row] as number; unit < (starts[row + 1] as number); unit++) {
      const weight = weights[unit] as number
      if (weight === 0) continue
      const own = logits.subarray(unit * size, (unit + 1) * size)
      const wanted = targets.subarray(unit * size, (unit + 1) * size)
      take(place, weight, of(own, wanted, inverse))
      total += weight
    }
  }
  return total
}

/** Of `log Σ exp(β z) − β Σ t z`: mean and variance of the logits under the prediction. */
function categorical(logits: Float32Array, wanted: Float32Array, inverse: number): Derivatives {
  let top = Number.NEGATIVE_INFINITY
  for (const logit of logits) top = Math.max(top, logit)
  let norm = 0
  let first = 0
  let second = 0
  let aim = 0
  for (let k = 0; k < logits.length; k++) {
    const z = (logits[k] as number) - top
    const p = Math.exp(inverse * z)
    norm += p
    first += p * z
    second += p * z * z
    aim += (wanted[k] as number) * z
  }
  const mean = first / norm
  return [Math.log(norm) - inverse * aim, mean - aim, second / norm - mean * mean]
}

function binary(logits: Float32Array, wanted: Float32Array, inverse: number): Derivatives {
  let [loss, slope, curvature] = [0, 0, 0]
  for (let k = 0; k < logits.length; k++) {
    const z = logits[k] as number
    const x = inverse * z
    const p = 1 / (1 + Math.exp(-x))
    loss += Math.max(x, 0) - x * (wanted[k] as number) + Math.log1p(Math.exp(-Math.abs(x)))
    slope += (p - (wanted[k] as number)) * z
    curvature += p * (1 - p) * z * z
  }
  const count = logits.length
  return [loss / count, slope / count, curvature / count]
}
