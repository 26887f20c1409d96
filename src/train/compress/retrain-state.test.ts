import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { completeRecipe } from '../fine-tune/recipe.ts'
import { openRetrainState } from './retrain-state.ts'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'retrain-state-'))
})
afterAll(() => rm(folder, { recursive: true }))

it('gives a plan back, and none for another training or a damaged file', async () => {
  const state = await openRetrainState(folder)
  const plan = { recipe: completeRecipe({ method: 'full' }), rowCount: 7 }
  await state.writePlan('one', plan)
  expect(await state.readPlan('one')).toEqual(plan)
  expect(await state.readPlan('other')).toBeNull()
  await writeFile(join(folder, 'one.json'), '{"rowCount":')
  expect(await state.readPlan('one')).toBeNull()
})

it('says that a file cannot be read instead of training over it', async () => {
  const state = await openRetrainState(folder)
  await mkdir(join(folder, 'two.json'))
  await expect(state.readPlan('two')).rejects.toMatchObject({ code: 'file-unreadable' })
})
