/** Steps of training against the formulas they stand for, on a small regression in ONNX Runtime. */
import { afterAll, describe, expect, it } from 'vitest'
import { ADAMW_WASM } from '../../src/engine/adamw-wasm.ts'
import {
  adamW,
  Gather,
  input,
  MatMul,
  type MicroBatch,
  Mul,
  type Optimizer,
  openTrainer,
  ReduceMean,
  ReduceSum,
  Relu,
  Sub,
  sgd,
  Tanh,
  type TensorData,
  type TrainerOptions,
  type TrainingGraph,
  type TrainingRuntime,
  type Value,
} from '../../src/engine/index.ts'
import { openInProcessRuntime } from '../../src/runtimes/index.ts'
import { createRng } from '../../src/util/index.ts'

const runtime = await openInProcessRuntime({ threads: 1 })
afterAll(async () => {
  await runtime.close()
})

const rng = createRng('trainer')
const normal = (length: number) => Float32Array.from({ length }, () => rng.normal())
const WIDTH = 4
const float = (data: Float32Array, ...dims: number[]): TensorData => ({
  type: 'float32',
  dims,
  data,
})

const x = input('x', 'float32', ['rows', WIDTH])
const y = input('y', 'float32', ['rows', 1])
const w1 = input('w1', 'float32', [WIDTH, WIDTH])
const w2 = input('w2', 'float32', [WIDTH, 1])
const hidden = Tanh(MatMul(x, w1))
const meanSquare = (error: Value) => ReduceMean(Mul(error, error), undefined, { keep: false })
const graph: TrainingGraph = {
  name: 'regression',
  data: [x, y],
  parameters: [w1, w2],
  loss: meanSquare(Sub(MatMul(Relu(hidden), w2), y)),
}
const START = { w1: normal(WIDTH * WIDTH), w2: normal(WIDTH) }
const ROWS = { x: normal(6 * WIDTH), y: normal(6) }

const batch = (from: number, to: number): MicroBatch => ({
  feeds: {
    x: float(ROWS.x.subarray(from * WIDTH, to * WIDTH), to - from, WIDTH),
    y: float(ROWS.y.subarray(from, to), to - from, 1),
  },
  share: (to - from) / 6,
})

function open(optimizer: Optimizer = sgd(), more: { graph?: TrainingGraph } = {}) {
  return openTrainer({
    graph,
    parameters: [
      { input: w1, initial: START.w1, isDecayed: true },
      { input: w2, initial: START.w2, isDecayed: false, learningRateScale: 2 },
    ],
    optimizer,
    runtime,
    ...more,
  })
}

/** Gradients, as what one step of plain descent with learning rate 1 takes away. */
async function gradients(): Promise<Record<string, Float32Array>> {
  const trainer = await open()
  await trainer.train([batch(0, 6)], { learningRate: 1 })
  const [a, b] = [
    trainer.values.get('w1') as Float32Array,
    trainer.values.get('w2') as Float32Array,
  ]
  return {
    w1: START.w1.map((value, i) => value - (a[i] as number)),
    // Its learning rate is doubled.
    w2: START.w2.map((value, i) => (value - (b[i] as number)) / 2),
  }
}

const close = (got: ArrayLike<number> | undefined, wanted: ArrayLike<number>) =>
  Array.from(wanted, (value, i) => expect(got?.[i]).toBeCloseTo(value, 5))

describe('a step', () => {
  it('is AdamW: moments, bias correction, decay where it applies, a learning rate of its own', async () => {
    const g = await gradients()
    const trainer = await open(adamW({ beta1: 0.8, beta2: 0.9, epsilon: 1e-3 }))
    const settings = { learningRate: 0.01, weightDecay: 0.1 }
    await trainer.train([batch(0, 6)], settings)
    const expected = (
      start: Float32Array,
      gradient: Float32Array | undefined,
      scale: number,
      decay: number,
    ) =>
      start.map((value, i) => {
        const slope = gradient?.[i] as number
        const [m, v] = [0.2 * slope, 0.1 * slope * slope]
        const rate = 0.01 * scale
        return value * (1 - rate * decay) - (rate * (m / 0.2)) / (Math.sqrt(v / 0.1) + 1e-3)
      })
    close(trainer.values.get('w1'), expected(START.w1, g.w1, 1, 0.1))
    close(trainer.values.get('w2'), expected(START.w2, g.w2, 2, 0))
  })

  it('gathers momentum', async () => {
    const trainer = await open(sgd({ momentum: 0.5 }))
    await trainer.train([batch(0, 6)], { learningRate: 0 })
    await trainer.train([batch(0, 6)], { learningRate: 0.1 })
    const g = (await gradients()).w1 as Float32Array
    close(
      trainer.values.get('w1'),
      START.w1.map((value, i) => value - 0.15 * (g[i] as number)),
    )
  })

  it('shortens gradients that are too long, and reports how long they were', async () => {
    const g = await gradients()
    const length = Math.hypot(...(g.w1 as Float32Array), ...(g.w2 as Float32Array))
    const trainer = await open()
    const result = await trainer.train([batch(0, 6)], {
      learningRate: 1,
      maxGradientNorm: length / 4,
    })
    expect(result.gradientNorm).toBeCloseTo(length, 4)
    close(
      trainer.values.get('w1'),
      START.w1.map((value, i) => value - (g.w1?.[i] as number) / 4),
    )
  })

  it('adds batches up to what one batch gives', async () => {
    const [whole, parts] = [await open(), await open()]
    const one = await whole.train([batch(0, 6)], { learningRate: 0.3 })
    const three = await parts.train([batch(0, 1), batch(1, 3), batch(3, 6)], { learningRate: 0.3 })
    expect(three.loss).toBeCloseTo(one.loss, 5)
    close(parts.values.get('w1'), whole.values.get('w1') as Float32Array)
    close(parts.values.get('w2'), whole.values.get('w2') as Float32Array)
  })

  it('computes again what it was not told to keep, to the same weights', async () => {
    const [kept, again] = [await open(), await open(sgd(), { graph: { ...graph, keep: [hidden] } })]
    for (const trainer of [kept, again]) {
      await trainer.train([batch(0, 6)], { learningRate: 0.3 })
    }
    close(again.values.get('w1'), kept.values.get('w1') as Float32Array)
  })

  it('goes on from a state, and refuses that of other parameters', async () => {
    const [first, second] = [await open(adamW()), await open(adamW())]
    await first.train([batch(0, 3)], { learningRate: 0.1 })
    second.restore(structuredClone(first.state()))
    for (const trainer of [first, second]) {
      await trainer.train([batch(3, 6)], { learningRate: 0.1 })
    }
    expect(second.step).toBe(2)
    expect(second.values).toEqual(first.values)
    expect(() => second.restore({ step: 1, buffers: { weights: new Float32Array(3) } })).toThrow(
      /does not fit/,
    )
  })

  it('leaves weights alone when the loss is not a number', async () => {
    const trainer = await open()
    const feeds = { ...batch(0, 6).feeds, y: float(new Float32Array(6).fill(Number.NaN), 6, 1) }
    await expect(trainer.train([{ feeds }], { learningRate: 0.1 })).rejects.toMatchObject({
      code: 'training-diverged',
      message: expect.stringContaining('step 1'),
    })
    close(trainer.values.get('w1'), START.w1)
  })
})

describe('a trainer that cannot be opened', () => {
  /** Names of sessions loaded and not unloaded, in a runtime that refuses the load with this number. */
  async function leftOpen(refused: number, more: Partial<TrainerOptions> = {}): Promise<string[]> {
    const loaded = new Set<string>()
    let loadCount = 0
    const counting: TrainingRuntime = {
      async load(session) {
        if (++loadCount === refused) throw new Error('refused')
        loaded.add(session)
      },
      async unload(session) {
        loaded.delete(session)
      },
      async runInto() {},
    }
    const initial = START.w1
    const parameters = [{ input: w1, initial, isDecayed: true }]
    const opening = openTrainer({
      graph,
      parameters,
      optimizer: sgd(),
      runtime: counting,
      ...more,
    })
    await expect(opening).rejects.toThrow()
    return [...loaded]
  }

  it.each([1, 2, 3, 4])('leaves no model loaded where load %i fails', async refused => {
    expect(await leftOpen(refused)).toEqual([])
  })

  it('leaves no model loaded where parameters cannot be laid out', async () => {
    const parameters = [{ input: w1, initial: new Float32Array(1), isDecayed: true }]
    expect(await leftOpen(0, { parameters })).toEqual([])
  })
})

describe('rows of a table', () => {
  const words = input('words', 'float32', ['used', WIDTH])
  const ids = input('ids', 'int64', ['rows'])
  const rowsGraph: TrainingGraph = {
    name: 'rows',
    data: [ids],
    parameters: [words],
    loss: ReduceSum(Mul(Gather(words, ids), Gather(words, ids)), undefined, { keep: false }),
  }
  const step = (rows: number[], at: number[]): MicroBatch => ({
    feeds: { ids: { type: 'int64', dims: [at.length], data: BigInt64Array.from(at, BigInt) } },
    rows: { words: Int32Array.from(rows) },
  })

  it('train where a batch uses them, summed over repetitions; the others stay', async () => {
    const table = normal(5 * WIDTH)
    const before = table.slice()
    const trainer = await openTrainer({
      graph: rowsGraph,
      parameters: [],
      rows: [{ input: words, table, isDecayed: false }],
      optimizer: sgd(),
      runtime,
    })
    // Row 4 twice, row 1 once: the gradient of Σ w² is 2w for each use.
    await trainer.train([step([4, 1], [0, 1, 0])], { learningRate: 0.1, maxGradientNorm: 1e6 })
    const factor = [1, 1 - 0.2, 1, 1, 1 - 0.4]
    close(
      table,
      before.map((value, i) => value * (factor[Math.floor(i / WIDTH)] as number)),
    )
  })

  it('add up over the batches of a step', async () => {
    const table = normal(5 * WIDTH)
    const before = table.slice()
    const trainer = await openTrainer({
      graph: rowsGraph,
      parameters: [],
      rows: [{ input: words, table, isDecayed: false }],
      optimizer: sgd(),
      runtime,
    })
    await trainer.train([step([4], [0]), step([4, 2], [0, 1])], { learningRate: 0.1 })
    const factor = [1, 1, 1 - 0.1, 1, 1 - 0.2]
    close(
      table,
      before.map((value, i) => value * (factor[Math.floor(i / WIDTH)] as number)),
    )
  })
})

describe('the kernel', () => {
  it('is what its source says', async () => {
    const { assemble } = await import('../../scripts/wasm.mjs')
    expect(ADAMW_WASM).toBe(await assemble())
  })

  it('steps as the graph does, also over parameters that do not fill its lanes', async () => {
    const { kernel: _kernel, ...asGraph } = adamW()
    const [fused, graphed] = [await open(adamW()), await open(asGraph)]
    for (const trainer of [fused, graphed]) {
      for (let step = 0; step < 5; step++) {
        await trainer.train([batch(0, 6)], {
          learningRate: 0.05,
          weightDecay: 0.1,
          maxGradientNorm: 0.5,
        })
      }
    }
    close(fused.values.get('w1'), graphed.values.get('w1') as Float32Array)
    close(fused.values.get('w2'), graphed.values.get('w2') as Float32Array)
    expect(fused.values.get('w1')).not.toEqual(START.w1)
  })
})
