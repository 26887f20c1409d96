import { mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { type PeftAdapter, writePeftAdapter } from '../../formats/index.ts'
import { sha256 } from '../../platform/index.ts'
import { completeRecipe } from '../fine-tune/recipe.ts'
import { put, tensors, writeResult } from './__fixtures__/torch-result.ts'
import { type TorchJobOptions, type TorchJobRow, writeTorchJob } from './torch-job.ts'
import type { TorchJob } from './torch-job-format.ts'
import { readTorchJobResult } from './torch-job-result.ts'

let scratch: string
let count = 0
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'understudy-torch-'))
  await put(join(scratch, 'model'), {
    'model.safetensors': 'weights',
    'config.json': '{}',
    'tokenizer.json': '{}',
    '1_Pooling/config.json': '{}',
    'unrelated.bin': 'x',
  })
})
afterAll(() => rm(scratch, { recursive: true, force: true }))

const fresh = () => join(scratch, `job-${count++}`)

const row = (text: string, label: number, split: TorchJobRow['split'] = 'training') => ({
  split,
  text,
  labels: [label],
})

function options(changes: Partial<TorchJobOptions> = {}): TorchJobOptions {
  return {
    recipe: completeRecipe({ method: 'lora', rank: 2, epochCount: 1 }),
    baseModel: { kind: 'folder', name: 'toy', folder: join(scratch, 'model') },
    rows: [row('wo ist meine Karte?', 0), row('カードを止めて', 1), row('card?', 0, 'selection')],
    labels: ['where', 'block'],
    maxTokens: 64,
    pooling: 'mean',
    ...changes,
  }
}

describe('a job folder', () => {
  it('holds recipe, rows, model, scripts and instructions', async () => {
    const dir = fresh()
    const job = await writeTorchJob(dir, options())
    expect((await readdir(dir)).sort()).toEqual(
      ['README.md', 'data.jsonl', 'job.yaml', 'job_data.py', 'job_model.py', 'job_result.py']
        .concat(['launch.sh', 'model', 'recipe.json', 'requirements.txt', 'train.py'])
        .sort(),
    )
    expect((await readdir(join(dir, 'model'))).sort()).toEqual([
      '1_Pooling',
      'config.json',
      'model.safetensors',
      'tokenizer.json',
    ])
    const lines = (await readFile(join(dir, 'data.jsonl'), 'utf8')).trim().split('\n')
    expect(lines.map(line => JSON.parse(line))).toEqual(options().rows)
    expect(JSON.parse(await readFile(join(dir, 'recipe.json'), 'utf8'))).toEqual(job)
    expect(job.baseModel.weightsHash).toBe(sha256('weights'))
    expect((await stat(join(dir, 'launch.sh'))).mode & 0o100).toBe(0o100)
    const readme = await readFile(join(dir, 'README.md'), 'utf8')
    expect(readme).toContain('./launch.sh\nunderstudy train . --on torch --output ../model\n')
    expect(readme).not.toContain('recorded requests')
    expect((await readdir(scratch)).filter(name => name.endsWith('.tmp'))).toEqual([])
  })

  it('has a manifest whose pods find the first one', async () => {
    const dir = fresh()
    const { id } = await writeTorchJob(dir, options())
    const documents = parseAllDocuments(await readFile(join(dir, 'job.yaml'), 'utf8'))
    expect(documents.flatMap(one => one.errors)).toEqual([])
    const [service, job] = documents.map(one => one.toJS())
    expect(service).toMatchObject({ kind: 'Service', spec: { clusterIP: 'None' } })
    expect(job).toMatchObject({ apiVersion: 'batch/v1', kind: 'Job' })
    const { completionMode, completions, template } = job.spec
    expect(completionMode).toBe('Indexed')
    const env = template.spec.containers[0].env as { name: string; value?: string }[]
    const envOf = (name: string) => env.find(one => one.name === name)?.value
    expect(envOf('NNODES')).toBe(String(completions))
    expect(envOf('MASTER_ADDR')).toBe(`understudy-${id}-0.${service.metadata.name}`)
    expect(template.spec.subdomain).toBe(service.metadata.name)
  })

  it('can name a model on a hub, more labels than one, and pairs of texts', async () => {
    const dir = fresh()
    const revision = 'c'.repeat(40)
    const hub = { kind: 'huggingface', name: 'toy', repository: 'some/model', revision } as const
    const job = await writeTorchJob(
      dir,
      options({
        kind: 'multi-label',
        baseModel: { ...hub, weightsHash: 'd'.repeat(64) },
        rows: [
          { split: 'training', text: 'a', pair: 'b', labels: [0, 1] },
          { ...row('c', 0), labels: [] },
        ],
      }),
    )
    expect(job.baseModel.source).toEqual({
      kind: 'huggingface',
      repository: 'some/model',
      revision,
    })
    expect(await readdir(dir)).not.toContain('model')
    expect(await readFile(join(dir, 'data.jsonl'), 'utf8')).toContain('"pair":"b"')
    await expect(
      writeTorchJob(
        fresh(),
        options({ baseModel: { ...hub, revision: 'main', weightsHash: 'd' } }),
      ),
    ).rejects.toMatchObject({ code: 'request-invalid' })
  })

  it.each([
    ['an empty text', [row(' ', 0), row('b', 1)], /row 1 has an empty text/],
    ['one class', [row('a', 0), row('b', 0), row('c', 1, 'selection')], /1 different labels/],
    ['no row', [], /0 training rows/],
    ['a label out of range', [row('a', 0), row('b', 2)], /row 2 has label 2 of 2/],
    ['no label', [{ ...row('a', 0), labels: [] }], /row 1 has 0 labels/],
  ])('is refused for %s, and nothing is written', async (_, rows, message) => {
    const dir = fresh()
    const attempt = writeTorchJob(dir, options({ rows }))
    await expect(attempt).rejects.toMatchObject({ code: 'request-invalid' })
    await expect(attempt).rejects.toThrow(message)
    expect(await stat(dir).catch(() => null)).toBeNull()
  })

  it('is of another id where tokens are pooled otherwise', async () => {
    const mean = await writeTorchJob(fresh(), options())
    const cls = await writeTorchJob(fresh(), options({ pooling: 'cls' }))
    expect([mean.pooling, cls.pooling]).toEqual(['mean', 'cls'])
    expect(cls.id).not.toBe(mean.id)
  })

  it('is refused for several labels and balanced classes', async () => {
    const recipe = completeRecipe({ method: 'lora', classWeights: 'balanced' })
    const attempt = writeTorchJob(fresh(), options({ recipe, kind: 'multi-label' }))
    await expect(attempt).rejects.toThrow(/recipe.classWeights: balanced needs one label/)
  })

  it('is not written over another, nor without a model', async () => {
    const dir = fresh()
    await writeTorchJob(dir, options())
    await expect(writeTorchJob(dir, options())).rejects.toMatchObject({ code: 'usage-invalid' })
    const baseModel = { kind: 'folder', name: 'toy', folder: join(scratch, 'none') } as const
    await expect(writeTorchJob(fresh(), options({ baseModel }))).rejects.toMatchObject({
      code: 'model-unavailable',
    })
    expect((await readdir(scratch)).filter(name => name.endsWith('.tmp'))).toEqual([])
  })
})

const HIDDEN = 4

function adapterFiles() {
  const module = 'encoder.layer.0.attention.self.query'
  const size = { inSize: HIDDEN, outSize: HIDDEN, rank: 2, alpha: 16 }
  const halves = { a: new Float32Array(8).fill(0.5), b: new Float32Array(8).fill(0.25) }
  const adapter: PeftAdapter = {
    rank: 2,
    alpha: 16,
    isRankStabilised: false,
    dropout: 0,
    targetModules: ['query'],
    baseModel: 'toy',
    taskType: null,
    modules: new Map([[module, { ...size, ...halves }]]),
    saved: new Map(),
  }
  const { config, weights } = writePeftAdapter(adapter)
  return { 'adapter/adapter_config.json': config, 'adapter/adapter_model.safetensors': weights }
}

/** A job with the result that train.py would leave; `files` and `metrics` replace parts of it. */
async function finishedJob(
  changes: Partial<Parameters<typeof writeResult>[2]> = {},
): Promise<{ dir: string; job: TorchJob }> {
  const dir = fresh()
  const job = await writeTorchJob(dir, options())
  const files = { ...adapterFiles(), ...changes.files }
  await writeResult(dir, job, { hiddenSize: HIDDEN, ...changes, files })
  return { dir, job }
}

describe('the result of a job', () => {
  it('is read back with adapter, head and logits', async () => {
    const { dir, job } = await finishedJob()
    const result = await readTorchJobResult(dir, { id: job.id })
    expect(result.job).toEqual(job)
    expect(result.metrics.selectionAccuracy).toBe(1)
    expect([...(result.adapter?.modules.keys() ?? [])]).toEqual([
      'encoder.layer.0.attention.self.query',
    ])
    expect([result.hiddenSize, result.classifier.weight.length]).toEqual([HIDDEN, 2 * HIDDEN])
    expect([...result.selectionLogits]).toEqual([0.5, 0.5])
    await expect(readTorchJobResult(dir, { id: '0'.repeat(16) })).rejects.toThrow(/was asked for/)
  })

  const adapter = adapterFiles()
  it.each<[string, Parameters<typeof finishedJob>[0], RegExp]>([
    ['of another job', { metrics: { id: 'f'.repeat(16) } }, /belongs to job f+/],
    ['of other weights', { metrics: { weightsHash: '0'.repeat(64) } }, /other weights/],
    ['of fewer epochs', { metrics: { epochs: [] } }, /epochs/],
    ['with an accuracy above 1', { metrics: { trainingAccuracy: 7 } }, /trainingAccuracy/],
    ['without files', { metrics: { files: {} } }, /classifier.safetensors is missing/],
    [
      'that leads out',
      { metrics: { files: { '../x': { bytes: 1, hash: 'a' } } } },
      /files.*Invalid key/,
    ],
    [
      'that claims 100 GB',
      { metrics: { files: { 'classifier.safetensors': { bytes: 1e11, hash: 'a'.repeat(64) } } } },
      /metrics.json says 100000000000/,
    ],
    ['with a damaged head', { files: { 'classifier.safetensors': 'oops' } }, /safetensors/],
    [
      'with a head for other labels',
      { files: { 'classifier.safetensors': tensors({ 'classifier.weight': [[3, 4], 0] }) } },
      /there are 2 labels/,
    ],
    [
      'with NaN in the logits',
      { files: { 'selection-logits.safetensors': tensors({ logits: [[1, 2], Number.NaN] }) } },
      /NaN/,
    ],
    [
      'with an adapter of another rank',
      {
        files: {
          'adapter/adapter_config.json': adapter['adapter/adapter_config.json'].replace(
            /"lora_alpha": *16/,
            '"lora_alpha": 8',
          ),
        },
      },
      /is not of rank 2 and alpha 16/,
    ],
  ])('%s is refused', async (_, changes, message) => {
    const attempt = readTorchJobResult((await finishedJob(changes)).dir)
    await expect(attempt).rejects.toMatchObject({ code: 'model-corrupt' })
    await expect(attempt).rejects.toThrow(message)
  })

  it('is refused when a file was changed, is a link, or is missing', async () => {
    const { dir } = await finishedJob()
    const head = join(dir, 'result', 'classifier.safetensors')
    const bytes = await readFile(head)
    bytes[bytes.length - 1] = 1
    await writeFile(head, bytes)
    await expect(readTorchJobResult(dir)).rejects.toThrow(/SHA-256 differs/)
    await rm(head)
    await symlink(join(dir, 'data.jsonl'), head)
    await expect(readTorchJobResult(dir)).rejects.toThrow(/not a plain file/)
    await rm(join(dir, 'result'), { recursive: true })
    await expect(readTorchJobResult(dir)).rejects.toThrow(/result is missing/)
  })

  it('is refused when the recipe was changed after the job was written', async () => {
    const { dir, job } = await finishedJob()
    const changed = { ...job, recipe: { ...job.recipe, learningRate: 0.5 } }
    await writeFile(join(dir, 'recipe.json'), JSON.stringify(changed))
    await expect(readTorchJobResult(dir)).rejects.toThrow(/recipe.json was changed/)
    await writeFile(join(dir, 'recipe.json'), '{"format":')
    await expect(readTorchJobResult(dir)).rejects.toMatchObject({ code: 'model-corrupt' })
  })

  it('is refused where the folder is no job', async () => {
    const { dir } = await finishedJob()
    const refusal = {
      code: 'usage-invalid',
      message: expect.stringContaining('is not a job folder written by'),
    }
    await writeFile(join(dir, 'recipe.json'), '{"id":"that of a trained model"}')
    await expect(readTorchJobResult(dir)).rejects.toMatchObject(refusal)
    await rm(join(dir, 'recipe.json'))
    await expect(readTorchJobResult(dir)).rejects.toMatchObject(refusal)
  })
})
