/** Batches in which classes meet themselves: several rows of each class that occurs. Knows no tensors. */
import type { Rng } from '../../util/index.ts'
import type { BatchPlanOptions } from './training-batches.ts'

export interface ClassBatchOptions extends BatchPlanOptions {
  /** Class of each row. */
  readonly classes: ArrayLike<number>
  /** Rows of one class that stay together; the last ones of a class are up to twice as many less one. */
  readonly rowsPerClass: number
}

/**
 * Batches of one epoch, each row once: the rows of every class are shuffled and cut into bunches, and the bunches shuffled and
 * put into batches as they come. A class with fewer rows than a bunch is a bunch; a bunch is never parted, so that a batch
 * may be larger than asked for where one bunch alone is.
 */
export function planClassEpoch(options: ClassBatchOptions, rng: Rng): number[][] {
  const { lengths, batchTokens, maxRows } = options
  const batches: number[][] = []
  let batch: number[] = []
  let longest = 0
  for (const bunch of rng.shuffle(bunches(options, rng))) {
    const length = Math.max(1, ...bunch.map(row => lengths[row] as number))
    const size = batch.length + bunch.length
    const isFull = size > maxRows || size * Math.max(longest, length) > batchTokens
    if (batch.length > 0 && isFull) {
      batches.push(batch)
      batch = []
      longest = 0
    }
    batch.push(...bunch)
    longest = Math.max(longest, length)
  }
  if (batch.length > 0) batches.push(batch)
  return batches
}

function bunches({ classes, rowsPerClass }: ClassBatchOptions, rng: Rng): number[][] {
  const byClass = new Map<number, number[]>()
  for (let row = 0; row < classes.length; row++) {
    const label = classes[row] as number
    const known = byClass.get(label)
    if (known === undefined) byClass.set(label, [row])
    else known.push(row)
  }
  return [...byClass.values()].flatMap(rows => {
    rng.shuffle(rows)
    const count = Math.max(1, Math.floor(rows.length / rowsPerClass))
    return Array.from({ length: count }, (_, i) =>
      rows.slice(i * rowsPerClass, i === count - 1 ? rows.length : (i + 1) * rowsPerClass),
    )
  })
}
