import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { smallBert } from '../models/__fixtures__/small-bert.ts'
import { readCompressedFolder, readModelFolder, writeModelFolder } from '../models/index.ts'
import { openInProcessRuntime } from '../runtimes/index.ts'
import { type CompressParams, compressFile } from './compress-file.ts'
import type { JobEvent } from './job-messages.ts'

let root: string
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'understudy-compress-'))
  await writeModelFolder(join(root, 'model'), smallBert())
  const filler = ['please', 'late', 'a', 'please late', 'a late', 'late a please']
  const rows = Array.from({ length: 240 }, (_, i) => {
    const word = i % 2 === 0 ? 'refund' : 'invoice'
    return `${filler[i % 6]} ${word} ${filler[(i * 7) % 5]} ${i.toString(7)},${word}s`
  })
  await writeFile(join(root, 'rows.csv'), ['text,label', ...rows, ',nothing'].join('\n'))
  await writeFile(join(root, 'other.csv'), 'name,size\nwhy,because\n')
  await writeFile(join(root, 'one.csv'), 'text,label\na,x\nb,x\n')
})
afterAll(() => rm(root, { recursive: true }))

const run = (more: Partial<CompressParams> = {}) => {
  const events: JobEvent[] = []
  const outcome = compressFile(
    {
      file: join(root, 'rows.csv'),
      heldOut: null,
      model: join(root, 'model'),
      out: null,
      targetRisk: 0.3,
      confidenceLevel: 0.9,
      certified: 'chosen',
      maxAccuracyLoss: 0.5,
      budgetMs: 0,
      seed: 0,
      ...more,
    },
    {
      dataDir: join(root, 'data'),
      openRuntime: () => openInProcessRuntime(),
      signal: new AbortController().signal,
      onEvent: event => events.push(event),
    },
  )
  return { outcome, events }
}

describe('compressFile', () => {
  it('measures variants, certifies the chosen one and keeps it as a folder', async () => {
    const out = join(root, 'small')
    const { outcome, events } = run({ out })
    const { report, rowCount, brokenCount, folder, notices } = await outcome
    expect([rowCount, brokenCount, folder]).toEqual([240, 1, out])
    const names = [...report.rows.map(row => row.name), ...report.leftOut]
    expect(events.map(event => event.note)).toEqual(names)
    expect(report.leftOut).toEqual(['int8, trimmed, 1 layer, healed'])
    expect(notices).toEqual([expect.stringMatching(/not be trained in time.*healed.*--budget/)])
    expect(report.rows.filter(row => row.certificate?.claimed)).toHaveLength(1)
    expect(report.fitCount + report.selectionCount).toBeGreaterThan(100)
    if (report.chosen === 'float32') {
      expect((await readModelFolder(out)).labels).toEqual(['invoices', 'refunds'])
    } else {
      const kept = await readCompressedFolder(out)
      expect(kept.labels).toEqual(['invoices', 'refunds'])
      expect(kept.record).toMatchObject({ report })
    }
  })

  it.each<[string, Partial<CompressParams>, () => Partial<CompressParams>, RegExp]>([
    ['no such file', {}, () => ({ file: join(root, 'nothing.csv') }), /there is no such file/],
    ['no labels', {}, () => ({ file: join(root, 'other.csv') }), /has no .*; its columns are/],
    ['one label', {}, () => ({ file: join(root, 'one.csv') }), /only one label/],
    ['no such model', {}, () => ({ model: join(root, 'nothing') }), /cannot be read/],
    ['a name the catalog lacks', { model: 'nothing' }, () => ({}), /nothing/],
  ])('says so with %s', async (_what, fixed, more, message) => {
    await expect(run({ ...fixed, ...more() }).outcome).rejects.toThrow(message)
  })
})
