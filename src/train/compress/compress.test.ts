import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { isUnderstudyError } from '../../errors.ts'
import { smallBert, smallLayer } from '../../models/__fixtures__/small-bert.ts'
import { type InferenceRuntime, openInProcessRuntime } from '../../runtimes/index.ts'
import { compressClassifier } from './compress.ts'
import type { CompressibleModel, CompressOptions, LabelledRows } from './compress-types.ts'

/** Two classes told apart by a word, in different surroundings. */
function rows(count: number, from: number): LabelledRows {
  const labels = Int32Array.from({ length: count }, (_, i) => i % 2)
  const filler = (n: number) => Array.from({ length: n % 5 }, () => 'please').join(' ')
  return {
    labels,
    inputs: Array.from(labels, (label, i) =>
      `${filler(i)} ${label === 0 ? 'refund' : 'invoice'} ${i % 3 === 0 ? 'late' : 'a'}`.trim(),
    ),
    groups: Int32Array.from(labels, (_, i) => from + i),
  }
}

describe('compressClassifier', () => {
  let runtime: InferenceRuntime
  beforeAll(async () => {
    runtime = await openInProcessRuntime()
  })
  afterAll(() => runtime.close())

  const options = (more: Partial<CompressOptions> = {}): CompressOptions => ({
    model: smallBert(),
    classCount: 2,
    variants: [
      { name: 'float32', precision: 'float32' },
      { name: 'int8', precision: 'int8' },
      { name: 'small', keepLayers: [0], trimVocabulary: true, precision: 'int4' },
    ],
    training: rows(60, 0),
    certification: rows(80, 1000),
    targetRisk: 0.1,
    delta: 0.1,
    certified: 'every',
    seed: 1,
    runtime,
    signal: new AbortController().signal,
    ...more,
  })

  it('measures every variant and shares delta among their certificates', async () => {
    const stages: string[] = []
    const { report, chosen } = await compressClassifier(
      options({ onProgress: (stage, done, total) => stages.push(`${stage} ${done}/${total}`) }),
    )
    expect(stages).toEqual(['float32 0/3', 'int8 1/3', 'small 2/3'])
    expect(report.deltaPerLook).toBeCloseTo(0.1 / 3)
    expect([report.fitCount, report.selectionCount, report.certificationCount]).toEqual([
      48, 12, 80,
    ])
    const [float32, int8, small] = report.rows
    expect([small?.layerCount, small?.vocabularySize]).toEqual([1, 9])
    expect(small?.byteCount).toBeLessThan(int8?.byteCount ?? 0)
    expect(int8?.byteCount).toBeLessThan(float32?.byteCount ?? 0)
    for (const row of report.rows) {
      expect(row.latencyMs).toBeGreaterThan(0)
      expect(row.accuracy).toBe(1)
      expect(row.certificate).toMatchObject({ claimed: true, delta: report.deltaPerLook, n: 80 })
    }
    expect(report.rows.map(row => row.name)).toContain(report.chosen)
    expect(chosen.variant.name).toBe(report.chosen)
    expect(JSON.parse(JSON.stringify(report))).toEqual(report)
  })

  it('looks only at the chosen variant where asked, at all of delta', async () => {
    const { report } = await compressClassifier(options({ certified: 'chosen' }))
    const looked = report.rows.filter(row => row.certificate !== null)
    expect(looked.map(row => row.name)).toEqual([report.chosen])
    expect(report.deltaPerLook).toBe(0.1)
  })

  it('heals what is left after layers are dropped', async () => {
    const seen: number[] = []
    const heal = async (one: CompressibleModel) => {
      seen.push(one.config.layerCount, one.config.vocabularySize)
      return { ...one, weights: { ...one.weights, layers: [smallLayer()] } }
    }
    const { report } = await compressClassifier(
      options({ variants: [{ name: 'healed', keepLayers: [1], heal, precision: 'int8' }] }),
    )
    expect(seen).toEqual([1, 10])
    expect(report.rows[0]?.layerCount).toBe(1)
  })

  it('never chooses a variant that loses too much', async () => {
    const heal = async (one: CompressibleModel) => ({
      ...one,
      weights: { ...one.weights, words: new Float32Array(one.weights.words.length) },
    })
    const { report } = await compressClassifier(
      options({
        variants: [
          { name: 'good', precision: 'float32' },
          { name: 'blind', keepLayers: [0], heal, precision: 'int4' },
        ],
      }),
    )
    expect(report.rows[1]?.selectionAccuracy).toBeLessThan(0.9)
    expect(report.chosen).toBe('good')
  })

  it.each<[string, Partial<CompressOptions>, RegExp]>([
    ['no variants', { variants: [] }, /one or more/],
    ['too few rows', { training: rows(6, 0) }, /6 different ones to train with/],
    ['no certification rows', { certification: rows(0, 0) }, /and 0 to certify with/],
    [
      'layers that are not there',
      { variants: [{ name: 'x', keepLayers: [7], precision: 'int8' }] },
      /cannot be kept/,
    ],
  ])('refuses %s', async (_what, more, message) => {
    const error = await compressClassifier(options(more)).catch((thrown: unknown) => thrown)
    expect(isUnderstudyError(error) && error.code).toBe('usage-invalid')
    expect((error as Error).message).toMatch(message)
  })

  it('stops when cancelled', async () => {
    const controller = new AbortController()
    const onProgress = () => controller.abort()
    await expect(
      compressClassifier(options({ signal: controller.signal, onProgress })),
    ).rejects.toMatchObject({ code: 'cancelled' })
  })
})
