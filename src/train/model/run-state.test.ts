import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { openRunState } from './run-state.ts'

let folder = ''
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'understudy-run-state-'))
})
afterEach(() => rm(folder, { recursive: true }))

const order = { task: 'label' }
const search = { tried: [], current: null, chosen: null, spentMs: 5 }

it('is new where there is none, and goes on from what was saved', async () => {
  const state = await openRunState(folder, order)
  expect(state.search).toMatchObject({ spentMs: 0 })
  await state.save(search)
  expect((await openRunState(folder, order)).search).toEqual(search)
  expect((await openRunState(folder, { task: 'labels' })).search).toMatchObject({ spentMs: 0 })
})

it('is no new one where the file is there and cannot be read', async () => {
  const path = join((await openRunState(folder, order)).folder, 'state.json')
  await mkdir(path)
  await expect(openRunState(folder, order)).rejects.toMatchObject({
    code: 'file-unreadable',
    message: expect.stringContaining(path),
    help: expect.stringContaining('Check the disk'),
  })
})

it('is refused where the file is damaged', async () => {
  const state = await openRunState(folder, order)
  await writeFile(join(state.folder, 'state.json'), '{"tried":')
  await expect(openRunState(folder, order)).rejects.toMatchObject({ code: 'file-corrupt' })
})
