import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { toyConfig, toyTokenizer } from './__fixtures__/toy-bert.ts'
import {
  type CompressedFolder,
  readCompressedFolder,
  writeCompressedFolder,
} from './compressed-folder.ts'
import { parseEncoderConfig } from './encoder-config.ts'

let root: string
let count = 0
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'understudy-compressed-'))
})
afterAll(() => rm(root, { recursive: true }))

const one: CompressedFolder = {
  config: parseEncoderConfig({
    config: JSON.stringify(toyConfig),
    sentenceBert: '{"max_seq_length":10}',
  }),
  tokenizer: new Map([['tokenizer.json', Buffer.from(toyTokenizer())]]),
  precision: 'int8',
  graph: Buffer.of(8, 10, 1),
  labels: ['refund', '__proto__'],
  isTrained: true,
  record: { rows: [1, 2] },
}

async function written(): Promise<string> {
  const folder = join(root, `${count++}`)
  await writeCompressedFolder(folder, one)
  return folder
}

it('reads back what was written, and never writes over it', async () => {
  const folder = await written()
  expect(await readCompressedFolder(folder)).toEqual(one)
  await expect(writeCompressedFolder(folder, one)).rejects.toMatchObject({ code: 'usage-invalid' })
  expect(await readdir(folder)).not.toContain('model.safetensors')
})

it.each([
  ['model.onnx', Buffer.of(8, 10, 2), /model.onnx is not the one that its manifest names/],
  ['tokenizer.json', '{}', /tokenizer.json is not the one that its manifest names/],
  ['understudy.json', '{"format":"understudy-compressed","version":2}', /not understood/],
  ['understudy.json', '{', /not understood/],
  ['config.json', '{}', /config.json/],
] as const)('refuses a folder whose %s was changed', async (name, content, message) => {
  const folder = await written()
  await writeFile(join(folder, name), content)
  await expect(readCompressedFolder(folder)).rejects.toThrow(message)
})

it.each([
  'model.onnx',
  'understudy.json',
  'tokenizer.json',
])('says that %s is missing', async name => {
  const folder = await written()
  await rm(join(folder, name))
  await expect(readCompressedFolder(folder)).rejects.toThrow(name)
})
