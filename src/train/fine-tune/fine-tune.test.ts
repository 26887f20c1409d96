import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readSafetensors } from '../../formats/index.ts'
import { toyConfig, toyFiles } from '../../models/__fixtures__/toy-bert.ts'
import { parseEncoderConfig, readEncoderWeights } from '../../models/index.ts'
import { openInProcessRuntime } from '../../runtimes/index.ts'
import { createRng } from '../../util/index.ts'
import { startPace } from '../pace.ts'
import { type FineTuneOptions, fineTune, type TrainingRows } from './fine-tune.ts'
import { completeRecipe, type Recipe } from './recipe.ts'
import { tunedWeights } from './tuned-weights.ts'

const runtime = await openInProcessRuntime({ threads: 1 })
const files = toyFiles()
const config = parseEncoderConfig(files)
const weights = readEncoderWeights(readSafetensors(files.weights), config)
let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fine-tune-'))
})
afterAll(async () => {
  await runtime.close()
  await rm(folder, { recursive: true })
})

/** Whether token 5 or token 6 occurs, at random places among others. */
function rows(count: number): TrainingRows {
  const rng = createRng('rows')
  const sequences = Array.from({ length: count }, (_, row) => {
    const length = 3 + rng.int(5)
    const ids = Array.from({ length }, () => 7 + rng.int(toyConfig.vocab_size - 7))
    ids[1 + rng.int(length - 1)] = 5 + (row % 2)
    return ids
  })
  const targets = new Float32Array(2 * count)
  for (let row = 0; row < count; row++) targets[2 * row + (row % 2)] = 1
  return { sequences, classCount: 2, targets, weights: new Float32Array(count).fill(1) }
}

function options(
  recipe: Partial<Recipe> = {},
  more: Partial<FineTuneOptions> = {},
): FineTuneOptions {
  return {
    config,
    weights,
    rows: rows(64),
    recipe: completeRecipe({
      method: 'full',
      layerCount: 1,
      epochCount: 4,
      learningRate: 5e-3,
      headLearningRate: 2e-2,
      ...recipe,
    }),
    runtime,
    pace: startPace(60_000, new AbortController().signal),
    ...more,
  }
}

const first = (losses: readonly number[]) => losses[0] as number
const last = (losses: readonly number[]) => losses.at(-1) as number

describe('fineTune', () => {
  it.each([
    ['head', {}],
    ['lora', { layerCount: null, targetModules: ['query', 'value', 'output.dense'] }],
    ['full', { layerCount: 1 }],
    ['full', { layerCount: null }],
  ] as const)('lowers the loss with the method %s %o', async (method, more) => {
    const { epochLosses } = await fineTune(options({ ...more, method } as Partial<Recipe>))
    expect(last(epochLosses)).toBeLessThan(0.97 * first(epochLosses))
  })

  it.each([
    0, 0.3,
  ])('comes to the same with cached and computed lower layers, tokens dropped: %d', async tokenDropout => {
    const cached = await fineTune(options({ tokenDropout }))
    const computed = await fineTune(options({ tokenDropout }, { memoryBytes: 0 }))
    cached.epochLosses.forEach((loss, i) => {
      expect(loss).toBeCloseTo(computed.epochLosses[i] as number, 4)
    })
  })

  it('trains the pooler that a head stands on with whole layers, and not beside adapters', async () => {
    const pooled = parseEncoderConfig({
      ...files,
      config: JSON.stringify({ ...toyConfig, architectures: ['BertForSequenceClassification'] }),
    })
    const size = config.hiddenSize
    const pooler = { weight: new Float32Array(size * size).fill(0.1), bias: new Float32Array(size) }
    const start = { ...weights, pooler }
    for (const layerCount of [1, null]) {
      const fitted = await fineTune(
        options({ layerCount, epochCount: 1 }, { config: pooled, weights: start }),
      )
      expect(tunedWeights(start, fitted).pooler?.weight).not.toEqual(pooler.weight)
    }
    const adapted = await fineTune(
      options({ method: 'lora', epochCount: 1 }, { config: pooled, weights: start }),
    )
    expect(tunedWeights(start, adapted).pooler).toEqual(pooler)
  })

  it('comes to the same with one batch and with its halves added up', async () => {
    const whole = await fineTune(options({ batchTokens: 100_000, epochCount: 1 }))
    const halves = await fineTune(
      options({ batchTokens: 100_000, epochCount: 1, accumulationSteps: 2 }),
    )
    // 64 rows are two batches of 32: one step instead of two, so only the first loss can be compared.
    expect(first(halves.epochLosses)).toBeCloseTo(first(whole.epochLosses), 1)
  })

  it.each([
    'dropout',
    'tokenDropout',
  ] as const)('drops by %s while it trains, and nothing when it looks at rows held back', async field => {
    const heldBack = { subset: [0, 1, 2, 3], judge: () => new Float64Array(4), patience: 9 }
    const still = { epochCount: 1, learningRate: 1e-9, headLearningRate: 1e-9 }
    const plain = await fineTune(options(still, { heldBack }))
    const dropping = await fineTune(options({ ...still, [field]: 0.5 }, { heldBack }))
    expect(dropping.epochLosses[0]).not.toBeCloseTo(first(plain.epochLosses), 4)
    const difference = (dropping.heldBackLogits as Float32Array).map((value, i) =>
      Math.abs(value - ((plain.heldBackLogits as Float32Array)[i] as number)),
    )
    expect(Math.max(...difference)).toBeLessThan(1e-5)
  })

  it('repeats bit for bit by its seed', async () => {
    const [a, b] = [await fineTune(options({ seed: 3 })), await fineTune(options({ seed: 3 }))]
    expect(a.tensors).toEqual(b.tensors)
    expect(a.head).toEqual(b.head)
    const other = await fineTune(options({ seed: 4 }))
    expect(other.head).not.toEqual(a.head)
  })

  it.each([
    ['full', null, 0.1],
    ['lora', 2, 0],
  ] as const)('goes on from a checkpoint to the same weights: %s, layers %s, dropout of both kinds %s', async (method, layerCount, dropout) => {
    const recipe = { method, layerCount, dropout, tokenDropout: dropout }
    const whole = await fineTune(options(recipe))
    const path = join(folder, `${method}.safetensors`)
    const checkpoint = { path, runId: 'run', everySteps: 3 }
    const stop = new AbortController()
    const broken = fineTune(
      options(recipe, {
        checkpoint,
        pace: startPace(60_000, stop.signal),
        onStep: ({ step }) => {
          if (step === 5) stop.abort()
        },
      }),
    )
    await expect(broken).rejects.toMatchObject({ code: 'cancelled' })
    const steps: number[] = []
    const resumed = await fineTune(
      options(recipe, { checkpoint, onStep: ({ step }) => steps.push(step) }),
    )
    // What was done when it was stopped is kept, not only what the last checkpoint held.
    expect(steps[0]).toBe(6)
    expect(resumed.tensors).toEqual(whole.tensors)
    expect(resumed.head).toEqual(whole.head)
    expect(resumed.epochLosses).toEqual(whole.epochLosses)
  })

  it('keeps what was done when it is stopped while it looks at rows held back', async () => {
    const recipe = { layerCount: null }
    const stop = new AbortController()
    const heldBack = { subset: [0, 1, 2, 3], judge: () => new Float64Array(4), patience: 9 }
    const checkpoint = { path: join(folder, 'looking.safetensors'), runId: 'looking' }
    const pace = startPace(60_000, stop.signal)
    const turn = { ...pace, breathe: () => Promise.resolve() }
    let lastOfEpoch = 0
    const broken = fineTune(
      options(recipe, {
        heldBack,
        checkpoint,
        pace: { ...turn, breathe: () => (stop.signal.aborted ? pace.breathe() : turn.breathe()) },
        onStep: ({ step, stepCount }) => {
          if (step === stepCount / 4) {
            lastOfEpoch = step
            stop.abort()
          }
        },
      }),
    )
    await expect(broken).rejects.toMatchObject({ code: 'cancelled' })
    const steps: number[] = []
    await fineTune(
      options(recipe, { heldBack, checkpoint, onStep: ({ step }) => steps.push(step) }),
    )
    expect(steps[0]).toBe(lastOfEpoch + 1)
  })

  it('says how far it came where it is told to stop', async () => {
    let asked = 0
    const { bestEpoch, epochLosses, isComplete } = await fineTune(
      options({}, { stopWhen: () => ++asked > 3 }),
    )
    // Two steps an epoch: the second epoch was not done.
    expect([bestEpoch, epochLosses.length, isComplete]).toEqual([1, 1, false])
  })

  it('starts anew where the checkpoint is that of another run, and refuses a damaged one', async () => {
    const path = join(folder, 'other.safetensors')
    const checkpoint = { path, runId: 'a', everySteps: 1 }
    await fineTune(options({ epochCount: 1 }, { checkpoint }))
    const steps: number[] = []
    await fineTune(
      options(
        { epochCount: 1 },
        {
          checkpoint: { ...checkpoint, runId: 'b' },
          onStep: ({ step }) => steps.push(step),
        },
      ),
    )
    expect(steps[0]).toBe(1)
    await writeFile(path, (await readFile(path)).subarray(0, 500))
    await expect(
      fineTune(options({ epochCount: 1 }, { checkpoint: { ...checkpoint, runId: 'b' } })),
    ).rejects.toMatchObject({ code: 'model-corrupt' })
  })

  it('stops at a loss that is not a number, naming the step and what to try', async () => {
    const diverging = fineTune(options({ learningRate: 10, headLearningRate: 10, scale: 10_000 }))
    const error = await diverging.then(
      () => null,
      (cause: unknown) => cause,
    )
    // Ten thousand times a unit vector and steps of ten: finite or not depends on the draw, so weights are spoiled too.
    if (error !== null) expect(error).toMatchObject({ code: 'training-diverged' })
    const [layer] = weights.layers.slice(-1)
    const spoiled = {
      ...weights,
      layers: weights.layers.with(-1, {
        ...(layer as NonNullable<typeof layer>),
        outputNorm: {
          scale: new Float32Array(config.hiddenSize).fill(Number.NaN),
          bias: new Float32Array(config.hiddenSize),
        },
      }),
    }
    await expect(fineTune(options({}, { weights: spoiled }))).rejects.toMatchObject({
      code: 'training-diverged',
      message: expect.stringContaining('step 1'),
      help: expect.stringContaining('learning rate'),
    })
  })

  it.each([
    'qeury',
    'LayerNorm',
  ])('refuses adapters for modules that the encoder does not have: %s', async target => {
    await expect(
      fineTune(options({ method: 'lora', targetModules: [target] })),
    ).rejects.toMatchObject({
      code: 'request-invalid',
      message: expect.stringContaining(target),
      help: expect.stringContaining('attention.self.query'),
    })
  })

  it.each([
    ['no rows', { sequences: [], targets: new Float32Array(0), weights: new Float32Array(0) }],
    ['one class', { classCount: 1, targets: new Float32Array(64).fill(1) }],
    ['a target too few', { targets: new Float32Array(3) }],
    ['targets that are not numbers', { targets: new Float32Array(128).fill(Number.NaN) }],
  ])('refuses %s', async (_what, wrong) => {
    await expect(fineTune(options({}, { rows: { ...rows(64), ...wrong } }))).rejects.toMatchObject({
      code: 'request-invalid',
    })
  })
})
