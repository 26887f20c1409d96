import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type PeftAdapter, readSafetensors, writeSafetensors } from '../formats/index.ts'
import { toyConfig, toyTokenizer, toyWeights } from './__fixtures__/toy-bert.ts'
import { parseEncoderConfig } from './encoder-config.ts'
import { readEncoderWeights } from './encoder-weights.ts'
import { type ModelFolder, readModelFolder, writeModelFolder } from './model-folder.ts'

const config = parseEncoderConfig({
  config: JSON.stringify(toyConfig),
  sentenceBert: '{"max_seq_length":10}',
})
const weights = readEncoderWeights(readSafetensors(writeSafetensors(toyWeights())), config)
const ramp = (length: number) => Float32Array.from({ length }, (_, i) => i / 4)
const bytes = (text: string) => Buffer.from(text)

const adapter: PeftAdapter = {
  rank: 2,
  alpha: 4,
  isRankStabilised: true,
  dropout: 0,
  targetModules: ['query'],
  baseModel: 'toy',
  taskType: 'FEATURE_EXTRACTION',
  modules: new Map([
    [
      'encoder.layer.0.attention.self.query',
      { a: ramp(16), b: ramp(16), inSize: 8, outSize: 8, rank: 2, alpha: 4 },
    ],
  ]),
  saved: new Map(),
}

const encoder: ModelFolder = {
  config,
  weights,
  isNormalised: true,
  tokenizer: new Map([['tokenizer.json', bytes(toyTokenizer())]]),
  classifier: undefined,
  onnx: undefined,
  adapter: undefined,
  card: undefined,
}
const LABELS = ['refund', '__proto__', '7']
const classifying: ModelFolder = {
  ...encoder,
  classifier: { weight: ramp(24), bias: ramp(3) },
  labels: LABELS,
  problem: 'single-label',
  tokenizer: new Map([
    ['tokenizer.json', bytes(toyTokenizer())],
    ['tokenizer_config.json', bytes('{ "model_max_length":  99 }')],
    ['vocab.txt', Buffer.of(0xff, 0x0d, 0x0a)],
  ]),
  onnx: Buffer.of(8, 10),
  adapter,
  card: '# Card\n',
}
const pooling: ModelFolder = {
  ...classifying,
  config: { ...config, pooling: 'pooler' },
  weights: { ...weights, pooler: { weight: ramp(64), bias: ramp(8) } },
  isNormalised: false,
}

let root: string
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'understudy-folder-'))
})
afterAll(() => rm(root, { recursive: true }))

let count = 0
const fresh = () => join(root, `${count++}`)
async function written(model: ModelFolder): Promise<string> {
  const folder = fresh()
  await writeModelFolder(folder, model)
  return folder
}

describe('writeModelFolder', () => {
  it.each<[string, ModelFolder]>([
    ['an encoder', encoder],
    ['one that pools by its first token', { ...encoder, config: { ...config, pooling: 'cls' } }],
    ['a classifier on unit vectors', classifying],
    ['a classifier on vectors as they are', { ...classifying, isNormalised: false }],
    ['a classifier behind a pooler', pooling],
    ['one with many labels', { ...pooling, problem: 'multi-label', adapter: undefined }],
  ])('writes %s that readModelFolder reads back', async (_what, model) => {
    const { labels, problem, ...read } = await readModelFolder(await written(model))
    const { labels: wantedLabels, problem: wantedProblem, ...wanted } = model
    expect([labels, problem]).toEqual([wantedLabels, wantedProblem])
    expect(read).toEqual(wanted)
  })

  it('names files as Hugging Face does, and copies the tokenizer byte for byte', async () => {
    const folder = await written(classifying)
    expect((await readdir(folder)).sort()).toEqual([
      '1_Pooling',
      '3_Dense',
      'README.md',
      'adapter',
      'config.json',
      'model.onnx',
      'model.safetensors',
      'modules.json',
      'sentence_bert_config.json',
      'tokenizer.json',
      'tokenizer_config.json',
      'vocab.txt',
    ])
    expect([...(await readFile(join(folder, 'vocab.txt')))]).toEqual([0xff, 0x0d, 0x0a])
    const json = JSON.parse(await readFile(join(folder, 'config.json'), 'utf8'))
    expect(json).toMatchObject({ architectures: ['BertModel'], hidden_size: 8 })
    expect(json.id2label).toEqual({ 0: 'refund', 1: '__proto__', 2: '7' })
    expect(Object.entries(json.label2id)).toEqual([
      ['7', 2],
      ['refund', 0],
      ['__proto__', 1],
    ])
  })

  it('never touches what is there, and leaves nothing behind when it fails', async () => {
    const folder = await written(encoder)
    await expect(writeModelFolder(folder, classifying)).rejects.toThrow(/not empty/)
    expect((await readModelFolder(folder)).classifier).toBeUndefined()
    const file = join(root, 'file')
    await writeFile(file, 'x')
    await expect(writeModelFolder(file, encoder)).rejects.toThrow(/is there already/)
    await expect(writeModelFolder(join(file, 'below'), encoder)).rejects.toMatchObject({
      code: 'file-unreadable',
    })
    expect(await readFile(file, 'utf8')).toBe('x')
    expect((await readdir(root)).filter(name => name.endsWith('.tmp'))).toEqual([])
  })

  it('fills an empty folder', async () => {
    const folder = fresh()
    await mkdir(folder)
    await writeModelFolder(folder, encoder)
    expect((await readModelFolder(folder)).config).toEqual(config)
  })

  it.each<[string, ModelFolder, RegExp]>([
    ['no tokenizer', { ...encoder, tokenizer: new Map() }, /no tokenizer.json/],
    [
      'a label too few',
      { ...classifying, labels: ['a', 'b'] },
      /2 labels, 2 of them different, for 3/,
    ],
    ['a label twice', { ...classifying, labels: ['a', 'b', 'a'] }, /3 labels, 2 of them different/],
    ['a pooler without classifier', { ...pooling, classifier: undefined }, /pooling by pooler/],
    ['a pooler on unit vectors', { ...pooling, isNormalised: true }, /pooling by pooler/],
  ])('refuses %s', async (_what, model, message) => {
    const folder = fresh()
    await expect(writeModelFolder(folder, model)).rejects.toThrow(message)
    await expect(readdir(folder)).rejects.toThrow(/ENOENT/)
  })
})

describe('readModelFolder', () => {
  const modules = (...list: [string, string][]) =>
    JSON.stringify(
      list.map(([type, path]) => ({ type: `sentence_transformers.models.${type}`, path })),
    )
  const start: [string, string][] = [
    ['Transformer', ''],
    ['Pooling', '1_Pooling'],
  ]
  const dense = (change: object) =>
    JSON.stringify({
      in_features: 8,
      out_features: 3,
      bias: true,
      activation_function: 'torch.nn.modules.linear.Identity',
      ...change,
    })
  const labels = (change: object) => JSON.stringify({ ...toyConfig, ...change })

  it.each<[string, string, string | null, RegExp]>([
    ['modules that are not JSON', 'modules.json', '[', /modules.json .* not JSON/],
    ['a module it does not know', 'modules.json', modules(...start, ['LSTM', '2']), /has LSTM/],
    ['modules in another order', 'modules.json', modules(['Pooling', '']), /does not begin/],
    [
      'a path out of the folder',
      'modules.json',
      modules(...start, ['Dense', '../x']),
      /plain name/,
    ],
    [
      'a module that is missing',
      'modules.json',
      modules(...start, ['Dense', '4']),
      /4\/config.json/,
    ],
    [
      'a Dense with tanh',
      '3_Dense/config.json',
      dense({ activation_function: 'torch.nn.Tanh' }),
      /activ/,
    ],
    ['a Dense without bias', '3_Dense/config.json', dense({ bias: false }), /bias/],
    ['a Dense with more', '3_Dense/config.json', dense({ use_residual: true }), /use_residual/],
    ['weights that are cut', '3_Dense/model.safetensors', 'x', /1 bytes, fewer than 8/],
    ['labels with a gap', 'config.json', labels({ id2label: { 0: 'a', 2: 'b' } }), /from 0/],
    [
      'labels that disagree',
      'config.json',
      labels({ id2label: { 0: 'a', 1: 'b' }, label2id: { a: 1, b: 0 } }),
      /disagree/,
    ],
    [
      'labels for another size',
      'config.json',
      labels({ id2label: { 0: 'a' } }),
      /1 labels, .* for 3/,
    ],
    [
      'an adapter without weights',
      'adapter/adapter_model.safetensors',
      null,
      /safetensors is missing/,
    ],
    [
      'an adapter without configuration',
      'adapter/adapter_config.json',
      null,
      /config.json is missing/,
    ],
    ['no weights', 'model.safetensors', null, /has no model.safetensors/],
  ])('refuses %s', async (_what, path, content, message) => {
    const folder = fresh()
    await cp(await written(classifying), folder, { recursive: true })
    if (content === null) await rm(join(folder, path))
    else await writeFile(join(folder, path), content)
    await expect(readModelFolder(folder)).rejects.toThrow(
      expect.objectContaining({
        code: expect.stringMatching(/^model-/),
        message: expect.stringMatching(message),
      }),
    )
  })

  it('names the folder where a file in it cannot be used', async () => {
    const folder = fresh()
    await cp(await written(classifying), folder, { recursive: true })
    await writeFile(join(folder, 'config.json'), '{')
    await expect(readModelFolder(folder)).rejects.toMatchObject({
      code: 'model-corrupt',
      message: `${folder} cannot be used as a model. config.json cannot be used: it is not JSON`,
      help: expect.stringMatching(/^Copy the folder again/),
    })
  })

  it('takes numbered labels for none', async () => {
    const folder = await written({ ...pooling, labels: ['LABEL_0', 'LABEL_1', 'LABEL_2'] })
    expect((await readModelFolder(folder)).labels).toBeUndefined()
  })
})
