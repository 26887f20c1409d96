/** Adapters and folders against PEFT: theirs here by `make-peft-goldens.py`, ours there by `check-peft.py` beside this file. */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, describe, expect, it } from 'vitest'
import { emit, input } from '../../src/engine/index.ts'
import {
  type PeftAdapter,
  type PeftFiles,
  readPeftAdapter,
  readSafetensors,
  writePeftAdapter,
} from '../../src/formats/index.ts'
import { toyTokenizer } from '../../src/models/__fixtures__/toy-bert.ts'
import {
  adapterClassifier,
  collectAdapter,
  createEncoder,
  ENCODER_IDS,
  ENCODER_MASK,
  type EncoderConfig,
  type EncoderWeights,
  embedTokens,
  frozenLinear,
  frozenModules,
  LAYER_LINEARS,
  type LayerLinear,
  type Linear,
  layerPath,
  linearSizes,
  type ModelFolder,
  mergeAdapter,
  parseEncoderConfig,
  poolTokens,
  readClassifier,
  readEncoderWeights,
  runLayers,
  unitLength,
  writeModelFolder,
} from '../../src/models/index.ts'
import { openInProcessRuntime, type Tensor } from '../../src/runtimes/index.ts'
import { createRng } from '../../src/util/index.ts'

const GOLDENS = join(import.meta.dirname, 'goldens', 'peft')
const golden = (path: string) => readFileSync(join(GOLDENS, path))
const expected = JSON.parse(golden('expected.json').toString()) as Record<
  'inputIds' | 'attentionMask' | 'unadaptedFirstToken' | 'meanOfTokens' | 'logits',
  number[][]
>
/** Both sides compute in 32-bit floats, in another order; values are of the order of 1. */
const TOLERANCE = 1e-5

const file = readSafetensors(golden('base/model.safetensors'))
const config = parseEncoderConfig({ config: golden('base/config.json').toString() })
const base = readEncoderWeights(file, config)
const readGolden = (name: string) =>
  readPeftAdapter({
    config: golden(`${name}/adapter_config.json`).toString(),
    weights: golden(`${name}/adapter_model.safetensors`),
  })

const runtime = await openInProcessRuntime()
afterAll(() => runtime.close())

interface Model {
  readonly config: EncoderConfig
  readonly weights: EncoderWeights
  /** On the pooled vector as it is; without one, that comes out at unit length. */
  readonly classifier?: Linear | undefined
}

/** The pooled vectors or the logits of the rows in the goldens, `[rows][width]`. */
async function answers({ config, weights, classifier }: Model): Promise<number[][]> {
  const ids = input(ENCODER_IDS, 'int64', ['batch', 'length'])
  const mask = input(ENCODER_MASK, 'int64', ['batch', 'length'])
  const modules = frozenModules(config, weights)
  const hidden = runLayers(embedTokens(ids, modules), mask, { config, layers: modules.layers })
  const pooled = poolTokens(hidden, mask, { config, pooler: modules.pooler })
  const output = classifier === undefined ? unitLength(pooled) : frozenLinear(classifier)(pooled)
  await runtime.load('model', emit('model', { inputs: [ids, mask], outputs: { output } }))
  const tensor = (rows: number[][]): Tensor => ({
    type: 'int64',
    dims: [rows.length, rows[0]?.length ?? 0],
    data: BigInt64Array.from(rows.flat(), BigInt),
  })
  const feeds = {
    [ENCODER_IDS]: tensor(expected.inputIds),
    [ENCODER_MASK]: tensor(expected.attentionMask),
  }
  const { output: got } = await runtime.run([{ session: 'model', feeds }])
  await runtime.unload('model')
  const values = Array.from(got?.data as Float32Array)
  const width = values.length / expected.inputIds.length
  return expected.inputIds.map((_, row) => values.slice(row * width, (row + 1) * width))
}

function expectClose(got: number[][], wanted: number[][], tolerance = TOLERANCE): void {
  expect(got.map(row => row.length)).toEqual(wanted.map(row => row.length))
  const worst = got.flat().map((value, i) => Math.abs(value - (wanted.flat()[i] as number)))
  expect(Math.max(...worst)).toBeLessThan(tolerance)
}

describe('adapters that PEFT trained', () => {
  it('start from the same base', async () => {
    const got = await answers({ config: { ...config, pooling: 'cls' }, weights: base })
    expectClose(got, expected.unadaptedFirstToken)
  })

  it('give the same mean of tokens when merged', async () => {
    const weights = mergeAdapter(base, readGolden('mean'))
    const mean = { ...config, pooling: 'mean' } as const
    expectClose(await answers({ config: mean, weights }), expected.meanOfTokens)
    const without = await answers({ config: mean, weights: base })
    expect(() => expectClose(without, expected.meanOfTokens, 0.01)).toThrow()
  })

  it('give the same logits when merged, with the classifier that they saved', async () => {
    const adapter = readGolden('classifier')
    const classifier = adapterClassifier(adapter, config.hiddenSize)
    const weights = mergeAdapter(base, adapter)
    expectClose(await answers({ config, weights, classifier }), expected.logits)
    const before = readClassifier(file.tensors, { inSize: config.hiddenSize })
    const without = await answers({ config, weights, classifier: before })
    expect(() => expectClose(without, expected.logits, 0.01)).toThrow()
  })
})

const rng = createRng('adapters of our own')
const random = (length: number) => Float32Array.from({ length }, () => 0.3 * rng.normal())

/** Random matrices for some modules of some layers, each of its own rank, with the classifier of the goldens. */
function ownAdapter(
  ranks: Readonly<Partial<Record<LayerLinear, number>>>,
  change: Partial<PeftAdapter> = {},
  layers: readonly number[] = [0, 1],
): PeftAdapter {
  const modules = layers.flatMap(i =>
    (Object.entries(ranks) as [LayerLinear, number][]).map(([name, rank]) => {
      const sizes = linearSizes(name, config)
      const a = random(rank * sizes.inSize)
      const b = random(sizes.outSize * rank)
      const path = `bert.${layerPath(i)}.${LAYER_LINEARS[name].path}`
      return [path, { a, b, rank, alpha: change.alpha ?? 8, ...sizes }] as const
    }),
  )
  return {
    rank: 4,
    alpha: 8,
    isRankStabilised: false,
    dropout: 0,
    targetModules: modules.map(([path]) => path),
    baseModel: 'tiny',
    taskType: 'SEQ_CLS',
    modules: new Map(modules),
    saved: readGolden('classifier').saved,
    ...change,
  }
}

/** The same by way of factors under the names that training gives them. */
function collected(): PeftAdapter {
  const { modules, saved, rank, alpha, baseModel } = ownAdapter({ query: 4, down: 4 }, {}, [1])
  const factors = [...modules].flatMap(([path, { a, b }]): [string, Float32Array][] => {
    const name = path.slice('bert.'.length)
    return [
      [`${name}.lora_A.weight`, a],
      [`${name}.lora_B.weight`, b],
    ]
  })
  const classifier = readClassifier(saved, { inSize: config.hiddenSize })
  return collectAdapter(new Map(factors), { rank, alpha, baseModel, classifier })
}

const all = { query: 4, key: 4, value: 4, attentionOutput: 4, up: 4, down: 4 }
const OWN: Record<string, { adapter: PeftAdapter; type?: 'F16' }> = {
  plain: { adapter: ownAdapter(all) },
  names: {
    adapter: ownAdapter(
      { query: 4, up: 4, attentionOutput: 4, down: 4 },
      { targetModules: ['query', 'intermediate.dense', 'output.dense'] },
    ),
  },
  top: { adapter: ownAdapter({ query: 4, value: 4 }, {}, [1]) },
  ranks: {
    adapter: ownAdapter({ query: 2, value: 4, down: 7 }, { alpha: 3, isRankStabilised: true }),
  },
  collected: { adapter: collected() },
  half: { adapter: ownAdapter({ query: 4, up: 4 }), type: 'F16' },
}

const python = process.env.UNDERSTUDY_PYTHON
const reason = python === undefined ? ' (skipped: UNDERSTUDY_PYTHON names no Python with peft)' : ''
const TEXTS = ['hello world', 'a b c!', 'worlds hello a']

describe.skipIf(reason !== '')(`what Understudy writes${reason}`, () => {
  it('answers the same in PEFT, transformers and sentence-transformers', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'understudy-peft-'))
    try {
      await check(folder)
    } finally {
      await rm(folder, { recursive: true })
    }
  }, 120_000)
})

async function check(folder: string): Promise<void> {
  const { inputIds, attentionMask } = expected
  await writeFile(
    join(folder, 'request.json'),
    JSON.stringify({ inputIds, attentionMask, texts: TEXTS }),
  )
  await cp(join(GOLDENS, 'base'), join(folder, 'base'), { recursive: true })
  const written = new Map<string, PeftFiles>()
  for (const [name, { adapter, type }] of Object.entries(OWN)) {
    const peft = writePeftAdapter(adapter, type === undefined ? {} : { type })
    written.set(name, peft)
    await mkdir(join(folder, 'adapters', name), { recursive: true })
    await writeFile(join(folder, 'adapters', name, 'adapter_config.json'), peft.config)
    await writeFile(join(folder, 'adapters', name, 'adapter_model.safetensors'), peft.weights)
  }
  const { adapter } = OWN.ranks as { adapter: PeftAdapter }
  const merged = classifierFolder(adapter)
  const sentences: ModelFolder = {
    ...merged,
    isNormalised: true,
    config: { ...config, pooling: 'mean', maxTokens: 7 },
  }
  await writeModelFolder(join(folder, 'merged'), merged)
  await writeModelFolder(join(folder, 'sentences'), sentences)
  const script = join(import.meta.dirname, 'check-peft.py')
  const { stdout } = await promisify(execFile)(python ?? '', [script, folder])
  const got = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Theirs

  for (const [name, files] of written) {
    const own = await answers(classifierFolder(readPeftAdapter(files)))
    expectClose(got.adapters[name] ?? [], own)
  }
  expectClose(got.merged, await answers(merged))
  expectClose(got.mergedPairs, got.adapterPairs.ranks ?? [])
  expect(got.labels).toEqual(['a', '2', 'ç'])
  expectClose(got.sentences, await sentenceLogits(join(folder, 'sentences'), sentences))
  expect(got.maxTokens).toBe(7)
}

interface Theirs {
  readonly adapters: Record<string, number[][]>
  readonly adapterPairs: Record<string, number[][]>
  readonly merged: number[][]
  readonly mergedPairs: number[][]
  readonly labels: string[]
  readonly sentences: number[][]
  readonly maxTokens: number
}

function classifierFolder(adapter: PeftAdapter): ModelFolder {
  return {
    config,
    weights: mergeAdapter(base, adapter),
    classifier: adapterClassifier(adapter, config.hiddenSize),
    labels: ['a', '2', 'ç'],
    isNormalised: false,
    tokenizer: new Map([['tokenizer.json', Buffer.from(toyTokenizer())]]),
    adapter,
  }
}

/** Our embeddings of the folder that was written, through its classifier in plain loops. */
async function sentenceLogits(folder: string, { classifier }: ModelFolder): Promise<number[][]> {
  const encoder = await createEncoder({ name: 'sentences', source: folder, runtime })
  const embeddings = await encoder.embed(TEXTS)
  const { weight, bias } = classifier as Linear
  return TEXTS.map((_, row) =>
    Array.from(bias, (start, to) => {
      let sum = start
      for (let i = 0; i < encoder.dimension; i++) {
        sum +=
          (embeddings[row * encoder.dimension + i] as number) *
          (weight[i * bias.length + to] as number)
      }
      return sum
    }),
  )
}
