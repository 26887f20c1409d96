import { mkdir, mkdtemp, readdir, rm, utimes } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { sweepTrainingFolder, trainingFolder } from './training-folder.ts'

it('deletes what nobody went on with for 30 days, and nothing that is no state', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'training-folder-'))
  onTestFinished(() => rm(dataDir, { recursive: true }))
  await sweepTrainingFolder(dataDir)
  expect(await readdir(dataDir)).toEqual([])
  const days = { 'compress-00000000000000aa': 31, '00000000000000bb': 31, '00000000000000cc': 29 }
  for (const [name, age] of Object.entries({ ...days, notes: 400 })) {
    const path = join(trainingFolder(dataDir), name)
    await mkdir(join(path, 'deep'), { recursive: true })
    const seconds = Date.now() / 1000 - age * 24 * 3600
    await utimes(path, seconds, seconds)
  }
  await sweepTrainingFolder(dataDir)
  expect((await readdir(trainingFolder(dataDir))).sort()).toEqual(['00000000000000cc', 'notes'])
})
