/** Rows as training wants them: token numbers, targets and weights, laid out in batches. Knows no texts and no labels. */
import type { MicroBatch, TensorData } from '../../engine/index.ts'
import { UnderstudyError } from '../../errors.ts'
import { padBatch, WORDS } from '../../models/index.ts'
import { BATCH, type HeadKind } from '../fine-tune/classifier-graph.ts'
import type { PrefixCache } from '../fine-tune/prefix-cache.ts'

/** Rows to learn from. A unit is what gets one decision: a row, or with `tokens` each token of each row in turn. */
export interface TrainingRows {
  /** Token numbers with special tokens. */
  readonly sequences: readonly (readonly number[])[]
  readonly classCount: number
  /** Default: `single-label`. */
  readonly kind?: HeadKind
  /** Probabilities wanted, [units, classCount]: one-hot, or those of a teacher. */
  readonly targets: Float32Array
  /** How much each unit counts: rows at a mean of 1; tokens that no label is known for at 0. */
  readonly weights: Float32Array
  /** Rows that train; all without. */
  readonly subset?: readonly number[]
}

/** Units before each row, and their total at the end. */
export function unitStarts({ sequences, kind }: Pick<TrainingRows, 'sequences' | 'kind'>) {
  const starts = new Int32Array(sequences.length + 1)
  sequences.forEach((one, row) => {
    starts[row + 1] = (starts[row] as number) + (kind === 'tokens' ? one.length : 1)
  })
  return starts
}

export interface LayOutOptions {
  readonly rows: TrainingRows
  /** Of `unitStarts`. */
  readonly starts: Int32Array
  readonly prefix: PrefixCache | null
  /** Whether the word embeddings train, so that only rows of the table that occur are fed. */
  readonly trainsWords: boolean
  /** Whether rows of a batch are compared with each other. */
  readonly comparesRows?: boolean
  /** Draws the masks of dropout for a number of tokens. */
  readonly drawMasks?: (tokenCount: number) => MicroBatch['feeds']
  /** Takes tokens out of a mask [rows, length]. */
  readonly dropTokens?: (mask: BigInt64Array, length: number) => void
}

/** The batches of one step as the graph wants them; weighted so that the step's loss is the mean over its rows. */
export function microBatches(
  group: readonly (readonly number[])[],
  options: LayOutOptions,
): MicroBatch[] {
  const counts = group.map(batch => unitWeight(batch, options))
  const total = counts.reduce((sum, one) => sum + one, 0)
  return group.map((batch, i) => {
    const count = counts[i] as number
    // A step without any known label moves nothing, and must not divide by zero.
    const share = total === 0 ? 1 / group.length : count / total
    return { ...layOut(batch, Math.max(count, 1e-12), options), share }
  })
}

/** What the loss of a batch is divided by: its rows, or the weight of its tokens. */
function unitWeight(batch: readonly number[], { rows, starts }: LayOutOptions): number {
  if (rows.kind !== 'tokens') return batch.length
  let sum = 0
  for (const row of batch) {
    for (let at = starts[row] as number; at < (starts[row + 1] as number); at++) {
      sum += rows.weights[at] as number
    }
  }
  return sum
}

function layOut(batch: readonly number[], divisor: number, options: LayOutOptions): MicroBatch {
  const { rows, prefix, trainsWords } = options
  const { ids, mask } = padBatch(
    batch.map(row => rows.sequences[row] as readonly number[]),
    0,
  )
  const [, length] = ids.dims as [number, number]
  options.dropTokens?.(mask.data as BigInt64Array, length)
  const common = {
    [BATCH.mask]: mask,
    ...unitFeeds(batch, { length, divisor, options }),
    ...(options.comparesRows && { [BATCH.self]: identity(batch.length) }),
    ...options.drawMasks?.(batch.length * length),
  }
  if (prefix !== null) return { feeds: { ...common, [BATCH.hidden]: prefix.batch(batch, length) } }
  if (!trainsWords) return { feeds: { ...common, [BATCH.ids]: ids } }
  const { local, words } = localIds(ids.data as BigInt64Array)
  return {
    feeds: { ...common, [BATCH.ids]: { ...ids, data: local } },
    rows: { [`${WORDS}.weight`]: words },
  }
}

function unitFeeds(
  batch: readonly number[],
  { length, divisor, options }: { length: number; divisor: number; options: LayOutOptions },
): MicroBatch['feeds'] {
  const { rows, starts } = options
  const { classCount } = rows
  const width = rows.kind === 'tokens' ? length : 1
  const dims = rows.kind === 'tokens' ? [batch.length, length] : [batch.length]
  const targets = new Float32Array(batch.length * width * classCount)
  const weights = new Float32Array(batch.length * width)
  batch.forEach((row, i) => {
    const [from, to] = [starts[row] as number, starts[row + 1] as number]
    targets.set(rows.targets.subarray(from * classCount, to * classCount), i * width * classCount)
    for (let at = from; at < to; at++) {
      weights[i * width + at - from] = (rows.weights[at] as number) / divisor
    }
  })
  return {
    [BATCH.targets]: { type: 'float32', dims: [...dims, classCount], data: targets },
    [BATCH.weights]: { type: 'float32', dims, data: weights },
  }
}

/** [size, size], 1 on the diagonal. */
function identity(size: number): TensorData {
  const data = new Float32Array(size * size)
  for (let i = 0; i < size; i++) data[i * size + i] = 1
  return { type: 'float32', dims: [size, size], data }
}

/** The likeliest class of each of some rows, which have one each; the first of equals. */
export function classesOf(
  { targets, classCount }: Pick<TrainingRows, 'targets' | 'classCount'>,
  subset: readonly number[],
): Int32Array {
  return Int32Array.from(subset, row => {
    const own = targets.subarray(row * classCount, (row + 1) * classCount)
    return own.reduce((best, value, k) => (value > (own[best] as number) ? k : best), 0)
  })
}

/** Ids counted along the distinct ones, which are the rows of the table that this batch trains. */
function localIds(ids: BigInt64Array): { local: BigInt64Array; words: Int32Array } {
  const positions = new Map<bigint, bigint>()
  const local = ids.map(id => {
    const known = positions.get(id) ?? BigInt(positions.size)
    positions.set(id, known)
    return known
  })
  return { local, words: Int32Array.from(positions.keys(), Number) }
}

/** @throws request-invalid */
export function checkRows({ sequences, classCount, targets, weights, kind }: TrainingRows): void {
  const wrong = (what: string, help: string) =>
    new UnderstudyError('request-invalid', `These rows cannot be trained on: ${what}.`, { help })
  if (sequences.length === 0) throw wrong('there are none', 'Give at least one labelled row.')
  if (classCount < (kind === 'multi-label' ? 1 : 2)) {
    throw wrong(`they have ${classCount} class`, 'Give examples of at least two labels.')
  }
  const unitCount = unitStarts({ sequences, ...(kind && { kind }) }).at(-1) as number
  if (targets.length !== unitCount * classCount || weights.length !== unitCount) {
    const units = kind === 'tokens' ? 'tokens' : 'rows'
    throw wrong(
      `${unitCount} ${units} of ${classCount} classes have ${targets.length} targets and ${weights.length} weights`,
      `Give one target per class and one weight for each of the ${units}.`,
    )
  }
  if (!targets.every(Number.isFinite) || !weights.every(Number.isFinite)) {
    throw wrong('a target or weight is not a number', 'Check where the targets come from.')
  }
}
