import { describe, expect, it } from 'vitest'
import type { ClosedSetSchema } from '../tasks/index.ts'
import { createRng } from '../util/index.ts'
import { createClosedSetLearner, loadClosedSetSpecialist } from './closed-set-learner.ts'
import type { TrainingExample } from './learner.ts'

const reflexOnly = { encoder: null, runtime: null }
const learner = createClosedSetLearner(reflexOnly)

const schema: ClosedSetSchema = {
  classes: ['billing', 'other', 'technical'].map(label => ({
    key: label,
    label,
    answer: { kind: 'text', text: label },
  })),
}

function someExamples(count: number): TrainingExample<string>[] {
  const rng = createRng('examples')
  const words = { billing: 'invoice payment', other: 'hello thanks', technical: 'crash error' }
  return Array.from({ length: count }, (_, i) => {
    const output = rng.pick(Object.keys(words) as (keyof typeof words)[])
    const input = `${rng.pick(words[output].split(' '))} number ${i}`
    return { id: `trace-${i}`, input, group: `group-${i}`, output }
  })
}

const context = () => ({
  rng: createRng('learn'),
  signal: new AbortController().signal,
  budgetMs: 30_000,
  targetRisk: 0.05,
  onProgress: () => {},
})

async function learned(examples = someExamples(90)) {
  const [candidate] = await learner.fit(schema, examples, context())
  if (candidate === undefined) throw new Error('no candidate')
  return candidate
}

describe('the closed-set learner', () => {
  it('gives a specialist that answers with class keys, alone as in a batch', async () => {
    const { specialist, name } = await learned()
    expect([name, specialist.tier]).toEqual(['reflex', 'reflex'])
    const partials: string[] = []
    const answer = await specialist.answer('payment of my invoice', undefined, partial =>
      partials.push(partial),
    )
    expect(answer.output).toBe('billing')
    expect(partials).toEqual(['billing'])
    expect(answer.evidence.candidates?.[0]).toMatchObject({ output: 'billing' })
    const inputs = ['payment of my invoice', '', 'crash 💥', 'x'.repeat(50_000)]
    const batch = await specialist.answerBatch(inputs)
    expect(await Promise.all(inputs.map(input => specialist.answer(input)))).toEqual(batch)
  })

  it('counts an answer outside the schema as a loss and an unknown key likewise', async () => {
    const examples = someExamples(60).map((example, i) =>
      i % 3 === 0 ? { ...example, output: i % 2 === 0 ? null : 'no such class' } : example,
    )
    const { outOfFoldLosses, outOfFoldScores } = await learned(examples)
    expect(outOfFoldScores.length).toBe(60)
    examples.forEach((_, i) => {
      if (i % 3 === 0) expect(outOfFoldLosses[i]).toBe(1)
    })
  })

  it('has the same hash for the same seed, and another for other examples', async () => {
    const { specialist } = await learned()
    expect((await learned()).specialist.hash).toBe(specialist.hash)
    expect((await learned(someExamples(89))).specialist.hash).not.toBe(specialist.hash)
  })

  it('offers nothing where there is nothing to learn from', async () => {
    expect(await learner.fit(schema, [], context())).toEqual([])
    expect(await learner.fit({ classes: [] }, someExamples(5), context())).toEqual([])
  })
})

describe('loadClosedSetSpecialist', () => {
  it('rebuilds the specialist from its JSON and blobs: same hash, same answers', async () => {
    const { specialist, manifest, blobs } = await learned()
    const stored = JSON.parse(JSON.stringify(manifest)) as unknown
    const asked: string[] = []
    const getBlob = async (hash: string) => {
      asked.push(hash)
      return blobs.get(hash) as Uint8Array
    }
    const loaded = await loadClosedSetSpecialist(stored, schema, getBlob, reflexOnly)
    expect(loaded.hash).toBe(specialist.hash)
    expect(new Set(asked)).toEqual(new Set(blobs.keys()))
    const inputs = ['error on start', 'thanks a lot', 'invoice']
    expect(await loaded.answerBatch(inputs)).toEqual(await specialist.answerBatch(inputs))
  })

  it('refuses what is damaged or belongs to another task', async () => {
    const { manifest, blobs } = await learned()
    const good = manifest as Record<string, unknown>
    const getBlob = async (hash: string) => blobs.get(hash) ?? new Uint8Array()
    const fewer = { classes: schema.classes.slice(1) }
    const wrong: [unknown, ClosedSetSchema][] = [
      [null, schema],
      [{}, schema],
      [good, fewer],
      [{ ...good, classes: ['billing'] }, schema],
      [{ ...good, classes: 7 }, schema],
      [{ ...good, exampleIdsBlob: 'f'.repeat(64) }, schema],
      [{ ...good, classifier: { ...(good.classifier as object), classCount: 2 } }, schema],
    ]
    for (const [value, task] of wrong) {
      await expect(loadClosedSetSpecialist(value, task, getBlob, reflexOnly)).rejects.toMatchObject(
        { code: 'model-corrupt' },
      )
    }
  })
})
