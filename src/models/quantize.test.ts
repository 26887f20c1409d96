import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type InferenceRuntime, openInProcessRuntime } from '../runtimes/index.ts'
import { createRng } from '../util/index.ts'
import { toyTokenizer } from './__fixtures__/toy-bert.ts'
import {
  compressedGraph,
  openCompressedClassifier,
  openCompressedEncoder,
  type Precision,
} from './compressed.ts'
import type { EncoderConfig } from './encoder-config.ts'
import type { EncoderWeights, Linear } from './encoder-weights.ts'
import { packBlocks, packColumns, quantizeColumns, quantizeRows } from './quantize-weights.ts'

const rng = createRng('quantize')
const random = (length: number, size = 1) =>
  Float32Array.from({ length }, () => size * rng.normal())

describe('quantizeColumns', () => {
  it('keeps to 64 steps of each column and half a step of error', () => {
    const one: Linear = { weight: random(40 * 6), bias: random(6) }
    const { values, scales } = quantizeColumns(one)
    for (let column = 0; column < 6; column++) {
      const steps = Array.from({ length: 40 }, (_, row) => values[row * 6 + column] as number)
      expect(Math.max(...steps.map(Math.abs))).toBe(64)
    }
    for (const [i, weight] of one.weight.entries()) {
      const scale = scales[i % 6] as number
      expect(Math.abs(weight - (values[i] as number) * scale)).toBeLessThanOrEqual(0.501 * scale)
    }
  })

  it('leaves a column of zeros zero', () => {
    const { values, scales } = quantizeColumns({
      weight: Float32Array.of(0, 3, 0, -1),
      bias: new Float32Array(2),
    })
    expect([...values]).toEqual([0, 64, 0, -21])
    expect(scales[0]).toBe(1)
  })
})

it('quantizeRows gives each row all of a byte', () => {
  const { values, scales } = quantizeRows(Float32Array.of(1, -2, 100, 50, 0, 0), 2)
  expect([...values]).toEqual([64, -127, 127, 64, 0, 0])
  expect([...scales]).toEqual([2 / 127, 100 / 127, 1].map(Math.fround))
})

describe('packBlocks', () => {
  it('is nearer than taking the largest weight as the scale', () => {
    const values = random(32 * 50)
    const { packed, scales } = packBlocks(values)
    const levels = Array.from(packed).flatMap(byte => [(byte & 15) - 8, (byte >> 4) - 8])
    const error = (level: (i: number) => number) =>
      values.reduce((sum, value, i) => sum + (value - level(i)) ** 2, 0)
    const plain = (i: number) => {
      const from = i - (i % 32)
      const most = Math.max(...values.subarray(from, from + 32).map(Math.abs))
      return (most / 7) * Math.round(((values[i] as number) * 7) / most)
    }
    const ours = error(i => (levels[i] as number) * (scales[Math.floor(i / 32)] as number))
    expect(ours).toBeLessThan(error(plain))
    expect(ours / error(() => 0)).toBeLessThan(0.01)
  })

  it('turns a matrix, so that blocks run along the input', () => {
    const weight = new Float32Array(32 * 2)
    weight[5 * 2 + 1] = -4
    const { packed, scales } = packColumns({ weight, bias: new Float32Array(2) })
    expect([...scales]).toEqual([1, 0.5])
    expect(packed.findIndex(byte => byte !== 0x88)).toBe(16 + 2)
    expect(packed[18]).toBe(0x08)
  })
})

const config: EncoderConfig = {
  vocabularySize: 12,
  hiddenSize: 32,
  layerCount: 2,
  headCount: 4,
  intermediateSize: 64,
  maxPositions: 16,
  typeCount: 1,
  layerNormEpsilon: 1e-12,
  activation: 'gelu',
  pooling: 'mean',
  maxTokens: 12,
}
const linear = (from: number, to: number): Linear => ({
  weight: random(from * to, 0.2),
  bias: random(to, 0.1),
})
const norm = (size: number) => ({
  scale: random(size, 0.1).map(one => one + 1),
  bias: random(size, 0.1),
})
const layer = () => ({
  query: linear(32, 32),
  key: linear(32, 32),
  value: linear(32, 32),
  attentionOutput: linear(32, 32),
  attentionNorm: norm(32),
  up: linear(32, 64),
  down: linear(64, 32),
  outputNorm: norm(32),
})
const weights: EncoderWeights = {
  words: random(12 * 32),
  positions: random(16 * 32, 0.3),
  types: new Float32Array(32),
  embeddingNorm: norm(32),
  layers: [layer(), layer()],
}

describe('compressed encoders', () => {
  let runtime: InferenceRuntime
  beforeAll(async () => {
    runtime = await openInProcessRuntime()
  })
  afterAll(() => runtime.close())

  const TEXTS = ['hello world', 'a b c!', 'hellos hellos hellos a a a a b', '!']
  const open = (precision: Precision) =>
    openCompressedEncoder({
      name: precision,
      graph: compressedGraph({ config, weights }, { precision }),
      precision,
      config,
      tokenizer: toyTokenizer(),
      runtime,
    })
  const cosines = (a: Float32Array, b: Float32Array) =>
    TEXTS.map((_, row) => {
      const part = (all: Float32Array) => all.subarray(row * 32, (row + 1) * 32)
      return part(a).reduce((sum, value, i) => sum + value * (part(b)[i] as number), 0)
    })

  it.each<[Precision, number]>([
    ['int8', 0.999],
    ['int4', 0.98],
  ])('give nearly the vectors of float32 in %s, and the same alone and in a batch', async (precision, least) => {
    const [exact, small] = [await open('float32'), await open(precision)]
    const found = await small.embed(TEXTS)
    expect(Math.min(...cosines(found, await exact.embed(TEXTS)))).toBeGreaterThan(least)
    for (const [row, text] of TEXTS.entries()) {
      const alone = await small.embed([text])
      const difference = alone.map((value, i) => Math.abs(value - (found[row * 32 + i] as number)))
      expect(Math.max(...difference)).toBeLessThan(precision === 'int8' ? 1e-9 : 1e-5)
    }
  })

  it.each<Precision>([
    'float32',
    'int8',
  ])('have logits where they have a classifier: %s', async precision => {
    const linear: Linear = { weight: random(32 * 3), bias: Float32Array.of(1, 2, 3) }
    const graph = compressedGraph(
      { config, weights },
      { precision, classifier: { linear, isNormalised: true } },
    )
    const small = await open(precision)
    const embedding = await small.embed(['hello'])
    const classifier = await openCompressedClassifier({
      name: 'classifier',
      graph,
      precision,
      config,
      tokenizer: toyTokenizer(),
      runtime,
      classCount: 3,
    })
    const logits = await classifier.logits(['hello'])
    await classifier.close()
    const wanted = [0, 1, 2].map(column =>
      embedding.reduce(
        (sum, value, i) => sum + value * (linear.weight[i * 3 + column] as number),
        linear.bias[column] as number,
      ),
    )
    expect(logits).toHaveLength(3)
    for (const [i, value] of logits.entries()) expect(value).toBeCloseTo(wanted[i] as number, 4)
  })

  it('refuse sizes that blocks do not fit', () => {
    const odd = { ...config, hiddenSize: 8 }
    expect(() => compressedGraph({ config: odd, weights }, { precision: 'int4' })).toThrow(
      /8 inputs cannot be cut into blocks of 32/,
    )
  })
})
