import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { importInChild } from './import-in-child.mjs'
import { writeTraffic } from './traffic.mjs'

let folder: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'understudy-memory-'))
})
afterEach(async () => {
  await rm(folder, { recursive: true, force: true })
})

it('imports 200 MB in flat memory, and again without a change', { timeout: 240_000 }, async () => {
  const path = join(folder, 'traffic.jsonl')
  const lineCount = await writeTraffic(path, { byteCount: 200_000_000, lineBytes: 40_000 })
  const dataDir = join(folder, 'data')

  const first = await importInChild(dataDir, path)
  expect(first.report).toMatchObject({ lineCount, importedCount: lineCount, rejectedCount: 0 })
  expect(first.peakMb).toBeLessThan(500)

  const second = await importInChild(dataDir, path)
  expect(second.report).toMatchObject({
    importedCount: 0,
    duplicateCount: lineCount,
    conflictCount: 0,
  })
})
