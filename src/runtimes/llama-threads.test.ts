import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { defaultThreads, parseCpuMax, usableCores } from './llama-threads.ts'

it('leaves one core to the rest, and never takes none', () => {
  expect(defaultThreads(8, 16)).toBe(7)
  expect(defaultThreads(2, 2)).toBe(1)
  expect(defaultThreads(1, 1)).toBe(1)
})

it('keeps within a container that may use fewer cores than the machine has', () => {
  expect(defaultThreads(64, 2)).toBe(1)
  expect(defaultThreads(64, 3.5)).toBe(2)
  expect(defaultThreads(64, 0.5)).toBe(1)
})

it('reads the quota of a control group, and no limit from anything else', () => {
  expect(parseCpuMax('150000 100000\n')).toBe(1.5)
  expect(parseCpuMax('max 100000\n')).toBe(Infinity)
  expect(parseCpuMax('')).toBe(Infinity)
  expect(parseCpuMax('0 0')).toBe(Infinity)
})

it('takes the smaller of affinity and quota', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'understudy-'))
  const file = join(folder, 'cpu.max')
  await writeFile(file, '50000 100000')
  expect(await usableCores(file)).toBe(0.5)
  expect(await usableCores(join(folder, 'none'))).toBe(availableParallelism())
  await rm(folder, { recursive: true })
})
