import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { TrainingRuntime } from '../../engine/index.ts'
import { isUnderstudyError } from '../../errors.ts'
import { smallBert } from '../../models/__fixtures__/small-bert.ts'
import { openCompressedClassifier } from '../../models/index.ts'
import { type InferenceRuntime, openInProcessRuntime } from '../../runtimes/index.ts'
import { compressClassifier } from './compress.ts'
import type {
  CompressOptions,
  CompressProgress,
  CompressVariant,
  LabelledRows,
} from './compress-types.ts'
import { DISTILLATION, HEALING } from './compress-variants.ts'

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
  let runtime: InferenceRuntime & TrainingRuntime
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

  /** A model, what is left of it, and what is made of that. */
  const trained = (budgetMs: number, stateDir: string | null = null): Partial<CompressOptions> => {
    const cut = { keepLayers: [1], precision: 'float32' } as const
    return {
      variants: [
        { name: 'float32', precision: 'float32' },
        { name: 'dropped', ...cut },
        { name: 'healed', ...cut, lesson: HEALING },
        { name: 'distilled', ...cut, lesson: DISTILLATION },
      ],
      retraining: { runtime, budgetMs, stateDir },
    }
  }

  it('measures every variant and shares delta among their certificates', async () => {
    const stages: string[] = []
    const { report, chosen } = await compressClassifier(
      options({ onProgress: ({ note, done, total }) => stages.push(`${note} ${done}/${total}`) }),
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

  it('counts the rows to be given, not only those that certify, where too few prove anything', async () => {
    const missing = async (more: Partial<CompressOptions>) => {
      const certification = rows(20, 1000)
      const few = { certified: 'chosen', certification, targetRisk: 0.05, ...more } as const
      const { report } = await compressClassifier(options(few))
      const one = report.rows.find(({ name }) => name === report.chosen)?.certificate
      return one?.claimed === false ? (one.moreRequests ?? 0) : 0
    }
    // 60 others for 20 that certify; with rows held out 20 others.
    const [split, heldOut] = [await missing({}), await missing({ selection: rows(20, 2000) })]
    expect(split / heldOut).toBeCloseTo(2, 0)
  })

  it('heals and distils what is left after layers are dropped, and says what it had no time for', async () => {
    const { report, chosen } = await compressClassifier(options(trained(60_000)))
    expect(report.leftOut).toEqual([])
    expect(report.rows.map(row => [row.name, row.layerCount])).toEqual([
      ['float32', 2],
      ['dropped', 1],
      ['healed', 1],
      ['distilled', 1],
    ])
    expect(chosen.model.classifier.bias).toHaveLength(2)
    for (const row of report.rows) expect(row.accuracy).toBe(1)
    const none = await compressClassifier(options(trained(0)))
    expect(none.report.leftOut).toEqual(['healed', 'distilled'])
  })

  it('trains what is left: on labels to be sure, on what the teacher thinks to be as sure as it', async () => {
    const sureness = async (index: number) => {
      const { variants = [], ...more } = trained(60_000)
      const one = variants[index] as CompressVariant
      // Only one variant, so that it is the one that is given back.
      const { chosen } = await compressClassifier(options({ ...more, variants: [one] }))
      const { config, tokenizer } = chosen.model
      const handle = await openCompressedClassifier({
        name: `lesson ${index}`,
        graph: chosen.graph,
        precision: 'float32',
        config,
        tokenizer: new TextDecoder().decode(tokenizer.get('tokenizer.json')),
        classCount: 2,
        runtime,
      })
      const logits = await handle.logits(rows(40, 0).inputs).finally(() => handle.close())
      const gaps = Array.from({ length: 40 }, (_, row) =>
        Math.abs((logits[2 * row] as number) - (logits[2 * row + 1] as number)),
      )
      return gaps.reduce((a, b) => a + b, 0) / 40
    }
    const [whole, dropped, healed, distilled] = [
      await sureness(0),
      await sureness(1),
      await sureness(2),
      await sureness(3),
    ] as [number, number, number, number]
    expect(healed).toBeGreaterThan(dropped)
    expect(Math.abs(distilled - whole)).toBeLessThan(Math.abs(healed - whole))
  })

  it('goes on where it was broken off, to the same weights', async () => {
    const stateDir = await mkdtemp(join(tmpdir(), 'understudy-retrain-'))
    const one = { name: 'd', keepLayers: [1], lesson: DISTILLATION, precision: 'float32' } as const
    const run = (more: Partial<CompressOptions>) =>
      compressClassifier(options({ ...trained(60_000, stateDir), variants: [one], ...more }))
    const controller = new AbortController()
    const onProgress = ({ stage, done }: CompressProgress) => {
      if (stage.startsWith('training') && done >= 1) controller.abort()
    }
    await expect(run({ signal: controller.signal, onProgress })).rejects.toMatchObject({
      code: 'cancelled',
    })
    expect(await readdir(stateDir)).toContain('checkpoint.safetensors')
    const steps: number[] = []
    const resumed = await run({
      onProgress: ({ stage, done }) => {
        if (stage.startsWith('training')) steps.push(done)
      },
    })
    expect(steps[0]).toBeGreaterThan(1)
    // From the result that was kept, without training.
    const again = await run({
      onProgress: ({ stage }) => expect(stage).not.toMatch(/training/),
    })
    await rm(stateDir, { recursive: true })
    const whole = await run({})
    await rm(stateDir, { recursive: true })
    expect(again.chosen.graph).toEqual(resumed.chosen.graph)
    expect(whole.chosen.graph).toEqual(resumed.chosen.graph)
  })

  it('keeps the first variant where no other is good enough', async () => {
    const { report } = await compressClassifier(options({ maxAccuracyLoss: -0.01 }))
    expect(report.chosen).toBe('float32')
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
