/**
 * Steps of training: parameters, gradients and moments in flat buffers, which a runtime reads and writes. Knows no model and
 * no data, and is handed the runtime.
 */
import { assert, UnderstudyError } from '../errors.ts'
import { type Group, layOut, type ParameterSpec } from './arena.ts'
import { compileTraining, LOSS, type TrainingGraph, UPDATE } from './compile.ts'
import type { Optimizer } from './optimizers.ts'
import { openRows, type RowsSpec } from './trainer-rows.ts'

export interface TensorData {
  readonly type: 'float32' | 'int64' | 'int32' | 'int8' | 'uint8' | 'bool'
  readonly dims: readonly number[]
  readonly data: Float32Array | BigInt64Array | Int32Array | Int8Array | Uint8Array
}

export type Feeds = Readonly<Record<string, TensorData>>

/** What runs the models of a training step. Results are written into the given buffers, which may be views of larger ones. */
export interface TrainingRuntime {
  load(
    session: string,
    model: Uint8Array,
    hints?: {
      readonly isTraining?: boolean
      readonly isRecomputing?: boolean
      readonly tensors?: ReadonlyMap<string, Uint8Array>
    },
  ): Promise<void>
  /** One that is not loaded is fine. */
  unload(session: string): Promise<void>
  /** @throws runtime-failed */
  runInto(session: string, feeds: Feeds, outputs: Feeds): Promise<void>
}

export interface TrainerOptions {
  readonly graph: TrainingGraph
  readonly parameters: readonly ParameterSpec[]
  /** Tables of which each batch trains a few rows. */
  readonly rows?: readonly RowsSpec[]
  readonly optimizer: Optimizer
  readonly runtime: TrainingRuntime
  /** Sizes of the graph's further outputs for a batch. */
  readonly outputDims?: (batch: MicroBatch) => Readonly<Record<string, readonly number[]>>
}

export interface MicroBatch {
  readonly feeds: Feeds
  /** Numbers of the rows, each once, that a table gives to this batch; its ids count along them. */
  readonly rows?: Readonly<Record<string, Int32Array>>
  /** Its part of the step, 1 for a step of one batch; parts sum to 1. */
  readonly share?: number
}

export interface StepOptions {
  readonly learningRate: number
  readonly weightDecay?: number
  /** Longest gradient over all parameters together; longer ones are shortened (Pascanu et al. 2013). */
  readonly maxGradientNorm?: number
}

export interface StepResult {
  readonly loss: number
  /** Before clipping; NaN where it was not asked for. */
  readonly gradientNorm: number
  readonly outputs: Readonly<Record<string, Float32Array>>
}

/** Everything that a later trainer needs to go on as if nothing had happened. */
export interface TrainerState {
  readonly step: number
  /** Flat buffers by name: `weights` and one per moment. */
  readonly buffers: Readonly<Record<string, Float32Array>>
}

export interface Trainer {
  /** Steps taken. */
  readonly step: number
  /** Current values by parameter, views that change with every step. */
  readonly values: ReadonlyMap<string, Float32Array>
  /** Bytes held in buffers. */
  readonly byteLength: number
  /**
   * One update from the mean gradient of some batches.
   * @throws training-diverged when the loss is not a number, or with `maxGradientNorm` the gradient; runtime-failed
   */
  train(batches: readonly MicroBatch[], options: StepOptions): Promise<StepResult>
  /** Views, not copies. */
  state(): TrainerState
  /** @throws model-corrupt when the state is that of other parameters */
  restore(state: TrainerState): void
  close(): Promise<void>
}

const MODELS = ['gradients', 'update', 'norm', 'accumulate'] as const

type ModelName = (typeof MODELS)[number]

/**
 * Loads the models of a step, all or none; frozen weights are handed over without a copy. Returns the name of each session.
 */
async function loadModels({
  graph,
  optimizer,
  runtime,
}: TrainerOptions): Promise<(model: ModelName) => string> {
  const prefix = `train/${graph.name}/${openedCount++}`
  const session = (model: ModelName) => `${prefix}/${model}`
  const hints = { isTraining: true, isRecomputing: graph.keep !== undefined }
  const { gradients, ...others } = compileTraining(graph, optimizer)
  const { model, tensors } = gradients
  try {
    await runtime.load(session('gradients'), model, { ...hints, tensors })
    for (const [name, bytes] of Object.entries(others)) {
      await runtime.load(session(name as keyof typeof others), bytes, hints)
    }
  } catch (error) {
    await unloadModels(runtime, session).catch(() => {})
    throw error
  }
  return session
}

async function unloadModels(
  runtime: TrainingRuntime,
  session: (model: ModelName) => string,
): Promise<void> {
  for (const model of MODELS) await runtime.unload(session(model))
}

/** Parameters per call of the update model: small enough for the cache, large enough to hide the call. Measured, docs/log.md. */
const UPDATE_CHUNK = 1 << 16

let openedCount = 0

/** Compiles the graph, loads its models and starts from the initial values. */
export async function openTrainer(options: TrainerOptions): Promise<Trainer> {
  const { optimizer, runtime } = options
  const arena = layOut(options.parameters, optimizer)
  const tables = (options.rows ?? []).map(spec => openRows(spec, optimizer))
  // After all else that may fail: nobody would unload the models.
  const session = await loadModels(options)
  let step = 0

  async function accumulate(batches: readonly MicroBatch[]) {
    let loss = 0
    let outputs: Record<string, Float32Array> = {}
    for (const [i, batch] of batches.entries()) {
      const share = batch.share ?? 1 / batches.length
      const isAlone = batches.length === 1
      const run = await runGradients(batch, isAlone ? arena.gradients : arena.scratch())
      loss += share * run.loss
      outputs = run.outputs
      for (const table of tables) table.collect(batch.rows?.[table.name], isAlone ? 1 : share)
      if (!isAlone) await addScratch(share, i === 0)
    }
    return { loss, outputs }
  }

  async function runGradients(batch: MicroBatch, into: Float32Array) {
    const loss = new Float32Array(1)
    const dims = options.outputDims?.(batch) ?? {}
    const extra = Object.fromEntries(
      Object.entries(dims).map(([name, size]) => [name, zeros(size)]),
    )
    const fed = tables.map(table => table.feed(batch.rows?.[table.name]))
    await runtime.runInto(
      session('gradients'),
      Object.assign({}, batch.feeds, arena.feeds, ...fed.map(one => one.feeds)),
      Object.assign(
        { [LOSS]: tensor(loss, []) },
        extra,
        arena.gradientTensors(into),
        ...fed.map(one => one.gradients),
      ),
    )
    const outputs = Object.fromEntries(
      Object.entries(extra).map(([name, { data }]) => [name, data as Float32Array]),
    )
    return { loss: loss[0] as number, outputs }
  }

  async function addScratch(share: number, isFirst: boolean): Promise<void> {
    if (isFirst) arena.gradients.fill(0)
    const [sum, values] = [tensor(arena.gradients), tensor(arena.scratch())]
    const feeds = { sum, values, share: tensor(Float32Array.of(share), []) }
    await runtime.runInto(session('accumulate'), feeds, { newSum: sum })
  }

  async function sumOfSquares(values: Float32Array): Promise<number> {
    if (values.length === 0) return 0
    const sum = new Float32Array(1)
    await runtime.runInto(session('norm'), { values: tensor(values) }, { sum: tensor(sum, []) })
    return sum[0] as number
  }

  /** One optimiser step of buffers of equal length, in place: see `Optimizer.update`. */
  async function updateStretch(
    weights: Float32Array,
    gradients: Float32Array,
    moments: Readonly<Record<string, Float32Array>>,
    scalars: Feeds,
  ): Promise<void> {
    for (let at = 0; at < weights.length; at += UPDATE_CHUNK) {
      const cut = (all: Float32Array) => tensor(all.subarray(at, at + UPDATE_CHUNK))
      const weight = cut(weights)
      const held = Object.entries(moments).map(([name, all]) => [name, cut(all)] as const)
      await runtime.runInto(
        session('update'),
        {
          [UPDATE.weight]: weight,
          [UPDATE.gradient]: cut(gradients),
          ...Object.fromEntries(held),
          ...scalars,
        },
        {
          [UPDATE.newWeight]: weight,
          ...Object.fromEntries(held.map(([name, one]) => [UPDATE.newMoment(name), one])),
        },
      )
    }
  }

  async function update(settings: StepOptions, gradientScale: number): Promise<void> {
    const { learningRate, weightDecay = 0 } = settings
    const scalarsOf = (group: Pick<Group, 'isDecayed' | 'learningRateScale'>) => ({
      ...optimizer.scalars({
        step,
        learningRate: learningRate * group.learningRateScale,
        weightDecay: group.isDecayed ? weightDecay : 0,
      }),
      [UPDATE.gradientScale]: gradientScale,
    })
    for (const group of arena.groups) await updateGroup(group, scalarsOf(group))
    for (const table of tables) {
      await table.update((weights, gradients, moments) =>
        updateStretch(weights, gradients, moments, scalarTensors(scalarsOf(table))),
      )
    }
  }

  async function updateGroup(
    { start, end }: Group,
    scalars: Readonly<Record<string, number>>,
  ): Promise<void> {
    const cut = (all: Float32Array) => all.subarray(start, end)
    const [weights, gradients] = [cut(arena.weights), cut(arena.gradients)]
    const moments = mapValues(arena.moments, cut)
    if (arena.kernel === null) {
      await updateStretch(weights, gradients, moments, scalarTensors(scalars))
    } else {
      const at = (part: Float32Array) => part.byteOffset
      arena.kernel(
        {
          weight: at(weights),
          gradient: at(gradients),
          moments: mapValues(moments, at),
          byteLength: weights.byteLength,
        },
        scalars,
      )
    }
  }

  return {
    get step() {
      return step
    },
    values: arena.values,
    byteLength: arena.byteLength + tables.reduce((sum, table) => sum + table.byteLength, 0),
    async train(batches, settings) {
      assert(batches.length > 0, 'a step needs a batch')
      const { loss, outputs } = await accumulate(batches)
      const { maxGradientNorm } = settings
      const collected = tables.map(table => table.gradients())
      const squares =
        maxGradientNorm === undefined
          ? [Number.NaN]
          : await inOrder([arena.gradients, ...collected], sumOfSquares)
      const gradientNorm = Math.sqrt(squares.reduce((a, b) => a + b))
      const isSound = maxGradientNorm === undefined || Number.isFinite(gradientNorm)
      if (!Number.isFinite(loss) || !isSound) throw diverged(step + 1, loss, settings)
      step++
      const limit = maxGradientNorm ?? Number.POSITIVE_INFINITY
      await update(settings, gradientNorm > limit ? limit / (gradientNorm + 1e-6) : 1)
      return { loss, gradientNorm, outputs }
    },
    state: () => ({
      step,
      buffers: Object.assign({}, arena.buffers, ...tables.map(table => table.buffers)),
    }),
    restore(state) {
      const own: Record<string, Float32Array> = Object.assign(
        {},
        arena.buffers,
        ...tables.map(table => table.buffers),
      )
      for (const [name, buffer] of Object.entries(own)) {
        if (state.buffers[name]?.length !== buffer.length) throw foreignState(name)
      }
      for (const [name, buffer] of Object.entries(own)) {
        buffer.set(state.buffers[name] as Float32Array)
      }
      step = state.step
    },
    close: () => unloadModels(runtime, session),
  }
}

function tensor(data: Float32Array, dims: readonly number[] = [data.length]): TensorData {
  return { type: 'float32', dims, data }
}

function scalarTensors(scalars: Readonly<Record<string, number>>): Feeds {
  return mapValues(scalars, value => tensor(Float32Array.of(value), []))
}

function zeros(dims: readonly number[]): TensorData {
  return tensor(new Float32Array(dims.reduce((a, b) => a * b, 1)), dims)
}

function mapValues<A, B>(record: Readonly<Record<string, A>>, f: (value: A) => B) {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, f(value)]))
}

async function inOrder<A, B>(items: readonly A[], f: (item: A) => Promise<B>): Promise<B[]> {
  const results: B[] = []
  for (const item of items) results.push(await f(item))
  return results
}

function diverged(step: number, loss: number, { learningRate }: StepOptions): UnderstudyError {
  const what = Number.isFinite(loss) ? 'the gradient is not a number' : `the loss is ${loss}`
  return new UnderstudyError('training-diverged', `Training stopped at step ${step}: ${what}.`, {
    help: `Lower the learning rate (it was ${learningRate.toPrecision(3)}), warm up longer, or clip gradients; look for weights that are not numbers.`,
    details: { step },
  })
}

function foreignState(name: string): UnderstudyError {
  return new UnderstudyError(
    'model-corrupt',
    `The checkpoint does not fit: ${name} is missing or has another size.`,
    {
      help: 'Start the training again without the checkpoint.',
    },
  )
}
