import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { toyConfig, toyFiles, writeToyFolder } from '../models/__fixtures__/toy-bert.ts'
import { ENCODER_IDS, ENCODER_MASK, padBatch, readModelFolder } from '../models/index.ts'
import { openInProcessRuntime } from '../runtimes/index.ts'
import { modelGraph } from '../train/index.ts'
import type { JobEvent } from './job-messages.ts'
import { parseTrainParams } from './job-params.ts'
import { trainJob } from './train-job.ts'

let folder = ''
let base = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'train-job-'))
  base = writeBase('base')
})
afterAll(() => rm(folder, { recursive: true }))

function writeBase(name: string, files: Partial<ReturnType<typeof toyFiles>> = {}): string {
  const path = join(folder, name)
  writeToyFolder(path, files)
  return path
}

function csv(count = 60): string {
  const words = ['a', 'b', 'c', '!']
  const rows = Array.from({ length: count }, (_, i) => {
    const said = i % 2 === 0 ? 'hello' : 'world'
    return `${words[i % 4]} ${said} ${words[(i >> 2) % 4]} ${words[(i >> 4) % 4]},${said}`
  })
  return ['text,label', ...rows].join('\n')
}

let runCount = 0
async function train(
  content: string | Uint8Array,
  params: Record<string, unknown> = {},
  { onEvent = () => {} }: { onEvent?: (event: JobEvent) => void } = {},
) {
  const file = join(folder, `rows-${runCount++}.csv`)
  await writeFile(file, content)
  const output = join(folder, `model-${runCount}`)
  return trainJob(parseTrainParams({ file, base, output, budgetMs: 300_000, ...params }), {
    dataDir: join(folder, 'data'),
    threads: 1,
    signal: new AbortController().signal,
    onEvent,
  })
}

describe('trainJob', () => {
  it.each([
    'head',
    'lora',
    'full',
    'contrastive',
  ] as const)('writes a folder whose graph is its weights: %s', async method => {
    const events: JobEvent[] = []
    const { output, record, id } = await train(
      csv(),
      { method },
      { onEvent: one => events.push(one) },
    )
    const model = await readModelFolder(output)
    expect(model.labels).toEqual(['hello', 'world'])
    expect(model.adapter !== undefined).toBe(method === 'lora')
    expect(model.card).toContain('## Metrics')
    expect(JSON.parse(model.run ?? '').id).toBe(id)
    expect(record?.metrics?.scores.accuracy).toBeGreaterThan(0.5)
    // The graph and the weights were written on different paths.
    const { config, weights, classifier, onnx } = model
    const again = modelGraph({
      task: 'label',
      config,
      weights,
      head: {
        weights: classifier?.weight ?? new Float32Array(0),
        bias: classifier?.bias ?? new Float32Array(0),
      },
      outputs: ['hello', 'world'],
    })
    const [one, two] = [await logits(onnx ?? new Uint8Array(0)), await logits(again)]
    one.forEach((value, i) => {
      expect(value).toBeCloseTo(two[i] as number, 4)
    })
    const noted = events.filter(({ note }) => note?.startsWith('loss'))
    if (method !== 'head') expect(noted.at(-1)?.note).toMatch(/^loss [\d.]+, \d+ examples\/s$/)
  })

  it('repeats a run by its id, to the same bytes', async () => {
    const first = await train(csv(), { method: 'lora' })
    const again = await train(csv(), { recipe: first.id, method: 'auto' })
    expect(again.id).toBe(first.id)
    const bytes = (output: string) => readFile(join(output, 'model.safetensors'))
    expect(await bytes(again.output)).toEqual(await bytes(first.output))
  })

  it('refuses the record of a run that was altered: its figures are of another recipe', async () => {
    const { id } = await train(csv(), { method: 'lora' })
    const path = join(folder, 'data', 'runs', `${id}.json`)
    const record = JSON.parse(await readFile(path, 'utf8'))
    record.recipe.learningRate *= 2
    await writeFile(path, JSON.stringify(record))
    await expect(train(csv(), { recipe: id })).rejects.toMatchObject({ code: 'file-corrupt' })
    await rm(path)
  })

  it('learns from a teacher, and refuses one of other labels', async () => {
    const teacher = (await train(csv(), { method: 'head' })).output
    const { record } = await train(csv(), { method: 'head', teacher, fixed: { temperature: 2 } })
    // Solved for, not descended to.
    expect(record?.epochLosses).toEqual([])
    expect(record?.metrics?.scores.accuracy).toBeGreaterThan(0.6)
    await expect(train('text,label\na,x\nb,y\n', { teacher })).rejects.toMatchObject({
      code: 'request-invalid',
      message: expect.stringContaining('"x"'),
    })
    await expect(train(csv(), { teacher: base })).rejects.toMatchObject({ code: 'request-invalid' })
    const pairs = csv()
      .replace('text,', 'text,pair,')
      .replaceAll(/,(hello|world)$/gm, ',again,$1')
    await expect(train(pairs, { task: 'pair', teacher })).rejects.toMatchObject({
      code: 'request-invalid',
      message: expect.stringContaining('for the task kind "label"'),
    })
  })

  it('keeps labels that are called as transformers numbers them', async () => {
    const numbered = csv()
      .replaceAll(/,hello$/gm, ',LABEL_0')
      .replaceAll(/,world$/gm, ',LABEL_1')
    const { output } = await train(numbered, { method: 'head' })
    expect((await readModelFolder(output)).labels).toEqual(['LABEL_0', 'LABEL_1'])
  })

  it('tells of labels seen once and texts that are empty', async () => {
    const { notices } = await train(`${csv()}\n ,hello\na b c,rare`, { method: 'head' })
    expect(notices).toEqual([
      expect.stringContaining('1 of 62 rows have an empty text'),
      expect.stringContaining('1 label is seen only once ("rare")'),
    ])
  })

  it('takes a text of a megabyte like any other', async () => {
    const { record } = await train(`${csv()}\n${'hello '.repeat(180_000)},hello`, {
      method: 'head',
    })
    expect(record?.rowCounts.training).toBe(61)
  })

  it('trains on three rows, and says that nothing was measured', async () => {
    const { record, notices } = await train('text,label\na,x\nb,y\nc,x', { method: 'head' })
    expect(record?.metrics).toBeNull()
    expect(notices.join()).toContain('too few rows')
  })

  it.each<[string, string, Record<string, unknown>, string, string]>([
    ['no rows', 'text,label\n', {}, 'request-invalid', 'it has no rows'],
    ['one class', 'text,label\na,x\nb,x\n', {}, 'request-invalid', 'only the label "x"'],
    [
      'empty texts only',
      'text,label\n ,x\n ,y\n',
      {},
      'request-invalid',
      'all 2 rows have an empty text',
    ],
    [
      'a temperature with nothing to soften',
      csv(),
      { fixed: { temperature: 2 } },
      'usage-invalid',
      'the rows hold none',
    ],
    [
      'a recipe that is not there',
      csv(),
      { recipe: '0123456789abcdef' },
      'not-found',
      '0123456789abcdef',
    ],
    ['a recipe that is a path', csv(), { recipe: '../../etc/passwd' }, 'not-found', 'passwd'],
    [
      'a base that is neither name nor path',
      csv(),
      { base: 'all-minilm' },
      'not-found',
      'all-minilm',
    ],
  ])('refuses %s', async (_what, content, params, code, message) => {
    const error = await train(content, params).then(
      () => null,
      (cause: unknown) => cause,
    )
    expect(error).toMatchObject({
      code,
      message: expect.stringContaining(message),
      help: expect.stringMatching(/^[A-Z].*\.$/),
    })
  })

  it('tells what of the file was not read where nothing can be learned of the rest', async () => {
    const rows = 'text,label\none,b\n"two,a\nthree,a\n'
    await expect(train(rows)).rejects.toMatchObject({
      message: expect.stringContaining('only the label "b"'),
      help: expect.stringMatching(/at least two labels.* 1 place in .* could not be read/),
    })
  })

  it('refuses bases that are damaged, saying which file', async () => {
    const empty = join(folder, 'no-files')
    await mkdir(empty)
    await expect(train(csv(), { base: empty })).rejects.toMatchObject({
      code: 'model-unavailable',
      message: `${empty} has no model.safetensors`,
      help: expect.stringMatching(/model\.safetensors, config\.json and tokenizer\.json/),
    })
    await expect(train(csv(), { base: join(folder, 'nowhere') })).rejects.toMatchObject({
      code: 'model-unavailable',
      message: expect.stringContaining('nowhere cannot be read: there is no such folder'),
      help: expect.not.stringContaining('Pull'),
    })
    const { weights } = toyFiles()
    const cut = writeBase('cut', { weights: weights.subarray(0, weights.length - 100) })
    await expect(train(csv(), { base: cut })).rejects.toMatchObject({
      code: 'model-corrupt',
      message: expect.stringContaining(`The base ${cut} cannot be used. This is not a valid`),
      help: expect.stringMatching(/whole BERT encoder; --base names another/),
    })
    const lying = new Uint8Array(weights)
    new DataView(lying.buffer).setBigUint64(0, 2n ** 60n, true)
    const liar = writeBase('liar', { weights: lying })
    await expect(train(csv(), { base: liar })).rejects.toMatchObject({ code: 'model-corrupt' })
    const config = JSON.stringify({ ...toyConfig, hidden_size: 16 })
    const wide = writeBase('wide', { config })
    await expect(train(csv(), { base: wide })).rejects.toMatchObject({
      code: 'model-corrupt',
      message: expect.stringMatching(/embeddings\.|encoder\./),
    })
  })

  it.each([
    'here',
    'torch',
  ])('refuses to balance rows of several labels before it reads them: %s', async on => {
    const events: JobEvent[] = []
    const params = { on, task: 'labels', fixed: { classWeights: 'balanced' }, base: 'none' }
    await expect(
      train('not rows', params, { onEvent: one => events.push(one) }),
    ).rejects.toMatchObject({
      code: 'request-invalid',
      message: expect.stringContaining('cannot be balanced'),
      help: expect.stringContaining('--class-weights'),
    })
    expect(events).toEqual([])
  })

  it('hands the recipe of a run to PyTorch for the same rows only', async () => {
    // Of a head, whose recipe is as long as it says.
    const { id, record } = await train(csv(), { method: 'head' })
    const given = { on: 'torch', recipe: id, seed: 5 }
    const job = await train(csv(), given)
    const written = JSON.parse(await readFile(join(job.output, 'recipe.json'), 'utf8'))
    expect(written.recipe).toEqual(record?.recipe)
    await expect(train(csv(58), given)).rejects.toMatchObject({
      code: 'request-invalid',
      message: expect.stringContaining('other rows'),
    })
  })

  it('refuses outputs that are taken or cannot be written, before it trains', async () => {
    const events: JobEvent[] = []
    await expect(train(csv(), { output: base })).rejects.toMatchObject({ code: 'usage-invalid' })
    const file = join(folder, 'a-file')
    await writeFile(file, '')
    await expect(train(csv(), { output: file })).rejects.toMatchObject({
      code: 'usage-invalid',
      message: expect.stringContaining('is a file'),
      help: 'Name a new folder.',
    })
    await expect(
      train(csv(), { output: join(file, 'model') }, { onEvent: one => events.push(one) }),
    ).rejects.toMatchObject({
      code: 'file-unreadable',
      help: expect.stringContaining('output folder'),
    })
    expect(events).toEqual([])
  })
})

async function logits(model: Uint8Array): Promise<number[]> {
  const runtime = await openInProcessRuntime({ threads: 1 })
  try {
    await runtime.load('model', model)
    const { ids, mask } = padBatch(
      [
        [2, 5, 8, 3],
        [2, 6, 9, 10, 3],
      ],
      0,
    )
    const feeds = { [ENCODER_IDS]: ids, [ENCODER_MASK]: mask }
    const { logits: found } = await runtime.run([{ session: 'model', feeds }])
    return Array.from(found?.data as Float32Array)
  } finally {
    await runtime.close()
  }
}

describe('parseTrainParams', () => {
  const least = { file: '/f', base: 'b', output: '/o' }
  it('fills in what is not said', () => {
    expect(parseTrainParams(least)).toMatchObject({
      task: 'label',
      method: 'auto',
      fixed: {},
      seed: 0,
    })
  })
  it.each([
    ['file', 'relative.csv'],
    ['output', 'relative'],
    ['task', 'sentiment'],
    ['method', 'magic'],
    ['memoryBytes', 5],
    ['budgetMs', 0],
    ['seed', -1],
  ])('refuses %s = %j', (name, value) => {
    expect(() => parseTrainParams({ ...least, [name]: value })).toThrowError(
      expect.objectContaining({ details: { param: `params.${name}` } }),
    )
  })
  it('refuses settings beside a recipe, which would not heed them', () => {
    const params = { ...least, recipe: 'a'.repeat(16), fixed: { labelSmoothing: 0.1 } }
    expect(() => parseTrainParams(params)).toThrowError(
      expect.objectContaining({ details: { param: 'params.fixed' } }),
    )
  })
})
