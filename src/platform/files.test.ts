import { mkdtemp, open, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { makeFolder, readRange, writeFileAtomic } from './files.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'understudy-files-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

test('a folder is made with its parents, and again without complaint', async () => {
  const path = join(folder, 'a', 'b', 'c')
  await makeFolder(path)
  await makeFolder(path)
  expect((await stat(path)).isDirectory()).toBe(true)
})

test('a folder that the system denies is an error, not an endless wait', async () => {
  await writeFile(join(folder, 'file'), '')
  await expect(makeFolder(join(folder, 'file', 'below'))).rejects.toMatchObject({ code: 'ENOTDIR' })
  if (process.platform === 'linux') await expect(makeFolder('/proc/understudy/x')).rejects.toThrow()
})

test('a file is written whole, in a folder that was not there', async () => {
  const path = join(folder, 'new', 'file.txt')
  await writeFileAtomic(path, 'one')
  await writeFileAtomic(path, 'two')
  expect(await readFile(path, 'utf8')).toBe('two')
})

test('a file is written in parts, and leaves nothing behind where one of them cannot be', async () => {
  const path = join(folder, 'parts', 'file')
  await writeFileAtomic(path, [Uint8Array.of(1, 2), new Uint8Array(0), Uint8Array.of(3)])
  expect([...(await readFile(path))]).toEqual([1, 2, 3])
  const broken = [Uint8Array.of(4), 5 as never]
  await expect(writeFileAtomic(path, broken)).rejects.toThrow()
  expect(await readdir(join(folder, 'parts'))).toEqual(['file'])
  expect([...(await readFile(path))]).toEqual([1, 2, 3])
})

test('a range is read in chunks, up to where the file ends', async () => {
  const path = join(folder, 'range')
  await writeFile(
    path,
    Uint8Array.from({ length: 10 }, (_, i) => i),
  )
  const file = await open(path)
  try {
    for (const chunkBytes of [1, 3, 4, 100, undefined]) {
      const into = new Uint8Array(6)
      expect(await readRange(file, into, { position: 2, chunkBytes })).toBe(6)
      expect([...into]).toEqual([2, 3, 4, 5, 6, 7])
      expect(await readRange(file, into, { position: 7, chunkBytes })).toBe(3)
      expect([...into.subarray(0, 3)]).toEqual([7, 8, 9])
    }
  } finally {
    await file.close()
  }
})
