/** Gradients of whole blocks: every weight of a tiny BERT and a tiny Llama, against differences and against transformers. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { emit, grad, type Input } from '../../src/engine/index.ts'
import { evaluate } from '../../src/engine/reference.ts'
import type { NumericTensor } from '../../src/engine/reference-tensor.ts'
import { openInProcessRuntime, type Tensor } from '../../src/runtimes/index.ts'
import { type Block, bertBlock, llamaBlock } from './blocks.ts'
import { expectClose } from './closeness.ts'
import { centralDifferences } from './differences.ts'
import { runtimeTensor } from './draws.ts'

const { blocks: GOLDENS } = JSON.parse(
  readFileSync(join(import.meta.dirname, '../parity/goldens/blocks.json'), 'utf8'),
) as {
  blocks: Record<string, { loss: number; gradients: Record<string, number[]> }>
}

/** Goldens have 8 digits; transformers computes the norms, angles and attention weights of a Llama in single precision. */
const DOUBLE = { bert: 1e-7, llama: 3e-7 }
/** A hundred operators in single precision. */
const SINGLE = 2e-6
/** What a step of 1e-5 leaves, see `differences.ts`. */
const DIFFERENCES = 1e-7

const runtime = await openInProcessRuntime()
afterAll(() => runtime.close())

describe.each([
  ['bert', bertBlock()],
  ['llama', llamaBlock()],
] as const)('a tiny %s', (name, { loss, weights, data }: Block) => {
  const drawn = [...data, ...weights]
  const feeds = new Map(drawn.map(({ value, fed }): [Input, NumericTensor] => [value, fed]))
  const wrt = weights.map(({ value }) => value)
  const gradients = grad(loss, wrt)
  const [foundLoss, ...found] = evaluate([loss, ...gradients], feeds)
  const golden = GOLDENS[name] as (typeof GOLDENS)[string]

  it('has the weights of its twin', () => {
    expect(wrt.map(one => one.name).sort()).toEqual(Object.keys(golden.gradients).sort())
  })

  it('has the loss and gradients of its twin', () => {
    expectClose(foundLoss?.data ?? [], [golden.loss], DOUBLE[name])
    for (const [i, { name: weight }] of wrt.entries()) {
      expectClose(found[i]?.data ?? [], golden.gradients[weight] as number[], DOUBLE[name])
    }
  })

  it.each(
    wrt.map((value, i) => ({ weight: value.name, value, i })),
  )('has the slope that differences show: $weight', ({ value, i }) => {
    expectClose(found[i]?.data ?? [], centralDifferences(loss, value, feeds), DIFFERENCES)
  })

  it('is the same in ONNX Runtime', async () => {
    const outputs = {
      loss,
      ...Object.fromEntries(wrt.map((one, i) => [`gradient:${one.name}`, gradients[i]])),
    } as Record<string, (typeof gradients)[number]>
    await runtime.load(name, emit(name, { inputs: drawn.map(one => one.value), outputs }))
    const fed = Object.fromEntries(drawn.map(one => [one.value.name, runtimeTensor(one)]))
    const got = await runtime.run([{ session: name, feeds: fed }])
    const numbers = (output: string) => (got[output] as Tensor).data as Float32Array
    expectClose(numbers('loss'), [golden.loss], SINGLE)
    for (const { name: weight } of wrt) {
      expectClose(numbers(`gradient:${weight}`), golden.gradients[weight] as number[], SINGLE)
    }
  })
})
