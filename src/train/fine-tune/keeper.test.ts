import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Trainer } from '../../engine/index.ts'
import { systemClock } from '../../util/index.ts'
import { openBest } from './best-epoch.ts'
import { readCheckpoint } from './checkpoint.ts'
import { openKeeper } from './keeper.ts'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'keeper-'))
})
afterAll(() => rm(folder, { recursive: true }))

it('writes every so often, and less often where writing takes long', async () => {
  let nowMs = 0
  let step = 0
  let writeMs = 100
  const trainer = {
    get step() {
      return step
    },
    state() {
      nowMs += writeMs
      return { step, buffers: {} }
    },
    restore() {},
  } satisfies Pick<Trainer, 'step' | 'state' | 'restore'>
  const checkpoint = { path: join(folder, 'checkpoint'), runId: 'run', everyMs: 10_000 }
  const clock = { ...systemClock, monotonic: () => nowMs }
  const best = openBest(trainer as unknown as Trainer)
  const keeper = await openKeeper(trainer, { checkpoint, clock, best, epochCount: 1 })
  const written: number[] = []
  for (let i = 0; i < 60; i++) {
    step++
    nowMs += 1000
    await keeper.afterStep()
    const kept = (await readCheckpoint(checkpoint.path, 'run'))?.state.step
    if (kept === step) written.push(step)
    // From the second on, writing takes two seconds: twenty of training lie between.
    if (written.length === 1) writeMs = 2000
  }
  expect(written).toEqual([10, 20, 40, 60])
})
