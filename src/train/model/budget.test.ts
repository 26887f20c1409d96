import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { toyFiles } from '../../models/__fixtures__/toy-bert.ts'
import { openInProcessRuntime } from '../../runtimes/index.ts'
import type { Clock } from '../../util/index.ts'
import { toyRows } from './__fixtures__/toy-rows.ts'
import type { RunRecord } from './run-record.ts'
import { type TrainModelOptions, type TrainProgress, trainModel } from './train-model.ts'

const runtime = await openInProcessRuntime({ threads: 1 })
let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'budget-'))
})
afterAll(async () => {
  await runtime.close()
  await rm(folder, { recursive: true })
})

/** A clock on which every look takes `msPerLook`: a step of training is a few looks. */
function workingClock() {
  let nowMs = 0
  const clock = {
    msPerLook: 10,
    now: () => 0,
    monotonic: () => {
      nowMs += clock.msPerLook
      return nowMs
    },
  }
  return clock satisfies Clock
}

const BUDGET_MS = 6000

async function train(
  clock: Clock,
  onProgress: (progress: TrainProgress) => void,
  {
    plan,
    budgetMs = BUDGET_MS,
    isKilled = false,
  }: { plan?: TrainModelOptions['plan']; budgetMs?: number; isKilled?: boolean } = {},
) {
  const trained = await trainModel({
    task: 'label',
    rows: toyRows('label', 120),
    base: { name: 'toy', files: toyFiles() },
    plan: plan ?? {
      kind: 'search',
      method: 'full',
      budgetMs,
      // Without dropout the toy gets better epoch by epoch, so that nothing but the time ends a fit.
      fixed: {
        learningRate: 5e-3,
        headLearningRate: 2e-2,
        epochCount: 10,
        dropout: 0,
        beta2: 0.999,
      },
      seed: 0,
      memoryBytes: 2 ** 30,
    },
    runtime,
    threads: 1,
    stateDir: join(folder, 'training'),
    signal: new AbortController().signal,
    clock,
    onProgress,
    versions: {},
  })
  // A process that dies before its model is on disk leaves its state.
  if (!isKilled) await trained.discardState()
  return trained
}

/** For the last fit to begin by what the trial took. */
const ENOUGH_MS = 12_000

/** A machine that slows down once the last fit is under way. */
function tooSlowAtLast(): Parameters<typeof train> {
  const clock = workingClock()
  const onProgress = ({ stage, done }: TrainProgress) => {
    if (stage === 'fit on all rows' && done >= 3) clock.msPerLook = 1000
  }
  return [clock, onProgress, { budgetMs: ENOUGH_MS }]
}

/** The same weights without any clock. */
async function expectRepeatable(record: RunRecord, weights: unknown) {
  const again = await train(workingClock(), () => {}, { plan: { kind: 'repeat', record } })
  expect(again.record.id).toBe(record.id)
  expect(again.parts.weights.layers).toEqual(weights)
}

describe('the budget', () => {
  it('fits again on all rows where there is time', async () => {
    const { record, parts, notices } = await train(workingClock(), () => {}, { budgetMs: 20_000 })
    expect(record.rowsUsed).toBe('all')
    expect(record.seconds).toBeLessThanOrEqual(20)
    expect(notices).toEqual([])
    await expectRepeatable(record, parts.weights.layers)
  })

  it('gives up a last fit that the machine is too slow for, and keeps that of the search', async () => {
    const { record, parts, notices } = await train(...tooSlowAtLast())
    expect(record.rowsUsed).toBe('training')
    expect(record.rowCounts.training).toBe(102)
    expect(notices.join()).toContain('no time to fit again')
    // Over by the step that was under way, and by looks at the clock at the end.
    expect(record.seconds).toBeLessThanOrEqual(ENOUGH_MS / 1000 + 5)
    await expectRepeatable(record, parts.weights.layers)
  })

  it('remembers that it gave a last fit up when it is killed before its model is written', async () => {
    const [clock, onProgress, options] = tooSlowAtLast()
    const { record, parts } = await train(clock, onProgress, { ...options, isKilled: true })
    const again = await train(workingClock(), () => {}, options)
    expect(again.record.id).toBe(record.id)
    expect(again.parts.weights.layers).toEqual(parts.weights.layers)
  })

  it('does not begin a last fit where the trial took longer than was measured', async () => {
    const clock = workingClock()
    const stages = new Set<string>()
    const { record } = await train(clock, ({ stage, done }) => {
      stages.add(stage)
      if (stage.startsWith('full') && done >= 10) clock.msPerLook = 20
    })
    expect(record.tried[0]?.metrics).not.toBeNull()
    expect(record.rowsUsed).toBe('training')
    expect(stages).not.toContain('fit on all rows')
    expect(record.seconds).toBeLessThanOrEqual(BUDGET_MS / 1000 + 1)
  })

  it('fits again on all rows where the trial took less time than was measured', async () => {
    const clock = workingClock()
    clock.msPerLook = 20
    const { record } = await train(clock, ({ stage }) => {
      if (stage.startsWith('full')) clock.msPerLook = 2
    })
    expect(record.tried).toHaveLength(1)
    expect(record.rowsUsed).toBe('all')
  })

  it('stops a later trial that slows down, and has the time left to fit the best on all rows', async () => {
    const clock = workingClock()
    clock.msPerLook = 20
    const { record } = await train(
      clock,
      ({ stage, done }) => {
        clock.msPerLook = stage === 'full, top 1 layers' && done >= 3 ? 60 : 20
      },
      { budgetMs: 22_500 },
    )
    const [first, second] = record.tried
    expect(record.metrics).toEqual(first?.metrics)
    expect(second?.heldBackLosses.length).toBeLessThan(10)
    expect(record.rowsUsed).toBe('all')
    expect(record.seconds).toBeLessThanOrEqual(22.5)
  })

  it('ends a trial whose time is over after its best epoch, and repeats that', async () => {
    const clock = workingClock()
    const { record, parts } = await train(clock, ({ stage, done }) => {
      if (stage.startsWith('full') && done >= 20) clock.msPerLook = 80
    })
    const [first] = record.tried
    expect(first?.heldBackLosses.length).toBeLessThan(record.recipe.epochCount)
    expect(record.recipe.stopAfterEpoch).toBeGreaterThan(0)
    expect(record.rowsUsed).toBe('training')
    expect(record.seconds).toBeLessThanOrEqual(BUDGET_MS / 1000 + 2)
    await expectRepeatable(record, parts.weights.layers)
  })

  it('goes back to a head where not even one epoch is done in time', async () => {
    const clock = workingClock()
    const { record, notices } = await train(clock, ({ stage }) => {
      if (stage.startsWith('full')) clock.msPerLook = 5000
    })
    expect(record.tried[0]).toMatchObject({ metrics: null, ended: 'out of time' })
    expect(record.recipe.method).toBe('head')
    expect(notices.join()).toContain('no time for the method full')
  })
})
