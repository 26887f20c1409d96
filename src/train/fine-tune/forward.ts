/** Logits of rows under the weights of a moment: what training looks at between epochs, and what a finished model gives. */
import { emit, type Feeds, type TensorData, type TrainingRuntime } from '../../engine/index.ts'
import { padBatch } from '../../models/index.ts'
import { createRng, newId } from '../../util/index.ts'
import { type TrainingRows, unitStarts } from '../model/training-rows.ts'
import type { Pace } from '../pace.ts'
import { BATCH, type ClassifierGraph } from './classifier-graph.ts'
import type { PrefixCache } from './prefix-cache.ts'
import { planEpoch } from './training-batches.ts'

export interface Forward {
  /** [units, classCount], 0 outside the subset. @throws cancelled, runtime-failed */
  logits(
    rows: Pick<TrainingRows, 'sequences' | 'kind' | 'subset'>,
    options: {
      readonly valuesOf: (parameter: string) => Float32Array
      readonly prefix: PrefixCache | null
      readonly pace: Pace
    },
  ): Promise<Float32Array>
  close(): Promise<void>
}

const BATCH_TOKENS = 2048
const MAX_ROWS = 64

/** Loads the part of a training graph that ends in logits. */
export async function openForward(
  graph: ClassifierGraph,
  { classCount, runtime }: { readonly classCount: number; readonly runtime: TrainingRuntime },
): Promise<Forward> {
  const session = newId('job')
  const inputs = [...graph.features, ...graph.parameters]
  await runtime.load(session, emit('forward', { inputs, outputs: { logits: graph.logits } }))
  return {
    logits: (rows, { valuesOf, ...options }) =>
      runLogits(session, rows, {
        ...options,
        classCount,
        runtime,
        parameters: parameterFeeds(graph, valuesOf),
      }),
    close: () => runtime.unload(session),
  }
}

export interface RunLogitsOptions {
  readonly classCount: number
  readonly runtime: TrainingRuntime
  readonly prefix: PrefixCache | null
  readonly pace: Pace
  /** Fed with every batch. */
  readonly parameters?: Feeds
  readonly onProgress?: (doneCount: number) => void
  /** Name of the graph's result, where that is not `logits`. */
  readonly output?: string
}

/** `logits` of a graph that is loaded, for rows: [units, classCount], 0 outside the subset. @throws cancelled, runtime-failed */
export async function runLogits(
  session: string,
  rows: Pick<TrainingRows, 'sequences' | 'kind' | 'subset'>,
  {
    classCount,
    runtime,
    prefix,
    pace,
    parameters,
    onProgress,
    output = 'logits',
  }: RunLogitsOptions,
): Promise<Float32Array> {
  const starts = unitStarts(rows)
  const all = new Float32Array((starts.at(-1) as number) * classCount)
  const subset = rows.subset ?? [...rows.sequences.keys()]
  const lengths = subset.map(row => (rows.sequences[row] as readonly number[]).length)
  const plan = planEpoch(
    { lengths, batchTokens: BATCH_TOKENS, maxRows: MAX_ROWS },
    createRng('forward'),
  )
  let doneCount = 0
  for (const places of plan) {
    await pace.breathe()
    const batch = places.map(i => subset[i] as number)
    const { feeds, length } = featureFeeds(batch, rows, prefix)
    const width = rows.kind === 'tokens' ? length : 1
    const out = new Float32Array(batch.length * width * classCount)
    const dims = [batch.length, ...(rows.kind === 'tokens' ? [length] : []), classCount]
    const result: TensorData = { type: 'float32', dims, data: out }
    await runtime.runInto(session, { ...feeds, ...parameters }, { [output]: result })
    batch.forEach((row, i) => {
      const [from, to] = [starts[row] as number, starts[row + 1] as number]
      const at = i * width * classCount
      all.set(out.subarray(at, at + (to - from) * classCount), from * classCount)
    })
    doneCount += batch.length
    onProgress?.(doneCount)
  }
  return all
}

function parameterFeeds(
  { parameters }: ClassifierGraph,
  values: (parameter: string) => Float32Array,
): Feeds {
  return Object.fromEntries(
    parameters.map(({ name, shape }) => {
      const data = values(name)
      const width = shape.slice(1).reduce<number>((size, dim) => size * (dim as number), 1)
      // The first dimension of a table is named: here all of it is fed.
      return [name, { type: 'float32', dims: [data.length / width, ...shape.slice(1)], data }]
    }),
  ) as Feeds
}

function featureFeeds(
  batch: readonly number[],
  { sequences }: Pick<TrainingRows, 'sequences'>,
  prefix: PrefixCache | null,
): { feeds: Feeds; length: number } {
  const picked = batch.map(row => sequences[row] as readonly number[])
  const { ids, mask } = padBatch(picked, 0)
  const length = ids.dims[1] as number
  const start =
    prefix === null ? { [BATCH.ids]: ids } : { [BATCH.hidden]: prefix.batch(batch, length) }
  return { feeds: { [BATCH.mask]: mask, ...start }, length }
}
