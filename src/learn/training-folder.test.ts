import { mkdir, mkdtemp, readdir, rm, utimes } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { openTrainingFolder } from './training-folder.ts'

it('deletes what nobody went on with for 30 days, and nothing that is no state', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'training-folder-'))
  onTestFinished(() => rm(dataDir, { recursive: true }))
  expect(await readdir(dataDir)).toEqual([])
  expect(await openTrainingFolder(dataDir)).toBe(join(dataDir, 'training'))
  const days = { 'compress-00000000000000aa': 31, '00000000000000bb': 31, '00000000000000cc': 29 }
  for (const [name, age] of Object.entries({ ...days, notes: 400 })) {
    const path = join(dataDir, 'training', name)
    await mkdir(join(path, 'deep'), { recursive: true })
    const seconds = Date.now() / 1000 - age * 24 * 3600
    await utimes(path, seconds, seconds)
  }
  const folder = await openTrainingFolder(dataDir)
  expect((await readdir(folder)).sort()).toEqual(['00000000000000cc', 'notes'])
})
