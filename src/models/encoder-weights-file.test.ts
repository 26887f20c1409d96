import { describe, expect, it } from 'vitest'
import { float32Values, readSafetensors, writeSafetensors } from '../formats/index.ts'
import { toyConfig, toyWeights } from './__fixtures__/toy-bert.ts'
import { parseEncoderConfig } from './encoder-config.ts'
import { readClassifier, readEncoderWeights } from './encoder-weights.ts'
import { writeEncoderWeights } from './encoder-weights-file.ts'

const config = parseEncoderConfig({ config: JSON.stringify(toyConfig) })
const original = readSafetensors(writeSafetensors(toyWeights()))
const weights = readEncoderWeights(original, config)
const pooler = {
  weight: Float32Array.from({ length: 64 }, (_, i) => i),
  bias: Float32Array.from({ length: 8 }, (_, i) => -i),
}
const classifier = {
  weight: Float32Array.from({ length: 24 }, (_, i) => i / 2),
  bias: Float32Array.of(1, 2, 3),
}

describe('writeEncoderWeights', () => {
  it.each([
    '',
    'bert.',
  ] as const)('writes what is read back without a bit lost, prefix %j', prefix => {
    const file = readSafetensors(writeEncoderWeights(weights, config, { prefix }))
    expect(readEncoderWeights(file, config)).toEqual(weights)
    expect(file.metadata).toEqual({ format: 'pt' })
  })

  it('keeps every tensor but the embeddings of positions and types as it was read', () => {
    const { tensors } = readSafetensors(writeEncoderWeights(weights, config))
    expect([...tensors.keys()].sort()).toEqual([...original.tensors.keys()].sort())
    const changed = [...original.tensors].filter(
      ([name, { bytes }]) => Buffer.compare(bytes, tensors.get(name)?.bytes as Uint8Array) !== 0,
    )
    expect(changed.map(([name]) => name).sort()).toEqual([
      'embeddings.position_embeddings.weight',
      'embeddings.token_type_embeddings.weight',
    ])
  })

  it('lets every type and position add up to what they were', () => {
    const { tensors } = readSafetensors(writeEncoderWeights(weights, config))
    const of = (from: typeof tensors, kind: string, at: number) => {
      const name = `embeddings.${kind}_embeddings.weight`
      return float32Values(name, from.get(name) as never).subarray(at * 8, at * 8 + 8)
    }
    for (const [type, position] of [
      [0, 0],
      [0, 15],
      [1, 3],
    ] as const) {
      for (let i = 0; i < 8; i++) {
        const sum = (from: typeof tensors) =>
          (of(from, 'position', position)[i] as number) +
          (of(from, 'token_type', type)[i] as number)
        expect(sum(tensors)).toBeCloseTo(sum(original.tensors), 6)
      }
    }
    expect([...of(tensors, 'token_type', 0)]).toEqual(Array(8).fill(0))
  })

  it('writes a pooler behind the prefix and a classifier beside it', () => {
    const bytes = writeEncoderWeights({ ...weights, pooler }, config, {
      prefix: 'bert.',
      classifier,
    })
    const file = readSafetensors(bytes)
    expect(file.tensors.get('bert.pooler.dense.weight')?.shape).toEqual([8, 8])
    expect(file.tensors.get('classifier.weight')?.shape).toEqual([3, 8])
    expect(readEncoderWeights(file, config).pooler).toEqual(pooler)
    expect(readClassifier(file.tensors, { inSize: 8 })).toEqual(classifier)
  })

  it('asks for a pooler where pooling needs one', () => {
    const pools = { ...config, pooling: 'pooler' } as const
    expect(() => readEncoderWeights(original, pools)).toThrow(/no tensor pooler.dense.weight/)
  })
})

describe('readClassifier', () => {
  it('wants both tensors or neither', () => {
    const { tensors } = readSafetensors(writeEncoderWeights(weights, config, { classifier }))
    const without = (...names: string[]) =>
      new Map([...tensors].filter(([name]) => !names.includes(name)))
    const [weight, bias] = ['classifier.weight', 'classifier.bias']
    expect(readClassifier(without(weight, bias), { inSize: 8 })).toBeUndefined()
    for (const missing of [weight, bias]) {
      expect(() => readClassifier(without(missing), { inSize: 8 })).toThrow(
        expect.objectContaining({
          code: 'model-corrupt',
          message: expect.stringContaining(missing),
        }),
      )
    }
  })
})
