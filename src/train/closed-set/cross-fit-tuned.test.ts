/** The fine-tuned candidate from rows to served bytes, on a tiny BERT with random weights. */
import { afterAll, expect, it } from 'vitest'
import { toyFiles } from '../../models/__fixtures__/toy-bert.ts'
import { createEncoder, loadClassifier } from '../../models/index.ts'
import { openInProcessRuntime } from '../../runtimes/index.ts'
import { createRng } from '../../util/index.ts'
import { type FitClassifierOptions, fitClassifier } from './fit-classifier.ts'

const runtime = await openInProcessRuntime({ threads: 1 })
const encoder = await createEncoder({ name: 'toy', source: toyFiles(), runtime })
afterAll(() => runtime.close())

/** Which of two words is there, among others; one label in eight is wrong, so that nothing answers everything. */
function someData(count: number) {
  const rng = createRng('tuned')
  const words = ['c', 'hello', 'world', '!']
  const rows = Array.from({ length: count }, () => {
    const label = rng.int(2)
    const text = Array.from({ length: 4 }, () => rng.pick(words))
    text[rng.int(4)] = label === 0 ? 'a' : 'b'
    return { text: text.join(' '), label: rng.int(8) === 0 ? 1 - label : label }
  })
  return {
    inputs: rows.map(({ text }) => text),
    labels: Int32Array.from(rows, ({ label }) => label),
    groups: Int32Array.from(rows.keys()),
    classCount: 2,
  }
}

const options = (changes: Partial<FitClassifierOptions> = {}): FitClassifierOptions => ({
  ...someData(300),
  encoder,
  runtime,
  training: runtime,
  rng: createRng('fit'),
  signal: new AbortController().signal,
  budgetMs: 120_000,
  targetRisk: 0.01,
  onProgress: () => {},
  ...changes,
})

it('is offered beside reflex and frozen encoder, and its bytes serve what they promise', async () => {
  const { inputs, labels } = someData(300)
  const candidates = await fitClassifier(options())
  expect(candidates.map(({ name }) => name)).toEqual([
    'reflex',
    'encoder',
    expect.stringMatching(/^encoder, (full|lora) fine-tuned$/),
  ])
  const [, , tuned] = candidates as [unknown, unknown, (typeof candidates)[number]]
  const agreed = tuned.outOfFoldLabels.filter((label, row) => label === labels[row]).length
  expect(agreed / labels.length).toBeGreaterThan(0.75)
  const classifier = await loadClassifier(tuned.manifest, tuned.blobs, { encoder, runtime })
  const { labels: served, details } = await classifier.predict(inputs)
  const right = served.filter((label, row) => label === labels[row]).length
  expect(right / labels.length).toBeGreaterThan(0.8)
  expect(Object.keys(details(0).parts)).toEqual(['reflex', 'head', 'neighbours'])
  await classifier.close()
})

it('is left out without time, without training, and where the frozen encoder does', async () => {
  const names = async (changes: Partial<FitClassifierOptions>) =>
    (await fitClassifier(options(changes))).map(({ name }) => name)
  expect(await names({ training: null })).toEqual(['reflex', 'encoder'])
  expect(await names({ budgetMs: 1 })).not.toContainEqual(expect.stringMatching('fine-tuned'))
  expect(await names({ targetRisk: 0.9 })).toEqual(['reflex', 'encoder'])
})

it('refuses layers that are damaged', async () => {
  const [, , tuned] = await fitClassifier(options())
  const blob = tuned?.manifest.encoder?.tuned?.layersBlob ?? ''
  const blobs = new Map(tuned?.blobs).set(blob, new Uint8Array(9))
  await expect(loadClassifier(tuned?.manifest, blobs, { encoder, runtime })).rejects.toMatchObject({
    code: 'model-corrupt',
  })
})
