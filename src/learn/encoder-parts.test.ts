/** Encoders from folders: learned on and served by, whole or compressed. */
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { smallBert } from '../models/__fixtures__/small-bert.ts'
import { compressedGraph, writeCompressedFolder, writeModelFolder } from '../models/index.ts'
import { openInProcessRuntime } from '../runtimes/index.ts'
import type { ClosedSetSchema } from '../tasks/index.ts'
import { createRng } from '../util/index.ts'
import { createClosedSetLearner, loadClosedSetSpecialist } from './closed-set-learner.ts'
import { encoderName, openEncoderParts } from './encoder-parts.ts'

let root = ''
const at = (name: string) => join(root, name)

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'understudy-encoder-parts-'))
  const model = smallBert()
  await writeModelFolder(at('whole'), model)
  await writeModelFolder(at('tuned'), { ...model, run: '{}' })
  const linear = { weight: new Float32Array(64), bias: new Float32Array(2) }
  await writeCompressedFolder(at('int8'), {
    ...model,
    precision: 'int8',
    graph: compressedGraph(model, {
      precision: 'int8',
      classifier: { linear, isNormalised: true },
    }),
    labels: ['a', 'b'],
    isTrained: true,
    record: null,
  })
})
afterAll(() => rm(root, { recursive: true }))

const open = (encoder: string) =>
  openEncoderParts({ encoder, openRuntime: () => openInProcessRuntime({ threads: 1 }) })

const schema: ClosedSetSchema = {
  classes: ['invoices', 'refunds'].map(label => ({
    key: label,
    label,
    answer: { kind: 'text', text: label },
  })),
}
const examples = Array.from({ length: 60 }, (_, i) => ({
  id: `trace-${i}`,
  input: `${['please', 'late', 'a'][i % 3]} ${i % 2 === 0 ? 'invoice' : 'refund'} ${i}`,
  group: `group-${i}`,
  output: i % 2 === 0 ? 'invoices' : 'refunds',
}))
const context = () => ({
  rng: createRng('learn'),
  signal: new AbortController().signal,
  budgetMs: 5_000,
  targetRisk: 0.05,
  onProgress: () => {},
})

describe('openEncoderParts', () => {
  it.each([
    'whole',
    'int8',
  ])('learns on an encoder from a folder and serves by it alone: %s', async kind => {
    const { parts } = await open(at(kind))
    const learner = createClosedSetLearner(parts)
    const candidate = (await learner.fit(schema, examples, context())).find(one =>
      one.name.startsWith('encoder'),
    )
    if (candidate === undefined) throw new Error('no candidate with an encoder')
    const inputs = ['please refund late', 'late invoice', 'please invoice 7']
    const answers = await candidate.specialist.answerBatch(inputs)
    expect(answers.map(one => one.output)).toEqual(['refunds', 'invoices', 'invoices'])
    const { classifier } = candidate.manifest as { classifier: { encoder: object } }
    expect(classifier.encoder).toMatchObject({
      name: kind,
      weightsHash: parts.encoder?.weightsHash,
    })
    await parts.runtime?.close()

    // As after a restart: the same folder opened anew gives the same answers to the last bit.
    const getBlob = async (hash: string) => candidate.blobs.get(hash) ?? new Uint8Array(0)
    const load = async (folder: string) => {
      const opened = (await open(folder)).parts
      try {
        const one = await loadClosedSetSpecialist(candidate.manifest, schema, getBlob, opened)
        return await one.answerBatch(inputs)
      } finally {
        await opened.runtime?.close()
      }
    }
    expect(await load(at(kind))).toEqual(answers)
    await expect(load(at(kind === 'whole' ? 'int8' : 'whole'))).rejects.toMatchObject({
      code: 'model-unavailable',
    })
    // Other words make another encoder of the same weights.
    await cp(at(kind), at(`${kind}-changed`), { recursive: true })
    await writeFile(join(at(`${kind}-changed`), 'tokenizer_config.json'), '{"unk_token":"late"}')
    await expect(load(at(`${kind}-changed`))).rejects.toMatchObject({ code: 'model-unavailable' })
  }, 60_000)

  it('says where an encoder was trained on labelled rows', async () => {
    for (const [kind, notice] of [
      ['whole', null],
      ['tuned', /trained on labelled rows/],
      ['int8', /trained on/],
    ] as const) {
      const opened = await open(at(kind))
      if (notice === null) expect(opened.notice).toBeNull()
      else expect(opened.notice).toMatch(notice)
      expect(opened.parts.encoder?.name).toBe(kind)
      expect(encoderName(at(kind))).toBe(kind)
      await opened.parts.runtime?.close()
    }
  })

  it.each<[string, () => Promise<string>, RegExp]>([
    ['no such folder', async () => at('nothing'), /cannot be read/],
    ['no such name', async () => 'nothing', /no encoder "nothing".*absolute path/],
    [
      'a quantised graph that was changed',
      async () => {
        await cp(at('int8'), at('corrupt'), { recursive: true })
        const path = join(at('corrupt'), 'model.onnx')
        const bytes = await readFile(path)
        bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1
        await writeFile(path, bytes)
        return at('corrupt')
      },
      /model.onnx is not the one/,
    ],
    [
      'a graph that is none, under its own hash',
      async () => {
        const graph = Buffer.from('not a graph')
        const more = { precision: 'int8', labels: ['a'], isTrained: false, record: null } as const
        await writeCompressedFolder(at('none'), { ...smallBert(), ...more, graph })
        return at('none')
      },
      /refuses the graph/,
    ],
    [
      'a tokenizer of more words than the model has',
      async () => {
        const model = smallBert()
        const graph = compressedGraph(model, { precision: 'int8' })
        const config = { ...model.config, vocabularySize: 5 }
        const more = { precision: 'int8', labels: ['a'], isTrained: false, record: null } as const
        await writeCompressedFolder(at('words'), { ...model, ...more, config, graph })
        return at('words')
      },
      /numbers tokens up to 9, the model has 5/,
    ],
  ])('falls back to reflexes and says why with %s', async (_what, make, message) => {
    const { parts, notice } = await open(await make())
    expect(parts).toEqual({ encoder: null, runtime: null })
    expect(notice).toMatch(message)
  })
})
