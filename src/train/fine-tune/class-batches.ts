/** Batches in which classes meet themselves: several rows of each class that occurs. Knows no tensors. */
import type { Rng } from '../../util/index.ts'
import type { BatchPlanOptions } from './training-batches.ts'

export interface ClassBatchOptions extends BatchPlanOptions {
  /** Class of each row. */
  readonly classes: ArrayLike<number>
  /** Rows of one class that stay together; the last ones of a class are up to twice as many less one. */
  readonly rowsPerClass: number
  /** Bunches of one group, which follow each other since their classes are alike; 1: as they come. */
  readonly alikeBunches?: number
  /** For each class the others, most alike first; empty where that is not known. */
  readonly neighbours?: readonly (readonly number[])[]
}

/**
 * Batches of one epoch, each row once: the rows of every class are shuffled and cut into bunches, and the bunches shuffled and
 * put into batches, each followed by bunches of the classes most alike to its own: what is hard to tell apart teaches most
 * (hard negative class mining, Sohn 2016, §3.2.3). A class with fewer rows than a bunch is a bunch; a bunch is never parted, so that a batch
 * may be larger than asked for where one bunch alone is.
 */
export function planClassEpoch(options: ClassBatchOptions, rng: Rng): number[][] {
  const { lengths, batchTokens, maxRows } = options
  const batches: number[][] = []
  let batch: number[] = []
  let longest = 0
  for (const bunch of grouped(rng.shuffle(bunches(options, rng)), options)) {
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

/** The bunches of a class come in the order shuffled, so that the first one left of a class is the first one not yet taken. */
function* grouped(
  shuffled: readonly number[][],
  { classes, alikeBunches = 1, neighbours = [] }: ClassBatchOptions,
): Generator<number[]> {
  const classOf = (bunch: readonly number[]): number => classes[bunch[0] as number] as number
  const left = new Map<number, number[][]>()
  for (const bunch of shuffled) {
    const known = left.get(classOf(bunch))
    if (known === undefined) left.set(classOf(bunch), [bunch])
    else known.push(bunch)
  }
  const taken = new Set<readonly number[]>()
  for (const bunch of shuffled) {
    if (taken.has(bunch)) continue
    const group = [left.get(classOf(bunch))?.shift() as number[]]
    for (const one of neighbours[classOf(bunch)] ?? []) {
      group.push(...(left.get(one)?.splice(0, alikeBunches - group.length) ?? []))
      if (group.length === alikeBunches) break
    }
    for (const one of group) taken.add(one)
    yield* group
  }
}
