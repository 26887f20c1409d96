import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { emit, float32, input, MatMul } from '../engine/index.ts'
import { writeSafetensors } from '../formats/index.ts'
import { type InferenceRuntime, openInProcessRuntime } from '../runtimes/index.ts'
import { toyConfig, toyFiles, toyTokenizer, toyWeights } from './__fixtures__/toy-bert.ts'
import { createEncoder, type EncoderHandle } from './encoder.ts'

let runtime: InferenceRuntime
let encoder: EncoderHandle
beforeAll(async () => {
  runtime = await openInProcessRuntime()
  encoder = await createEncoder({ name: 'toy', source: toyFiles(), runtime })
})
afterAll(() => runtime.close())

const TEXTS = ['hello world', '', 'a b c a b c a b c', 'hello', 'worlds!', 'c '.repeat(50)]

async function open(overrides: Parameters<typeof toyFiles>[0]): Promise<EncoderHandle> {
  return createEncoder({
    name: 'other',
    source: toyFiles(overrides),
    runtime,
    weightsHash: `${Math.random()}`,
  })
}

const config = (change: Record<string, unknown>) => JSON.stringify({ ...toyConfig, ...change })
const close = (got: Float32Array, wanted: Float32Array) => {
  expect(got.length).toBe(wanted.length)
  for (const [i, value] of got.entries()) expect(value).toBeCloseTo(wanted[i] as number, 5)
}

describe('createEncoder', () => {
  it('embeds to unit length, in the order of the texts, whatever stands beside them', async () => {
    const all = await encoder.embed(TEXTS)
    expect(all.length).toBe(TEXTS.length * encoder.dimension)
    for (const [i, text] of TEXTS.entries()) {
      const row = all.subarray(i * 8, i * 8 + 8)
      expect(Math.hypot(...row)).toBeCloseTo(1, 5)
      close(row, await encoder.embed([text]))
    }
    expect(await encoder.embed([])).toEqual(new Float32Array(0))
  })

  it('tells texts apart by words and by their order', async () => {
    const [a, b, c] = [
      await encoder.embed(['a b']),
      await encoder.embed(['b a']),
      await encoder.embed(['a']),
    ]
    expect(a).not.toEqual(b)
    expect(a).not.toEqual(c)
  })

  it('finds the same weights behind a prefix, and under the old names of LayerNorm', async () => {
    const wanted = await encoder.embed(['hello world'])
    for (const prefix of ['bert.', 'model.']) {
      const prefixed = await open({ weights: writeSafetensors(toyWeights(prefix)) })
      expect(await prefixed.embed(['hello world'])).toEqual(wanted)
    }
    const old = new Map(
      [...toyWeights()].map(([name, tensor]) => [
        name.replace('Norm.weight', 'Norm.gamma').replace('Norm.bias', 'Norm.beta'),
        tensor,
      ]),
    )
    const renamed = await open({ weights: writeSafetensors(old) })
    expect(await renamed.embed(['hello world'])).toEqual(wanted)
  })

  it('follows the activation and the pooling of its configuration', async () => {
    const results = [await encoder.embed(['hello world'])]
    for (const overrides of [
      { config: config({ hidden_act: 'relu' }) },
      { config: config({ hidden_act: 'gelu_new' }) },
      { pooling: '{"pooling_mode_cls_token": true}' },
    ]) {
      const other = await (await open(overrides)).embed(['hello world'])
      expect(Math.hypot(...other)).toBeCloseTo(1, 5)
      for (const earlier of results) expect(other).not.toEqual(earlier)
      results.push(other)
    }
  })

  it('lets a head run behind it in one call', async () => {
    const embedding = input('embedding', 'float32', ['batch', 8])
    const sum = MatMul(embedding, float32('ones', new Float32Array(8).fill(1), [8, 1]))
    await runtime.load('head', emit('head', { inputs: [embedding], outputs: { sum } }))
    const feeds = encoder.feeds(['hello', 'world a b'])
    const { sum: got } = await runtime.run([
      { session: encoder.session, feeds },
      { session: 'head', feeds: { embedding: { fromCall: 0, output: encoder.output } } },
    ])
    const rows = await encoder.embed(['hello', 'world a b'])
    const wanted = [rows.subarray(0, 8), rows.subarray(8)].map(row => row.reduce((a, b) => a + b))
    expect(got?.dims).toEqual([2, 1])
    close(got?.data as Float32Array, Float32Array.from(wanted))
  })

  it('reports progress and stops between batches when cancelled', async () => {
    const texts = Array.from({ length: 500 }, (_, i) => 'a '.repeat(i % 12))
    const counts: number[] = []
    await encoder.embed(texts, { onProgress: count => counts.push(count) })
    expect(counts.at(-1)).toBe(500)
    expect(counts).toEqual([...counts].sort((a, b) => a - b))
    const controller = new AbortController()
    const seen: number[] = []
    const cancelled = encoder.embed(texts, {
      signal: controller.signal,
      onProgress(count) {
        seen.push(count)
        controller.abort()
      },
    })
    await expect(cancelled).rejects.toMatchObject({ code: 'cancelled' })
    expect(seen).toHaveLength(1)
    const signal = AbortSignal.abort()
    await expect(encoder.embed(['a'], { signal })).rejects.toMatchObject({ code: 'cancelled' })
  })

  it('names weights by their bytes, and frees the graph when closed', async () => {
    expect(encoder.weightsHash).toMatch(/^[0-9a-f]{64}$/)
    const other = await open({})
    await other.close()
    await expect(other.embed(['a'])).rejects.toMatchObject({ code: 'runtime-failed' })
  })

  const without = (name: string) => {
    const tensors = toyWeights()
    tensors.delete(name)
    return writeSafetensors(tensors)
  }
  const integers = () => {
    const tensors = toyWeights()
    const name = 'encoder.layer.1.output.dense.bias'
    tensors.set(name, { type: 'I32', shape: [8], bytes: new Uint8Array(32) })
    return writeSafetensors(tensors)
  }
  it.each([
    [
      'a missing tensor',
      { weights: without('encoder.layer.1.output.dense.bias') },
      /no tensor encoder\.layer\.1\.output\.dense\.bias/,
    ],
    [
      'no embeddings',
      { weights: without('embeddings.word_embeddings.weight') },
      /no tensor embeddings/,
    ],
    [
      'no LayerNorm under either name',
      { weights: without('embeddings.LayerNorm.weight') },
      /LayerNorm\.weight or embeddings\.LayerNorm\.gamma/,
    ],
    [
      'weights of another size',
      { config: config({ intermediate_size: 13 }) },
      /intermediate\.dense\.weight is \[12,8\], config\.json asks for \[13,8\]/,
    ],
    [
      'weights of another vocabulary',
      { config: config({ vocab_size: 13 }) },
      /word_embeddings\.weight is \[12,8\]/,
    ],
    ['integer weights', { weights: integers() }, /dense\.bias is I32/],
    [
      'weights that are cut',
      { weights: writeSafetensors(toyWeights()).slice(0, -1) },
      /safetensors/,
    ],
    ['weights that are text', { weights: new TextEncoder().encode('<html>') }, /safetensors/],
    ['a tokenizer that is broken', { tokenizer: '{}' }, /tokenizer\.json/],
    ['heads that do not divide', { config: config({ num_attention_heads: 5 }) }, /does not divide/],
  ])('refuses %s', async (_what, overrides, message) => {
    await expect(open(overrides)).rejects.toMatchObject({
      code: 'model-corrupt',
      message: expect.stringMatching(message),
    })
  })

  it('refuses a vocabulary whose numbers the weights do not hold, before it serves', async () => {
    const tokenizer = JSON.parse(toyTokenizer())
    tokenizer.model.vocab.zebra = 5000
    await expect(open({ tokenizer: JSON.stringify(tokenizer) })).rejects.toMatchObject({
      code: 'model-corrupt',
      message: expect.stringMatching(/5000/),
    })
  })
})

describe('an encoder in a folder', () => {
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'understudy-encoder-'))
  })
  afterAll(() => rm(folder, { recursive: true }))

  it('is read in the layout of sentence-transformers, and the missing file is named', async () => {
    const files = toyFiles()
    const opened = () => createEncoder({ name: 'folder', source: folder, runtime })
    await writeFile(join(folder, 'model.safetensors'), files.weights)
    await writeFile(join(folder, 'config.json'), files.config)
    await expect(opened()).rejects.toMatchObject({
      code: 'model-unavailable',
      message: expect.stringContaining('tokenizer.json'),
    })
    await writeFile(join(folder, 'tokenizer.json'), files.tokenizer)
    expect(await (await opened()).embed(['hello'])).toEqual(await encoder.embed(['hello']))
    await mkdir(join(folder, '1_Pooling'))
    await writeFile(join(folder, '1_Pooling/config.json'), '{')
    await expect(opened()).rejects.toMatchObject({ code: 'model-corrupt' })
  })
})
