import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { toyConfig, toyFiles } from '../../models/__fixtures__/toy-bert.ts'
import { type EncoderFiles, readEncoderFiles } from '../../models/index.ts'
import { sha256 } from '../../platform/index.ts'
import { openInProcessRuntime } from '../../runtimes/index.ts'
import { completeRecipe, type Recipe } from '../fine-tune/recipe.ts'
import { toyRows } from '../model/__fixtures__/toy-rows.ts'
import { splitInner } from '../model/inner-split.ts'
import { checkLabelledRows } from '../model/labelled-rows.ts'
import type { RunRecord } from '../model/run-record.ts'
import { put, writeResult } from './__fixtures__/torch-result.ts'
import { type TorchJob, torchJobId } from './torch-job-format.ts'
import { readTorchTraining, type TorchOrder, writeTorchTraining } from './train-torch.ts'

const HIDDEN = toyConfig.hidden_size
const rows = toyRows('label', 60)
const runtime = await openInProcessRuntime({ threads: 1 })
let scratch = ''
let files: EncoderFiles
let count = 0
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'understudy-train-torch-'))
  const { weights, config, tokenizer } = toyFiles()
  await put(join(scratch, 'base'), {
    'model.safetensors': weights,
    'config.json': config,
    'tokenizer.json': tokenizer,
    // As sentence-transformers 6 writes it.
    '1_Pooling/config.json': '{"pooling_mode": "cls"}',
  })
  files = await readEncoderFiles(join(scratch, 'base'))
})
afterAll(async () => {
  await runtime.close()
  await rm(scratch, { recursive: true })
})

const fresh = () => join(scratch, `job-${count++}`)

function recordOf(recipe: Parameters<typeof completeRecipe>[0]): RunRecord {
  const { dataHash } = checkLabelledRows('label', rows)
  const hashes = { dataHash, weightsHash: sha256(files.weights) }
  const run = { id: '0123456789abcdef', base: 'toy', seed: 7, ...hashes }
  return { ...run, recipe: completeRecipe(recipe) } as RunRecord
}

async function order(changes: Partial<TorchOrder> = {}) {
  const output = fresh()
  const base = { name: 'toy', folder: join(scratch, 'base'), files }
  const usual = { task: 'label', method: 'lora', record: null, fixed: {}, seed: 0 } as const
  await writeTorchTraining({ ...usual, rows, base, output, ...changes })
  return output
}

const readJob = async (dir: string) =>
  JSON.parse(await readFile(join(dir, 'recipe.json'), 'utf8')) as TorchJob

describe('writeTorchTraining', () => {
  it('says how the base pools, as its files are read here', async () => {
    expect((await readJob(await order())).pooling).toBe('cls')
  })

  it('repeats a recipe with the rows held back that its run held back', async () => {
    const record = recordOf({ method: 'lora', rank: 3 })
    const dir = await order({ record })
    expect((await readJob(dir)).recipe.rank).toBe(3)
    const lines = (await readFile(join(dir, 'data.jsonl'), 'utf8')).trim().split('\n')
    const held = lines.flatMap((line, i) => (JSON.parse(line).split === 'selection' ? [i] : []))
    expect(held).toEqual(splitInner('label', rows, record.seed).selection)
    expect(held).not.toEqual(splitInner('label', rows, 0).selection)
  })

  const pooler = JSON.stringify({ ...toyConfig, architectures: ['BertForSequenceClassification'] })
  it.each<[string, () => Partial<TorchOrder>, RegExp]>([
    [
      'a base that ends in a pooler',
      () => ({ base: { name: 'toy', folder: scratch, files: toyFiles({ config: pooler }) } }),
      /ends in a pooler/,
    ],
    [
      'a recipe that reads the names of labels',
      () => ({ record: recordOf({ method: 'lora', labelNames: true }) }),
      /names of labels/,
    ],
    [
      'a recipe that leaves tokens out',
      () => ({ record: recordOf({ method: 'lora', tokenDropout: 0.1 }) }),
      /leaves tokens out/,
    ],
    [
      'the recipe of other rows',
      () => ({ record: recordOf({ method: 'lora' }), rows: rows.slice(1) }),
      /Run 0123456789abcdef was of other rows/,
    ],
    [
      'the recipe of another base',
      () => ({ record: { ...recordOf({ method: 'lora' }), weightsHash: sha256('other') } }),
      /was of other weights of toy/,
    ],
  ])('refuses %s', async (_what, changes, message) => {
    const attempt = order(changes())
    await expect(attempt).rejects.toMatchObject({
      code: 'request-invalid',
      help: expect.stringMatching(/^[A-Z].*\.$/),
    })
    await expect(attempt).rejects.toThrow(message)
  })
})

/** A job of a head alone, whose result needs no adapter. */
async function finished(recipe: Partial<Recipe> = {}) {
  const dir = await order({ record: recordOf({ method: 'head', epochCount: 1, ...recipe }) })
  const job = await readJob(dir)
  await writeResult(dir, job, { hiddenSize: HIDDEN })
  return { dir, job }
}

const readBack = (dir: string) =>
  readTorchTraining(dir, { runtime, threads: 1, signal: new AbortController().signal })

describe('readTorchTraining', () => {
  it('pools as the job says, whatever lies beside the weights', async () => {
    const { dir, job } = await finished()
    // As in jobs from before these files had a hash.
    await rm(join(dir, 'model', '1_Pooling'), { recursive: true })
    const { filesHash: _, ...baseModel } = job.baseModel
    await put(dir, { 'recipe.json': JSON.stringify({ ...job, baseModel }) })
    const { parts, record, notices } = await readBack(dir)
    expect(parts.config.pooling).toBe('cls')
    expect(record.metrics?.rowCount).toBe(job.data.selectionCount)
    expect(notices.join()).toMatch(/differ from PyTorch's by/)
  })

  it('refuses a model folder with other files, or with links out of it', async () => {
    const { dir } = await finished()
    const planted = join(dir, 'model', 'vocab.txt')
    await writeFile(planted, 'other words')
    await expect(readBack(dir)).rejects.toThrow(/changed, added or damaged/)
    await rm(planted)
    await symlink(join(dir, 'data.jsonl'), planted)
    await expect(readBack(dir)).rejects.toThrow(/model\/vocab.txt is not a plain file/)
  })

  it('refuses rows and weights that are not those of the job', async () => {
    const { dir } = await finished()
    const path = join(dir, 'data.jsonl')
    const data = await readFile(path)
    await writeFile(path, data.subarray(0, data.length - 10))
    const corrupt = { code: 'model-corrupt', help: expect.stringContaining('copy the whole') }
    await expect(readBack(dir)).rejects.toMatchObject({
      ...corrupt,
      message: expect.stringContaining('data.jsonl was changed or damaged'),
    })
    await writeFile(path, data)
    const weights = new Uint8Array(files.weights)
    weights[weights.length - 1] = (weights.at(-1) as number) ^ 1
    await writeFile(join(dir, 'model', 'model.safetensors'), weights)
    await expect(readBack(dir)).rejects.toMatchObject({
      ...corrupt,
      message: expect.stringContaining('model/model.safetensors was changed or damaged'),
    })
    await cp(join(scratch, 'base'), join(dir, 'model'), { recursive: true })
    await expect(readBack(dir)).resolves.toBeDefined()
  })

  const line = (row: object) => `${JSON.stringify({ split: 'training', text: 'a', ...row })}\n`
  it.each([
    ['that are not JSON', '{"split":', /line 1 of data.jsonl is not JSON/],
    ['of another shape', line({ labels: 'hello' }), /line 1 of data.jsonl: labels/],
    ['of labels that are not there', line({ labels: [2] }), /line 1 of data.jsonl has labels 2/],
    ['of no label', line({ labels: [] }), /line 1 of data.jsonl has labels none/],
    ['of another number', line({ labels: [0] }), /not as many rows/],
  ])('refuses rows %s, though their hash is right', async (_what, data, message) => {
    const { dir, job } = await finished()
    const content = { ...job, data: { ...job.data, hash: sha256(data) } }
    const changed = { ...content, id: torchJobId(content) }
    await put(dir, { 'data.jsonl': data, 'recipe.json': JSON.stringify(changed) })
    await writeResult(dir, changed, { hiddenSize: HIDDEN })
    const attempt = readBack(dir)
    await expect(attempt).rejects.toMatchObject({ code: 'model-corrupt' })
    await expect(attempt).rejects.toThrow(message)
  })
})
