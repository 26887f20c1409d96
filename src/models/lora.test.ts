import { describe, expect, it } from 'vitest'
import {
  float32Tensor,
  type PeftAdapter,
  readPeftAdapter,
  readSafetensors,
  writePeftAdapter,
  writeSafetensors,
} from '../formats/index.ts'
import { createRng } from '../util/index.ts'
import { toyConfig, toyWeights } from './__fixtures__/toy-bert.ts'
import { parseEncoderConfig } from './encoder-config.ts'
import { type EncoderWeights, readEncoderWeights } from './encoder-weights.ts'
import { adapterClassifier, collectAdapter, mergeAdapter } from './lora.ts'

const config = parseEncoderConfig({ config: JSON.stringify(toyConfig) })
const weights = readEncoderWeights(readSafetensors(writeSafetensors(toyWeights())), config)
const rng = createRng('lora')
const random = (length: number) => Float32Array.from({ length }, () => rng.normal())

type Sizes = readonly [inSize: number, outSize: number, rank?: number]

function adapter(modules: Record<string, Sizes>, change: Partial<PeftAdapter> = {}): PeftAdapter {
  return {
    rank: 2,
    alpha: 3,
    isRankStabilised: false,
    dropout: 0,
    targetModules: 'all-linear',
    baseModel: null,
    taskType: null,
    modules: new Map(
      Object.entries(modules).map(([path, [inSize, outSize, rank = 2]]) => {
        const [a, b] = [random(rank * inSize), random(outSize * rank)]
        return [path, { a, b, inSize, outSize, rank, alpha: 3 }]
      }),
    ),
    saved: new Map(),
    ...change,
  }
}

const layer = (i: number, path: string) => `encoder.layer.${i}.${path}`

describe('mergeAdapter', () => {
  it.each<[string, keyof EncoderWeights['layers'][number], Sizes]>([
    ['attention.self.query', 'query', [8, 8]],
    ['attention.self.key', 'key', [8, 8, 1]],
    ['attention.self.value', 'value', [8, 8]],
    ['attention.output.dense', 'attentionOutput', [8, 8]],
    ['intermediate.dense', 'up', [8, 12, 3]],
    ['output.dense', 'down', [12, 8]],
  ])('adds scaling · B · A to %s and shares the rest', (path, name, sizes) => {
    const lora = adapter({ [`bert.${layer(1, path)}`]: sizes })
    const { a, b, inSize, outSize, rank } = lora.modules.get(`bert.${layer(1, path)}`) as never as {
      a: number[]
      b: number[]
      inSize: number
      outSize: number
      rank: number
    }
    const merged = mergeAdapter(weights, lora)
    const before = (weights.layers[1] as never as Record<string, { weight: number[] }>)[name]
    const after = (merged.layers[1] as never as Record<string, { weight: number[] }>)[name]
    for (let i = 0; i < inSize; i++) {
      for (let o = 0; o < outSize; o++) {
        let sum = 0
        for (let r = 0; r < rank; r++) {
          sum += (b[o * rank + r] as number) * (a[r * inSize + i] as number)
        }
        const wanted = (before?.weight[i * outSize + o] as number) + (3 / rank) * sum
        expect(after?.weight[i * outSize + o]).toBeCloseTo(wanted, 5)
      }
    }
    expect(merged.layers[0]).toBe(weights.layers[0])
    expect({ ...merged.layers[1], [name]: null }).toEqual({ ...weights.layers[1], [name]: null })
    expect(merged.words).toBe(weights.words)
  })

  it('scales by the root of the rank where the adapter says so', () => {
    const path = layer(0, 'attention.self.query')
    const plain = adapter({ [path]: [8, 8, 4] })
    const step = (one: PeftAdapter) =>
      (mergeAdapter(weights, one).layers[0]?.query.weight[5] as number) -
      (weights.layers[0]?.query.weight[5] as number)
    expect(step({ ...plain, isRankStabilised: true }) / step(plain)).toBeCloseTo(2, 4)
  })

  it('adapts or replaces the pooler of an encoder that has one, and passes over it in others', () => {
    const pooler = { weight: random(64), bias: random(8) }
    const lora = adapter({ 'bert.pooler.dense': [8, 8] })
    expect(mergeAdapter(weights, lora)).toEqual(weights)
    const adapted = mergeAdapter({ ...weights, pooler }, lora).pooler
    expect(adapted?.bias).toBe(pooler.bias)
    expect(adapted?.weight).not.toEqual(pooler.weight)
    const saved = new Map([
      [
        'bert.pooler.dense.weight',
        float32Tensor(
          Float32Array.from({ length: 64 }, (_, i) => i),
          [8, 8],
        ),
      ],
      ['bert.pooler.dense.bias', float32Tensor(random(8), [8])],
    ])
    const whole = adapter({ [layer(0, 'attention.self.key')]: [8, 8] }, { saved })
    const replaced = mergeAdapter({ ...weights, pooler }, whole).pooler
    expect([...(replaced?.weight.subarray(0, 3) ?? [])]).toEqual([0, 8, 16])
    expect(mergeAdapter(weights, whole).pooler).toBeUndefined()
  })

  it.each<[string, Record<string, Sizes>, RegExp]>([
    [
      'a module of decoders',
      { 'model.layers.0.self_attn.q_proj': [8, 8] },
      /no module model.layers/,
    ],
    [
      'a module that has no matrix',
      { [layer(0, 'attention')]: [8, 8] },
      /those of a layer are att/,
    ],
    ['a layer too many', { [layer(2, 'attention.self.query')]: [8, 8] }, /of layer 2, .* has 2/],
    ['a layer without number', { 'encoder.layer.x.output.dense': [12, 8] }, /no module/],
    ['another width', { [layer(0, 'output.dense')]: [8, 8] }, /\[8,8\], the encoder has \[8,12\]/],
    ['sizes the wrong way round', { [layer(0, 'output.dense')]: [8, 12] }, /\[12,8\]/],
  ])('refuses %s', (_what, modules, message) => {
    expect(() => mergeAdapter(weights, adapter(modules))).toThrow(
      expect.objectContaining({ code: 'model-corrupt', message: expect.stringMatching(message) }),
    )
  })

  it('refuses to leave out a part of the encoder that was saved whole', () => {
    const saved = new Map([['bert.embeddings.LayerNorm.weight', float32Tensor(random(8), [8])]])
    const lora = adapter({ [layer(0, 'attention.self.key')]: [8, 8] }, { saved })
    expect(() => mergeAdapter(weights, lora)).toThrow(/saved embeddings.LayerNorm.weight whole/)
  })
})

describe('collectAdapter', () => {
  const path = layer(1, 'intermediate.dense')
  const options = { rank: 2, alpha: 3, baseModel: 'toy' }
  const classifier = { weight: random(24), bias: random(3) }

  it('makes of trained factors an adapter that merges, is written, and is read back', () => {
    const factors = new Map([
      [`${path}.lora_B.weight`, random(24)],
      [`${path}.lora_A.weight`, random(16)],
    ])
    const collected = collectAdapter(factors, options)
    expect(collected.modules.get(path)).toMatchObject({ inSize: 8, outSize: 12, rank: 2, alpha: 3 })
    expect(collected).toMatchObject({ targetModules: [path], taskType: 'FEATURE_EXTRACTION' })
    expect(mergeAdapter(weights, collected).layers[1]?.up).not.toEqual(weights.layers[1]?.up)
    expect(readPeftAdapter(writePeftAdapter(collected))).toEqual(collected)

    const classifying = collectAdapter(factors, { ...options, classifier })
    expect(classifying).toMatchObject({ targetModules: [`bert.${path}`], taskType: 'SEQ_CLS' })
    expect(adapterClassifier(classifying, 8)).toEqual(classifier)
    expect(mergeAdapter(weights, classifying)).toEqual(mergeAdapter(weights, collected))
  })

  it.each(['A', 'B'])('refuses %s alone', half => {
    const factors = new Map([[`${path}.lora_${half}.weight`, random(16)]])
    expect(() => collectAdapter(factors, options)).toThrow(/dense.* stands alone, without lora_/)
  })
})

describe('adapterClassifier', () => {
  const saved = (...names: string[]) =>
    adapter(
      {},
      {
        saved: new Map(
          names.map(name => [
            name,
            name.endsWith('bias')
              ? float32Tensor(Float32Array.of(1, 2), [2])
              : float32Tensor(Float32Array.of(1, 2, 3, 4, 5, 6), [2, 3]),
          ]),
        ),
      },
    )

  it('turns the matrix that was saved the way graphs want it', () => {
    const { weight, bias } =
      adapterClassifier(saved('classifier.weight', 'classifier.bias'), 3) ?? {}
    expect([...(weight ?? [])]).toEqual([1, 4, 2, 5, 3, 6])
    expect([...(bias ?? [])]).toEqual([1, 2])
    expect(adapterClassifier(saved(), 3)).toBeUndefined()
  })

  it('refuses one of another width, and one without bias', () => {
    expect(() => adapterClassifier(saved('classifier.weight', 'classifier.bias'), 4)).toThrow(
      /classifier.weight is \[2,3\], .* \[2,4\]/,
    )
    expect(() => adapterClassifier(saved('classifier.weight'), 3)).toThrow(
      /no tensor classifier.bias/,
    )
  })
})
