import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { float32Tensor, writeSafetensors } from '../../formats/index.ts'
import { toyFiles, toyWeights } from '../../models/__fixtures__/toy-bert.ts'
import { openInProcessRuntime } from '../../runtimes/index.ts'
import { toyRows } from './__fixtures__/toy-rows.ts'
import type { TrainTask } from './labelled-rows.ts'
import { runId } from './run-record.ts'
import { type TrainedModel, type TrainModelOptions, trainModel } from './train-model.ts'

const runtime = await openInProcessRuntime({ threads: 1 })
let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'train-model-'))
})
afterAll(async () => {
  await runtime.close()
  await rm(folder, { recursive: true })
})

type Plan = Extract<TrainModelOptions['plan'], { kind: 'search' }>

function options(
  task: TrainTask,
  plan: Partial<Plan> = {},
  more: Partial<TrainModelOptions> = {},
): TrainModelOptions {
  return {
    task,
    rows: toyRows(task, 120),
    base: { name: 'toy', files: toyFiles() },
    plan: {
      kind: 'search',
      method: 'auto',
      budgetMs: 60_000,
      fixed: { learningRate: 5e-3, headLearningRate: 2e-2 },
      seed: 0,
      memoryBytes: 2 ** 30,
      ...plan,
    },
    runtime,
    threads: 1,
    stateDir: join(folder, 'training'),
    signal: new AbortController().signal,
    versions: {},
    ...more,
  }
}

/** Its weights hold what is not a number. */
function spoiledBase() {
  const weights = toyWeights()
  const norm = 'encoder.layer.1.output.LayerNorm.weight'
  const { shape } = weights.get(norm) ?? { shape: [8] }
  weights.set(norm, float32Tensor(new Float32Array(8).fill(Number.NaN), shape))
  return { name: 'spoiled', files: toyFiles({ weights: writeSafetensors(weights) }) }
}

/** As a job does that has written the model. */
async function train(order: TrainModelOptions): Promise<TrainedModel> {
  const trained = await trainModel(order)
  await trained.discardState()
  return trained
}

describe('trainModel', () => {
  it.each([
    ['label', 'accuracy', 0.85],
    ['labels', 'microF1', 0.75],
    ['pair', 'accuracy', 0.75],
    ['spans', 'entityF1', 0.5],
  ] as const)(
    'learns %s: %s above %d, and leaves no state behind',
    async (task, score, least) => {
      // Far more than chance, which is a half, or nothing of spans: random weights of eight units hold no more.
      const { record, parts } = await train(
        options(task, {
          method: 'full',
          fixed: { learningRate: 5e-3, headLearningRate: 0.1, epochCount: 40 },
        }),
      )
      expect(record.metrics?.scores[score]).toBeGreaterThan(least)
      expect(record.metrics?.rowCount).toBe(record.rowCounts.selection)
      expect(record.tried.length).toBeGreaterThan(0)
      expect(parts.head.bias.length).toBe(parts.outputs.length)
      expect(await readdir(join(folder, 'training'))).toEqual([])
    },
    120_000,
  )

  it.each(['full', 'lora', 'head'] as const)('repeats a run of %s bit for bit', async method => {
    const first = await train(options('label', { method }))
    const again = await train(
      options('label', {}, { plan: { kind: 'repeat', record: first.record } }),
    )
    expect(again.parts.weights.layers).toEqual(first.parts.weights.layers)
    expect(again.parts.head).toEqual(first.parts.head)
    expect(again.record.id).toBe(first.record.id)
    expect(again.record.metrics).toEqual(first.record.metrics)
  })

  it('keeps states of frozen layers only within its memory, and comes to the same loss', async () => {
    const lossWith = async (memoryBytes: number) => {
      const stages = new Set<string>()
      const fixed = { epochCount: 2, layerCount: 1, batchTokens: 64 }
      const { record } = await train(
        options(
          'label',
          { method: 'full', memoryBytes, fixed },
          { onProgress: one => stages.add(one.stage) },
        ),
      )
      return { isCached: stages.has('frozen layers'), loss: record.tried[0]?.metrics?.logLoss }
    }
    // 120 rows of about six tokens and eight units of four bytes: 23 kB.
    const [roomy, tight] = [await lossWith(2 ** 30), await lossWith(30_000)]
    expect([roomy.isCached, tight.isCached]).toEqual([true, false])
    expect(tight.loss).toBeCloseTo(roomy.loss as number, 3)
  })

  it('makes batches smaller where memory is short', async () => {
    const { record } = await train(options('label', { method: 'head', memoryBytes: 400_000 }))
    expect(record.recipe.batchTokens).toBeLessThan(64)
  })

  it('keeps what was trained when it is cancelled, and goes on from there to the same weights', async () => {
    const plan = { method: 'full', fixed: { epochCount: 10 } } as const
    const alone = await train(options('label', plan))
    const stop = new AbortController()
    const broken = train(
      options('label', plan, {
        signal: stop.signal,
        onProgress: ({ stage }) => {
          if (stage === 'fit on all rows') stop.abort()
        },
      }),
    )
    await expect(broken).rejects.toMatchObject({ code: 'cancelled' })
    const stages: string[] = []
    const resumed = await train(
      options('label', plan, { onProgress: one => void (one.note && stages.push(one.stage)) }),
    )
    expect(new Set(stages)).toEqual(new Set(['fit on all rows']))
    // What the search took is counted, although another process made it.
    const searched = resumed.record.tried.reduce((sum, { seconds }) => sum + seconds, 0)
    expect(resumed.record.seconds).toBeGreaterThanOrEqual(searched)
    expect(resumed.parts.head).toEqual(alone.parts.head)
    expect(resumed.parts.weights.layers).toEqual(alone.parts.weights.layers)
  })

  it('comes to the same, without the search, where it ends before its model is written', async () => {
    const plan = { method: 'full', fixed: { epochCount: 4 } } as const
    const lost = await trainModel(options('label', plan))
    const stages = new Set<string>()
    const again = await train(
      options('label', plan, { onProgress: one => void (one.note && stages.add(one.stage)) }),
    )
    expect([...stages]).toEqual(['fit on all rows'])
    expect(again.parts.head).toEqual(lost.parts.head)
    expect(again.record.id).toBe(lost.record.id)
    expect(again.record.metrics).toEqual(lost.record.metrics)
  })

  it('is another run with another tokenizer, which does not repeat it', async () => {
    const rows = toyRows('label', 60)
    const plan = { method: 'head' } as const
    const { record } = await train(options('label', plan, { rows }))
    const files = toyFiles()
    const other = { name: 'toy', files: { ...files, tokenizerConfig: '{"do_lower_case":true}' } }
    const renamed = await train(options('label', plan, { rows, base: other }))
    expect(renamed.record.id).not.toBe(record.id)
    const again = options('label', {}, { rows, base: other, plan: { kind: 'repeat', record } })
    await expect(train(again)).rejects.toThrow(/another configuration or tokenizer of toy/)
  })

  it('repeats a run from before tokenizers were looked at, under its own name', async () => {
    const { record } = await train(options('label', { method: 'head' }))
    const { readingHash: _, ...older } = record
    const old = { ...older, id: runId(older) }
    expect(old.id).not.toBe(record.id)
    const again = await train(options('label', {}, { plan: { kind: 'repeat', record: old } }))
    expect(again.record.id).toBe(old.id)
  })

  it('says that a base does not answer with numbers', async () => {
    const base = spoiledBase()
    for (const method of ['auto', 'head'] as const) {
      await expect(train(options('label', { method }, { base }))).rejects.toMatchObject({
        code: 'training-diverged',
      })
    }
  })

  it('says where there was no time for the recipe that few rows of a label need', async () => {
    const rows = toyRows('label', 30)
    const { record, notices } = await train(options('label', { budgetMs: 1 }, { rows }))
    expect(record.recipe.method).toBe('head')
    expect(record.tried.find(({ name }) => name === 'contrastive')?.ended).toBe('out of time')
    expect(notices.join()).toContain('There was no time for the recipe')
  })

  it('goes back to the frozen head where fine-tuning diverges', async () => {
    const { record } = await train(
      options('label', {
        fixed: { learningRate: 10, headLearningRate: 10, scale: 10_000, maxGradientNorm: 1e30 },
      }),
    )
    expect(record.recipe.method).toBe('head')
  })

  it('tries every recipe where one diverges, and says so where all did, also when it is asked again', async () => {
    const base = spoiledBase()
    const spoiled = options('labels', { method: 'full' }, { base })
    for (const message of ['at step 1', 'in an earlier process']) {
      await expect(train(spoiled)).rejects.toMatchObject({
        code: 'training-diverged',
        message: expect.stringContaining(message),
      })
    }
  })

  it('compares rows where asked to, and where there are few of a label', async () => {
    const fixed = { learningRate: 1e-3, epochCount: 3, dropout: 0.1, tokenDropout: 0 }
    const asked = await train(options('label', { method: 'contrastive', fixed }))
    expect(asked.record.recipe.method).toBe('contrastive')
    expect(asked.record.metrics?.scores.accuracy).toBeGreaterThan(0.5)
    const again = await train(
      options('label', {}, { plan: { kind: 'repeat', record: asked.record } }),
    )
    expect(again.parts.head).toEqual(asked.parts.head)
    const rows = toyRows('label', 30)
    const few = await train(options('label', { fixed }, { rows }))
    // Too few are held back to choose by: it is fitted on all of them untried, and says so.
    expect(few.record.tried.map(({ name }) => name)).toEqual(['head on the frozen encoder'])
    expect(few.record).toMatchObject({ recipe: { method: 'contrastive' }, rowsUsed: 'all' })
    expect(few.record.metrics).toBeNull()
    expect(few.notices.join()).toContain('comes from experience')
  })

  it('refuses to compare rows that have several labels, before anything is measured', async () => {
    await expect(train(options('labels', { method: 'contrastive' }))).rejects.toMatchObject({
      code: 'request-invalid',
      message: expect.stringContaining('several labels'),
    })
  })

  it('refuses to balance rows that have several labels', async () => {
    const fixed = { classWeights: 'balanced' } as const
    await expect(train(options('labels', { fixed }))).rejects.toMatchObject({
      code: 'request-invalid',
      message: expect.stringContaining('several labels'),
    })
  })

  it('learns from a teacher’s probabilities', async () => {
    const rows = toyRows('label', 120).map(({ text, label }) => ({
      text,
      probabilities: label === 'hello' ? { hello: 0.8, world: 0.2 } : { hello: 0.2, world: 0.8 },
    }))
    const fixed = { learningRate: 5e-3, headLearningRate: 0.1, epochCount: 20, temperature: 2 }
    const { record } = await train(options('label', { method: 'full', fixed }, { rows }))
    expect(record.metrics?.scores.accuracy).toBeGreaterThan(0.8)
  })

  it('refuses to repeat a run on other rows', async () => {
    const { record } = await train(options('label', { method: 'head' }))
    const rows = toyRows('label', 100)
    await expect(
      trainModel(options('label', {}, { rows, plan: { kind: 'repeat', record } })),
    ).rejects.toMatchObject({
      code: 'request-invalid',
      message: expect.stringContaining('other rows'),
    })
  })
})
