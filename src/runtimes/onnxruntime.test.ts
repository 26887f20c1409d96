import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { Add, emit, input, MatMul, Mul, scalar } from '../engine/index.ts'
import { ONNXRUNTIME_VERSION } from './onnx-binding.ts'
import { openInProcessRuntime, openRuntimePool } from './onnxruntime.ts'
import type { InferenceRuntime, Tensor } from './types.ts'

const x = input('x', 'float32', ['rows', 2])
const double = emit('double', { inputs: [x], outputs: { y: Mul(x, scalar(2)) } })
const plusOne = emit('plusOne', { inputs: [x], outputs: { y: Add(x, scalar(1)), same: Add(x, x) } })
const square = input('a', 'float32', ['n', 'n'])
const slow = emit('slow', {
  inputs: [square],
  outputs: { y: MatMul(MatMul(square, square), square) },
})

const tensor = (...values: number[]): Tensor => ({
  type: 'float32',
  dims: [values.length / 2, 2],
  data: Float32Array.from(values),
})
const slowFeeds = () => ({
  a: { type: 'float32', dims: [700, 700], data: new Float32Array(700 * 700) } as Tensor,
})
const run = (runtime: InferenceRuntime, session: string, ...values: number[]) =>
  runtime.run([{ session, feeds: { x: tensor(...values) } }])

describe.each([
  ['in process', () => openInProcessRuntime()],
  ['in one worker', async () => openRuntimePool()],
  ['in two workers', async () => openRuntimePool({ workers: 2 })],
])('a runtime %s', (_where, open) => {
  const opened = open()
  afterAll(async () => (await opened).close())

  it('runs a graph and leaves what it was fed as it was', async () => {
    const runtime = await opened
    await runtime.load('double', double)
    const fed = tensor(1, 2, 3, 4)
    const { y } = await runtime.run([{ session: 'double', feeds: { x: fed } }])
    expect(y).toEqual({ type: 'float32', dims: [2, 2], data: Float32Array.of(2, 4, 6, 8) })
    expect(fed.data).toEqual(Float32Array.of(1, 2, 3, 4))
  })

  it('chains calls, hands on outputs by name and returns the last ones', async () => {
    const runtime = await opened
    await Promise.all([runtime.load('double', double), runtime.load('plusOne', plusOne)])
    const calls = [
      { session: 'double', feeds: { x: tensor(1, 2) } },
      { session: 'plusOne', feeds: { x: { fromCall: 0, output: 'y' } } },
      { session: 'double', feeds: { x: { fromCall: 1, output: 'same' } } },
    ]
    expect((await runtime.run(calls)).y?.data).toEqual(Float32Array.of(8, 16))
    const two = await runtime.run(calls.slice(0, 2))
    expect(Object.keys(two)).toEqual(['y', 'same'])
    const one = await runtime.run(calls.slice(0, 2), { outputs: ['same'] })
    expect(Object.keys(one)).toEqual(['same'])
  })

  it('keeps answers and questions together when many are asked at once', async () => {
    const runtime = await opened
    await runtime.load('double', double)
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, i) => run(runtime, 'double', i, -i)),
    )
    answers.forEach(({ y }, i) => {
      expect(y?.data).toEqual(Float32Array.of(2 * i, -2 * i))
    })
  })

  it('refuses bytes that are no graph, and takes the name again afterwards', async () => {
    const runtime = await opened
    const garbage = [new Uint8Array(0), Uint8Array.of(1, 2, 3), double.slice(0, 40)]
    for (const bytes of garbage) {
      await expect(runtime.load('bad', bytes)).rejects.toMatchObject({ code: 'model-corrupt' })
    }
    await runtime.load('bad', double)
    expect((await run(runtime, 'bad', 1, 1)).y?.data).toEqual(Float32Array.of(2, 2))
  })

  it.each([
    ['a graph that is not loaded', [{ session: 'nowhere', feeds: {} }]],
    ['an input that is missing', [{ session: 'double', feeds: {} }]],
    [
      'a wrong type',
      [
        {
          session: 'double',
          feeds: { x: { type: 'int32', dims: [1, 2], data: new Int32Array(2) } },
        },
      ],
    ],
    [
      'a wrong shape',
      [
        {
          session: 'double',
          feeds: { x: { type: 'float32', dims: [3], data: new Float32Array(3) } },
        },
      ],
    ],
    [
      'data that do not fill the shape',
      [
        {
          session: 'double',
          feeds: { x: { type: 'float32', dims: [9, 2], data: new Float32Array(3) } },
        },
      ],
    ],
    [
      'an output of a call that is not earlier',
      [{ session: 'double', feeds: { x: { fromCall: 0, output: 'y' } } }],
    ],
  ] as const)('says runtime-failed to %s, and goes on', async (_what, calls) => {
    const runtime = await opened
    await runtime.load('double', double)
    await expect(runtime.run(calls)).rejects.toMatchObject({ code: 'runtime-failed' })
    expect((await run(runtime, 'double', 1, 1)).y?.data).toEqual(Float32Array.of(2, 2))
  })

  it('loads a name once and forgets it when unloaded', async () => {
    const runtime = await opened
    await runtime.load('again', double)
    await runtime.load('again', plusOne)
    expect((await run(runtime, 'again', 5, 5)).y?.data).toEqual(Float32Array.of(10, 10))
    await runtime.unload('again')
    await runtime.unload('again')
    await expect(run(runtime, 'again', 1, 1)).rejects.toMatchObject({ code: 'runtime-failed' })
  })

  it('does not begin when the signal has fired', async () => {
    const runtime = await opened
    await runtime.load('double', double)
    const calls = [{ session: 'double', feeds: { x: tensor(1, 1) } }]
    const signal = AbortSignal.abort()
    await expect(runtime.run(calls, { signal })).rejects.toMatchObject({ code: 'cancelled' })
  })
})

describe('a pool', () => {
  it('drops queued calls and ignores running ones when their signals fire', async () => {
    const runtime = openRuntimePool()
    await runtime.load('slow', slow)
    const order: string[] = []
    const calls = [{ session: 'slow', feeds: slowFeeds() }]
    const running = new AbortController()
    const queued = new AbortController()
    const first = runtime.run(calls, { signal: running.signal })
    const second = runtime.run(calls, { signal: queued.signal })
    const third = runtime.run(calls).then(() => order.push('third'))
    queued.abort()
    running.abort()
    await expect(second).rejects.toMatchObject({ code: 'cancelled' })
    await expect(first).rejects.toMatchObject({ code: 'cancelled' })
    expect(order).toEqual([])
    await third
    expect(order).toEqual(['third'])
    await runtime.close()
  })

  it('lets the event loop turn while an operator computes', async () => {
    const runtime = openRuntimePool()
    await runtime.load('slow', slow)
    let isDone = false
    const done = runtime.run([{ session: 'slow', feeds: slowFeeds() }]).then(() => {
      isDone = true
    })
    let turnCount = 0
    while (!isDone) {
      await new Promise(resolve => setImmediate(resolve))
      turnCount++
    }
    await done
    expect(turnCount).toBeGreaterThan(10)
    await runtime.close()
  })

  it('rejects all that waits when it is closed, and everything afterwards', async () => {
    const runtime = openRuntimePool()
    await runtime.load('slow', slow)
    const calls = [{ session: 'slow', feeds: slowFeeds() }]
    const waiting = Promise.allSettled([runtime.run(calls), runtime.run(calls)])
    await runtime.close()
    for (const outcome of await waiting) expect(outcome.status).toBe('rejected')
    await expect(runtime.run(calls)).rejects.toMatchObject({ code: 'runtime-failed' })
    await expect(runtime.load('slow', slow)).rejects.toMatchObject({ code: 'runtime-failed' })
  })

  it('replaces a worker that dies, with its graphs, and rejects only what it was doing', async () => {
    const workerModule = fileURLToPath(new URL('./__fixtures__/dying-worker.mjs', import.meta.url))
    const runtime = openRuntimePool({ workerModule })
    await runtime.load('one', double)
    await runtime.load('two', plusOne)
    for (const death of ['die', 'throw']) {
      const [dying, behind] = await Promise.allSettled([
        runtime.run([{ session: death, feeds: {} }]),
        runtime.run([{ session: 'one', feeds: {} }]),
      ])
      expect(dying).toMatchObject({ status: 'rejected', reason: { code: 'runtime-failed' } })
      expect(behind).toMatchObject({ status: 'fulfilled' })
      const { loadCount } = await runtime.run([{ session: 'one', feeds: {} }])
      expect(loadCount?.data).toEqual(Int32Array.of(2))
    }
    await runtime.close()
  })

  it('fails, and does not start workers for ever, when its worker cannot start', async () => {
    const runtime = openRuntimePool({ workerModule: '/nowhere/worker.mjs' })
    await expect(runtime.load('one', double)).rejects.toMatchObject({ code: 'runtime-failed' })
    await expect(run(runtime, 'one', 1, 1)).rejects.toMatchObject({ code: 'runtime-failed' })
    await runtime.close()
  })
})

it('names the version that package.json pins', () => {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  expect(JSON.parse(text).dependencies['onnxruntime-node']).toBe(ONNXRUNTIME_VERSION)
})
