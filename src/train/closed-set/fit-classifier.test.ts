import { afterAll, describe, expect, it } from 'vitest'
import { emit, float32, Gather, input } from '../../engine/index.ts'
import { type EncoderHandle, loadClassifier } from '../../models/index.ts'
import { openInProcessRuntime } from '../../runtimes/index.ts'
import { createRng, hash32 } from '../../util/index.ts'
import { type FitClassifierOptions, fitClassifier } from './fit-classifier.ts'

const runtime = await openInProcessRuntime()
const encoder = await toyEncoder()
afterAll(() => runtime.close())

/** An "encoder" of 16 dimensions: a hashed average of words, through a real graph, so that chaining is real too. */
async function toyEncoder(): Promise<EncoderHandle> {
  const dimension = 16
  const rows = 512
  const rng = createRng('toy')
  const table = Float32Array.from({ length: rows * dimension }, () => rng.normal())
  for (let row = 0; row < rows; row++) {
    const own = table.subarray(row * dimension, (row + 1) * dimension)
    const length = Math.hypot(...own)
    own.forEach((value, i) => {
      own[i] = value / length
    })
  }
  const index = input('index', 'int64', ['batch'])
  const embedding = Gather(float32('table', table, [rows, dimension]), index)
  await runtime.load('toy', emit('toy', { inputs: [index], outputs: { embedding } }))
  const rowOf = (text: string) => hash32(text.split(' ')[0] ?? '') % rows
  return {
    name: 'toy',
    weightsHash: 'a'.repeat(64),
    dimension,
    runtime,
    session: 'toy',
    output: 'embedding',
    base: null,
    feeds: texts => ({
      index: {
        type: 'int64',
        dims: [texts.length],
        data: BigInt64Array.from(texts, text => BigInt(rowOf(text))),
      },
    }),
    async embed(texts, { onProgress } = {}) {
      const all = new Float32Array(texts.length * dimension)
      texts.forEach((text, i) => {
        const from = rowOf(text) * dimension
        all.set(table.subarray(from, from + dimension), i * dimension)
      })
      onProgress?.(texts.length)
      return all
    },
    close: async () => {},
  }
}

const SUBJECTS = ['card', 'loan', 'transfer', 'refund', 'fee', 'limit']
const PHRASES = [
  'where is my',
  'tell me about the',
  'problem with a',
  'i need help on this',
  'cancel my',
]

/** Texts whose class is their subject; `noise` is the share of random labels. */
function someData(count: number, { classCount = 4, noise = 0 } = {}) {
  const rng = createRng(`data ${count}`)
  const inputs: string[] = []
  const labels = new Int32Array(count)
  for (let i = 0; i < count; i++) {
    const label = rng.int(classCount)
    const subject = SUBJECTS[label % SUBJECTS.length] as string
    inputs.push(`${subject} ${rng.pick(PHRASES)} ${subject} ${rng.int(1000)}`)
    labels[i] = rng.next() < noise ? rng.int(classCount) : label
  }
  return { inputs, labels, groups: Int32Array.from(labels.keys()), classCount }
}

function options(
  data: ReturnType<typeof someData>,
  changes: Partial<FitClassifierOptions> = {},
): FitClassifierOptions {
  return {
    ...data,
    encoder: null,
    runtime: null,
    rng: createRng('fit'),
    signal: new AbortController().signal,
    budgetMs: 60_000,
    targetRisk: 0.05,
    onProgress: () => {},
    ...changes,
  }
}

const withEncoder = { encoder, runtime }
const mean = (values: Iterable<number>) => {
  const all = [...values]
  return all.reduce((a, b) => a + b, 0) / all.length
}

describe('fitClassifier', () => {
  it('offers the reflex alone without an encoder, and both with one', async () => {
    const data = someData(60)
    expect((await fitClassifier(options(data))).map(one => one.name)).toEqual(['reflex'])
    const both = await fitClassifier(options(data, withEncoder))
    expect(both.map(one => one.name)).toEqual(['reflex', 'encoder'])
  })

  it('learns what can be learned, and the certified bytes answer it', async () => {
    const data = someData(300)
    for (const candidate of await fitClassifier(options(data, withEncoder))) {
      const { manifest, blobs, outOfFoldLabels, outOfFoldScores } = candidate
      const classifier = await loadClassifier(manifest, blobs, withEncoder)
      const { labels, scores, details } = await classifier.predict([
        'loan tell me about the loan 700',
        'card cancel my card 123',
      ])
      expect(labels[0]).toBe(1)
      expect(scores.every(score => score > 0 && score <= 1)).toBe(true)
      expect(details(0).candidates[0]?.label).toBe(1)
      expect(Object.keys(details(0).parts)[0]).toBe('reflex')
      expect(details(0).neighbours.length).toBe(candidate.name === 'encoder' ? 16 : 0)
      expect(() => details(2)).toThrow(/no prediction/)
      const right = outOfFoldLabels.map((label, row) => (label === data.labels[row] ? 1 : 0))
      expect(mean(right)).toBeGreaterThan(0.95)
      expect(mean(outOfFoldScores)).toBeCloseTo(mean(right), 1)
      await classifier.close()
    }
  })

  it('gives identical bytes for the same seed', async () => {
    const data = someData(120, { noise: 0.1 })
    const first = await fitClassifier(options(data, withEncoder))
    const second = await fitClassifier(options(data, withEncoder))
    // Blobs are named by their SHA-256: equal names are equal bytes.
    const essence = (all: typeof first) =>
      all.map(one => [
        one.manifest,
        [...one.blobs.keys()],
        one.outOfFoldScores,
        one.outOfFoldLabels,
      ])
    expect(essence(second)).toEqual(essence(first))
    const other = await fitClassifier(options(data, { rng: createRng('other') }))
    expect(other[0]?.manifest).not.toEqual(first[0]?.manifest)
  })

  it('predicts a text alone exactly as in a batch', async () => {
    const data = someData(120, { noise: 0.1 })
    for (const { manifest, blobs } of await fitClassifier(options(data, withEncoder))) {
      const classifier = await loadClassifier(manifest, blobs, withEncoder)
      const texts = [...data.inputs.slice(0, 20), '', 'x'.repeat(50_000)]
      const batch = await classifier.predict(texts)
      for (const [i, text] of texts.entries()) {
        const { scores, labels } = await classifier.predict([text])
        expect(scores[0]).toBe(batch.scores[i])
        expect(labels[0]).toBe(batch.labels[i])
      }
      await classifier.close()
    }
  })

  it('does not believe random labels', async () => {
    const data = someData(400, { classCount: 5, noise: 1 })
    for (const candidate of await fitClassifier(options(data, withEncoder))) {
      const { outOfFoldLabels, outOfFoldScores } = candidate
      const right = outOfFoldLabels.map((label, row) => (label === data.labels[row] ? 1 : 0))
      expect(mean(right)).toBeLessThan(0.35)
      expect(mean(outOfFoldScores)).toBeCloseTo(mean(right), 1)
      expect(Math.max(...outOfFoldScores)).toBeLessThan(0.8)
    }
  })

  it('counts rows whose answer is no class as wrong, and learns nothing from them', async () => {
    const data = someData(200)
    data.labels.fill(-1, 0, 100)
    for (const { outOfFoldScores } of await fitClassifier(options(data, withEncoder))) {
      expect(mean(outOfFoldScores)).toBeCloseTo(0.5, 1)
    }
  })

  it.each([
    ['two examples', someData(2, { classCount: 2 })],
    ['one example', someData(1, { classCount: 3 })],
    ['one class', someData(40, { classCount: 1 })],
    ['one heavy duplicate', { ...someData(40), groups: new Int32Array(40) }],
    ['no usable label', { ...someData(10), labels: new Int32Array(10).fill(-1) }],
    ['a class seen once', { ...someData(40, { classCount: 2 }), classCount: 3 }],
    ['empty texts', { ...someData(20), inputs: new Array<string>(20).fill('') }],
    ['1,000 classes', { ...someData(50, { classCount: 6 }), classCount: 1000 }],
  ])('gives finite scores in [0, 1] and classes that exist for %s', async (_name, data) => {
    for (const candidate of await fitClassifier(options(data, withEncoder))) {
      const classifier = await loadClassifier(candidate.manifest, candidate.blobs, withEncoder)
      const { labels, scores } = await classifier.predict(['', 'card', data.inputs[0] as string])
      for (const score of [...scores, ...candidate.outOfFoldScores]) {
        expect(score >= 0 && score <= 1).toBe(true)
      }
      for (const label of [...labels, ...candidate.outOfFoldLabels]) {
        expect(label >= 0 && label < data.classCount).toBe(true)
      }
      expect(candidate.outOfFoldScores.length).toBe(data.inputs.length)
      await classifier.close()
    }
  })

  it('reports progress up to its end, and stops when cancelled', async () => {
    const seen = new Map<string, number>()
    const data = someData(200)
    const onProgress = (stage: string, doneCount: number, totalCount: number) => {
      seen.set(stage, doneCount / totalCount)
    }
    await fitClassifier(options(data, { ...withEncoder, onProgress }))
    expect([...seen.keys()].sort()).toEqual(['embeddings', 'head', 'neighbours', 'reflex'])
    expect([...seen.values()].every(share => share === 1)).toBe(true)
    const stop = new AbortController()
    const fitting = fitClassifier(
      options(data, { signal: stop.signal, onProgress: () => stop.abort() }),
    )
    await expect(fitting).rejects.toMatchObject({ code: 'cancelled' })
  })

  it('still gives a classifier when there is no time at all', async () => {
    const candidates = await fitClassifier(options(someData(200), { budgetMs: 0 }))
    expect(candidates.map(one => one.name)).toEqual(['reflex'])
  })
})

describe('loadClassifier', () => {
  it('refuses damaged manifests, blobs and combiners', async () => {
    const [, fitted] = await fitClassifier(options(someData(60), withEncoder))
    if (fitted?.manifest.encoder == null) throw new Error('no encoder candidate')
    const { manifest, blobs } = fitted
    const encoderPart = fitted.manifest.encoder
    const { combiner } = manifest
    const damaged: unknown[] = [
      null,
      'text',
      {},
      { ...manifest, version: 2 },
      { ...manifest, classCount: 5 },
      { ...manifest, classCount: 0 },
      { ...manifest, reflex: { ...manifest.reflex, bits: 3 } },
      { ...manifest, reflex: { ...manifest.reflex, blob: 'b'.repeat(64) } },
      { ...manifest, encoder: { ...encoderPart, neighbourCount: 5 } },
      { ...manifest, encoder: { ...encoderPart, headBlob: manifest.reflex.blob } },
      { ...manifest, combiner: { ...combiner, poolWeights: [1] } },
      { ...manifest, combiner: { ...combiner, means: [] } },
      { ...manifest, combiner: { ...combiner, deviations: combiner.deviations.map(() => 0) } },
    ]
    for (const value of damaged) {
      await expect(loadClassifier(value, blobs, withEncoder)).rejects.toMatchObject({
        code: 'model-corrupt',
      })
    }
    for (const [hash, bytes] of blobs) {
      const flipped = bytes.slice()
      flipped[5] = (flipped[5] as number) ^ 1
      const tampered = new Map([...blobs, [hash, flipped]])
      await expect(loadClassifier(manifest, tampered, withEncoder)).rejects.toMatchObject({
        code: 'model-corrupt',
      })
    }
  })

  it('says which encoder is missing or another', async () => {
    const [, fitted] = await fitClassifier(options(someData(60), withEncoder))
    if (fitted === undefined) throw new Error('no encoder candidate')
    const { manifest, blobs } = fitted
    for (const given of [null, { ...encoder, weightsHash: 'c'.repeat(64) }]) {
      await expect(
        loadClassifier(manifest, blobs, { encoder: given, runtime }),
      ).rejects.toMatchObject({ code: 'model-unavailable', message: /toy/ })
    }
  })

  it('is cancelled between texts', async () => {
    const [fitted] = await fitClassifier(options(someData(30)))
    if (fitted === undefined) throw new Error('no candidate')
    const classifier = await loadClassifier(fitted.manifest, fitted.blobs, withEncoder)
    const signal = AbortSignal.abort()
    await expect(classifier.predict(['a', 'b'], { signal })).rejects.toMatchObject({
      code: 'cancelled',
    })
  })
})
