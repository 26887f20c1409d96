/** The gradient of a table whose rows are read again and again, as word embeddings are: summed in full on any number of threads. */
import { afterAll, expect, it } from 'vitest'
import { emit, Gather, grad, input, Mul, ReduceSum, type Value } from '../../src/engine/index.ts'
import { openInProcessRuntime } from '../../src/runtimes/index.ts'
import { createRng } from '../../src/util/index.ts'

const runtime = await openInProcessRuntime({ threads: 2 })
afterAll(() => runtime.close())

const WIDTH = 384
const READ = 1024
const rng = createRng('gather')
const ids = Array.from({ length: READ }, () => rng.int(20))
const cotangent = Float32Array.from({ length: READ * WIDTH }, () => rng.normal())

it.each([
  ['a table of a named size', 'rows', 20],
  ['a large table', 5000, 5000],
] as const)('sums what was read of one row: %s', async (name, rowCount, count) => {
  const table = input('table', 'float32', [rowCount, WIDTH])
  const at = input('at', 'int64', ['batch', 'length'])
  const g = input('g', 'float32', ['batch', 'length', WIDTH])
  const loss = ReduceSum(Mul(Gather(table, at), g), undefined, { keep: false })
  const [gradient] = grad(loss, [table])
  await runtime.load(
    name,
    emit('gather', { inputs: [table, at, g], outputs: { gradient: gradient as Value } }),
  )
  const wanted = new Float64Array(count * WIDTH)
  cotangent.forEach((value, i) => {
    const place = (ids[Math.floor(i / WIDTH)] as number) * WIDTH + (i % WIDTH)
    wanted[place] = (wanted[place] as number) + value
  })
  const dims = [READ / 16, 16]
  const feeds = {
    table: { type: 'float32', dims: [count, WIDTH], data: new Float32Array(count * WIDTH) },
    at: { type: 'int64', dims, data: BigInt64Array.from(ids, BigInt) },
    g: { type: 'float32', dims: [...dims, WIDTH], data: cotangent },
  } as const
  // A race shows in some runs only.
  for (let run = 0; run < 40; run++) {
    const { gradient: found } = await runtime.run([{ session: name, feeds }])
    const sums = found?.data as Float32Array
    expect(sums).toHaveLength(wanted.length)
    const wrong = wanted.findIndex((value, i) => Math.abs(value - (sums[i] as number)) > 1e-3)
    expect(wrong).toBe(-1)
  }
})
