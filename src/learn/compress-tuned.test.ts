/** A folder that `train` wrote, compressed as the model that it is. */
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { smallBert } from '../models/__fixtures__/small-bert.ts'
import {
  openCompressedClassifier,
  readCompressedFolder,
  readModelFolder,
  writeModelFolder,
} from '../models/index.ts'
import { openInProcessRuntime } from '../runtimes/index.ts'
import { type CompressParams, compressFile } from './compress-file.ts'
import { readRows } from './compress-rows.ts'
import { parseCompressParams, parseTrainParams } from './job-params.ts'
import { trainJob } from './train-job.ts'

let root: string
const signal = new AbortController().signal
const at = (name: string) => join(root, name)

/** Rows of two classes; `extra` makes the texts of one file others than those of the next. */
function csv(extra: string, count = 240): string {
  const filler = ['please', 'late', 'a', 'please late', 'a late', 'late a please']
  const rows = Array.from({ length: count }, (_, i) => {
    const word = i % 2 === 0 ? 'refund' : 'invoice'
    return `${filler[i % 6]} ${word} ${filler[(i * 7) % 5]} ${extra}${i.toString(7)},${word}s`
  })
  return ['text,label', ...rows].join('\n')
}

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'understudy-compress-tuned-'))
  await writeModelFolder(at('base'), smallBert())
  await writeFile(at('rows.csv'), csv('x'))
  await writeFile(at('new.csv'), csv('y'))
  await trainJob(
    parseTrainParams({
      file: at('rows.csv'),
      base: at('base'),
      output: at('tuned'),
      method: 'full',
      budgetMs: 3_000,
    }),
    { dataDir: at('data'), threads: 1, signal, onEvent: () => {} },
  )
}, 60_000)
afterAll(() => rm(root, { recursive: true }))

const run = (more: Partial<CompressParams>) =>
  compressFile(
    {
      ...parseCompressParams({ file: at('rows.csv') }, { targetRisk: 0.2, confidenceLevel: 0.9 }),
      model: at('tuned'),
      maxAccuracyLoss: 0.5,
      budgetMs: 0,
      ...more,
    },
    { dataDir: at('data'), openRuntime: () => openInProcessRuntime(), signal, onEvent: () => {} },
  )

/** Whichever variant was the fastest. */
async function readEither(folder: string) {
  const whole = await readModelFolder(folder).catch(() => null)
  if (whole === null) return readCompressedFolder(folder)
  const { onnx: graph = new Uint8Array(0), labels = [], ...more } = whole
  return { ...more, graph, labels, precision: 'float32' as const }
}

/** Share of the rows of a file that a graph gets right, read from the folder that was written. */
async function accuracyOfFolder(folder: string, file: string): Promise<number> {
  const { graph, precision, config, tokenizer, labels } = await readEither(folder)
  const runtime = await openInProcessRuntime()
  const handle = await openCompressedClassifier({
    name: 'read back',
    graph,
    precision,
    config,
    tokenizer: new TextDecoder().decode(tokenizer.get('tokenizer.json')),
    classCount: labels.length,
    runtime,
  })
  const { rows } = await readRows(file)
  const logits = await handle.logits(rows.map(row => row.text))
  await runtime.close()
  const right = rows.filter(({ label }, i) => {
    const own = [...logits.subarray(i * labels.length, (i + 1) * labels.length)]
    return labels[own.indexOf(Math.max(...own))] === label
  })
  return right.length / rows.length
}

it('keeps its own classifier, and is as good as the bytes that were written', async () => {
  const out = at('small')
  const order = { heldOut: at('new.csv'), out, certified: 'every', budgetMs: 30_000 } as const
  const { report, notices } = await run(order)
  expect(report.leftOut).toEqual([])
  expect(report.rows.map(row => row.name)).toContain('int8, trimmed, 1 layer, distilled')
  const [float32, int8] = report.rows
  expect(report.selectionCount + report.certificationCount).toBeGreaterThan(100)
  expect(float32?.selectionAccuracy).toBeGreaterThan(0.9)
  expect(int8?.certificate).toMatchObject({ claimed: true, n: report.certificationCount })
  expect(notices).toEqual([expect.stringMatching(/holds only if/)])
  // Nothing is left of what a broken-off run would have needed.
  expect(await readdir(at('data/training'))).toEqual([])
  const chosen = report.rows.find(row => row.name === report.chosen)
  expect(await accuracyOfFolder(out, at('new.csv'))).toBeCloseTo(chosen?.accuracy ?? 0, 1)
}, 60_000)

it('certifies nothing by the rows that it was trained on', async () => {
  const { report, notices } = await run({ certified: 'every' })
  for (const { certificate, accuracy } of report.rows) {
    expect(accuracy).toBeNull()
    expect(certificate).toMatchObject({ claimed: false, n: 0 })
  }
  expect(notices.join()).toMatch(/trained on these very rows.*--held-out/)
})

it('knows the rows again by their texts, and trusts no run that does not say which they were', async () => {
  const altered = async (name: string, change: object) => {
    await cp(at('tuned'), at(name), { recursive: true })
    const run = JSON.parse(await readFile(at('tuned/recipe.json'), 'utf8'))
    await writeFile(at(`${name}/recipe.json`), JSON.stringify({ ...run, ...change }))
    return at(name)
  }
  // As where a teacher's answers took the place of the labels.
  const taught = await altered('taught', { dataHash: 'f'.repeat(64) })
  const silent = await altered('silent', { textsHash: undefined })
  for (const model of [taught, silent]) {
    const { report } = await run({ model })
    expect(report.rows[0]?.certificate).toMatchObject({ claimed: false, n: 0 })
  }
  const { report } = await run({ model: at('tuned'), file: at('new.csv') })
  expect(report.certificationCount).toBeGreaterThan(0)
})

it('leaves out held-out rows that are among those that train', async () => {
  const outcome = run({ heldOut: at('rows.csv') })
  await expect(outcome).rejects.toMatchObject({ code: 'usage-invalid' })
  await expect(outcome).rejects.toThrow(/0 to certify with/)
})

it('says so with a label that it does not know', async () => {
  const file = at('other.csv')
  await writeFile(file, csv('z').replaceAll(',refunds', ',complaints'))
  await expect(run({ file })).rejects.toThrow(
    /1 label that the model does not know \("complaints"\); it knows "invoices", "refunds"/,
  )
})

let damagedCount = 0
it.each<[string, (folder: string) => Promise<void>, RegExp]>([
  [
    'its classifier’s file gone',
    folder => rm(join(folder, '3_Dense'), { recursive: true }),
    /3_Dense/,
  ],
  [
    'labels and no classifier',
    folder => rm(join(folder, 'modules.json')),
    /names 2 labels and has no classifier/,
  ],
  [
    'fewer labels than outputs',
    folder =>
      changeJson(join(folder, 'config.json'), config => ({
        ...config,
        id2label: { 0: 'invoices' },
        label2id: { invoices: 0 },
      })),
    /1 labels, 1 of them different, for 2 logits/,
  ],
  [
    'another kind of task',
    folder => changeJson(join(folder, 'recipe.json'), record => ({ ...record, task: 'pair' })),
    /is a model of pairs of texts/,
  ],
  [
    'weights cut short',
    async folder => {
      const path = join(folder, 'model.safetensors')
      await writeFile(path, (await readFile(path)).subarray(0, 5000))
    },
    /safetensors|header|bytes/i,
  ],
])('says so with %s', async (_what, damage, message) => {
  const model = at(`damaged-${damagedCount++}`)
  await cp(at('tuned'), model, { recursive: true })
  await damage(model)
  await expect(run({ model })).rejects.toThrow(message)
})

it('refuses what is compressed already', async () => {
  const model = at('again')
  await cp(at('tuned'), model, { recursive: true })
  await writeFile(join(model, 'understudy.json'), '{}')
  await expect(run({ model })).rejects.toThrow(/compressed already/)
  expect((await readModelFolder(at('tuned'))).labels).toEqual(['invoices', 'refunds'])
})

async function changeJson(
  path: string,
  change: (value: Record<string, unknown>) => Record<string, unknown>,
): Promise<void> {
  await writeFile(path, JSON.stringify(change(JSON.parse(await readFile(path, 'utf8')))))
}
