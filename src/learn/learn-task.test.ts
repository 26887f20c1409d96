/** The path of `learn` on a toy kind of output: numbers with a graded loss, so that nothing of the closed set can leak. */
import { describe, expect, it } from 'vitest'
import type { SpecialistAnswer } from '../models/index.ts'
import { type OutputKind, splitInputs } from '../tasks/index.ts'
import { createRng } from '../util/index.ts'
import {
  type Candidate,
  type LearnExample,
  type Learned,
  type Learner,
  type LearnTaskInput,
  learnTask,
} from './index.ts'
import { leadAgainstItself } from './lead-against-itself.ts'

interface Range {
  readonly low: number
  readonly high: number
}

/** Answers that are numbers; the loss is the distance as a share of the range. */
const numberKind: OutputKind<number, Range> = {
  name: 'number',
  recognise(answers) {
    const numbers = answers.flatMap(answer =>
      answer?.kind === 'text' && /^\d+$/.test(answer.text) ? [Number(answer.text)] : [],
    )
    if (numbers.length < 3) return { schema: null, reason: 'too few numbers' }
    return { schema: { low: Math.min(...numbers), high: Math.max(...numbers) } }
  },
  parse: (_schema, answer) =>
    answer.kind === 'text' && /^\d+$/.test(answer.text) ? Number(answer.text) : null,
  render: (_schema, output) => ({ kind: 'text', text: String(Math.round(output)) }),
  compare: ({ low, high }, expected, got) =>
    expected === null ? 1 : Math.min(1, Math.abs(expected - got) / Math.max(1, high - low)),
}

interface ToyCandidate {
  readonly name: string
  readonly predict: (input: string) => SpecialistAnswer<number>
  /** What it claims of itself out of fold. */
  readonly lossOutOfFold: number
}

const seen = { training: [] as string[], answered: [] as string[], closed: [] as string[] }

function toyLearner(candidates: readonly ToyCandidate[] = [honest]): Learner<number, Range> {
  Object.assign(seen, { training: [], answered: [], closed: [] })
  return {
    kind: numberKind,
    async fit(_schema, examples) {
      seen.training = examples.map(example => example.input)
      return candidates.map(
        ({ name, predict, lossOutOfFold }): Candidate<number> => ({
          name,
          manifest: { name },
          blobs: new Map(),
          outOfFoldScores: Float64Array.from(examples, ({ input }) => predict(input).score),
          outOfFoldLosses: Float64Array.from(examples, () => lossOutOfFold),
          specialist: {
            hash: name,
            tier: 'reflex',
            answer: async input => predict(input),
            answerBatch: async inputs => {
              seen.answered = [...inputs]
              return inputs.map(predict)
            },
            close: async () => {
              seen.closed.push(name)
            },
          },
        }),
      )
    },
  }
}

/** Reads the number off the text; sure unless the text says "perhaps". */
const honest: ToyCandidate = {
  name: 'honest',
  lossOutOfFold: 0,
  predict: input => ({
    output: Number(/\d+/.exec(input)?.[0] ?? 0),
    score: input.includes('perhaps') ? 0.2 : 0.9,
    evidence: {},
  }),
}

const words =
  'amber birch cedar delta ember fjord grove heron inlet jetty kelp lotus maple north olive'.split(
    ' ',
  )

function examples(count: number, change: Partial<LearnExample> = {}): LearnExample[] {
  const rng = createRng('toy')
  return Array.from({ length: count }, (_, i) => {
    const text = Array.from({ length: 6 }, () => rng.pick(words)).join(' ')
    const amount = rng.int(100)
    return {
      id: `dec_${String(i).padStart(6, '0')}`,
      input: `${text} pay ${amount} euros for item ${i * 7919}`,
      answer: { kind: 'text', text: String(amount) },
      time: new Date(1_700_000_000_000 + i * 1000).toISOString(),
      ...change,
    }
  })
}

function learn(changes: Partial<LearnTaskInput<number, Range>> = {}) {
  return learnTask({
    examples: examples(600),
    learner: toyLearner(),
    targetRisk: 0.05,
    delta: 0.1,
    promise: 'selective',
    seed: 7,
    budgetMs: 1000,
    signal: new AbortController().signal,
    ...changes,
  })
}

async function learned(changes: Partial<LearnTaskInput<number, Range>> = {}) {
  const outcome = await learn(changes)
  if (!outcome.learnable) expect.fail(outcome.reason)
  return outcome as Learned<number, Range>
}

describe('learnTask', () => {
  it('learns and certifies a kind of output it has never heard of', async () => {
    const outcome = await learned()
    expect(outcome.certification).toMatchObject({ claimed: true, coverage: 1, lossSum: 0 })
    expect(outcome.schema.high).toBeLessThan(100)
    expect(outcome.table.map(row => row.targetRisk)).toEqual([0.01, 0.02, 0.05, 0.1])
    expect(outcome.rows).toHaveLength(outcome.counts.certificationGroupCount)
    expect(outcome.counts.certificationGroupCount).toBeGreaterThan(70)
    expect(outcome.set.id).toMatch(/^set_[0-9a-f]{26}$/)
  })

  it('tests graded losses by Hoeffding–Bentkus', async () => {
    const off: ToyCandidate = {
      ...honest,
      predict: input => ({ ...honest.predict(input), output: Number(/\d+/.exec(input)?.[0]) + 1 }),
    }
    const { certification } = await learned({ learner: toyLearner([off]), targetRisk: 0.1 })
    expect(certification).toMatchObject({ claimed: true })
    expect(certification.claimed && certification.method).toContain('Hoeffding–Bentkus')
  })

  it('shows the learner and the schema nothing of the certification side', async () => {
    await learned()
    const overlap = seen.training.filter(input => seen.answered.includes(input))
    expect(overlap).toEqual([])
    expect(seen.training.length + seen.answered.length).toBe(600)
  })

  it('chooses the candidate by its out-of-fold results, and closes the others', async () => {
    const better: ToyCandidate = { ...honest, name: 'better', lossOutOfFold: 0.02 }
    const worse: ToyCandidate = { ...honest, name: 'worse', lossOutOfFold: 0.4 }
    const outcome = await learned({ learner: toyLearner([worse, better]) })
    expect(outcome.candidate.name).toBe('better')
    expect(outcome.candidates.map(each => each.isChosen)).toEqual([false, true])
    expect(seen.closed).toEqual(['worse'])
  })

  it('counts refused, truncated and unreadable answers as different, and never drops them', async () => {
    const all = examples(600)
    const spoiled = all.map((example, i) =>
      i % 4 === 0
        ? { ...example, answer: i % 8 === 0 ? null : { kind: 'text' as const, text: 'no' } }
        : example,
    )
    const outcome = await learned({ examples: spoiled })
    expect(outcome.rows).toHaveLength(outcome.counts.certificationGroupCount)
    const lost = outcome.rows.filter(row => row.loss === 1)
    expect(lost.length / outcome.rows.length).toBeGreaterThan(0.15)
    expect(lost.every(row => row.expected === null)).toBe(true)
    expect(outcome.certification.claimed).toBe(false)
  })

  it('never serves an abstention', async () => {
    const shy: ToyCandidate = {
      ...honest,
      predict: input =>
        /[02468] euros/.test(input)
          ? { output: null, score: 1, evidence: {} }
          : honest.predict(input),
    }
    const { certification, rows } = await learned({
      learner: toyLearner([shy]),
      examples: examples(1200),
    })
    const abstained = rows.filter(row => row.got === null)
    expect(abstained.length).toBeGreaterThan(0)
    expect(abstained.every(row => Number.isNaN(row.score))).toBe(true)
    expect(certification).toMatchObject({ servedCount: rows.length - abstained.length })
  })

  it('teaches and certifies a heavy duplicate once', async () => {
    const all = examples(300)
    const heavy = Array.from({ length: 5000 }, (_, i) => ({
      ...(all[0] as LearnExample),
      id: `heavy_${i}`,
    }))
    const outcome = await learned({ examples: [...all, ...heavy] })
    expect(new Set(seen.training).size).toBe(seen.training.length)
    expect(new Set(outcome.rows.map(row => row.group)).size).toBe(outcome.rows.length)
    expect(outcome.counts).toMatchObject({ requestCount: 5300, distinctInputCount: 300 })
  })

  it('teaches a repeated input by its most frequent answer', async () => {
    const [first, ...rest] = examples(200) as [LearnExample, ...LearnExample[]]
    const answers = ['11', '11', '99'].map((text, i) => ({
      ...first,
      id: `again_${i}`,
      answer: { kind: 'text' as const, text },
    }))
    const taught: (number | null)[] = []
    const learner = toyLearner()
    await learned({
      examples: [...answers, ...rest],
      certificationShare: 0.5,
      // A salt under which the repeated input trains.
      seed: saltThatTrains(first.input),
      learner: {
        ...learner,
        fit: (schema, list, context) => {
          taught.push(...list.filter(each => each.input === first.input).map(each => each.output))
          return learner.fit(schema, list, context)
        },
      },
    })
    expect(taught).toEqual([11])
  })

  it('gives the same outcome for the same seed, whatever the order within a group', async () => {
    const all = [...examples(300), ...examples(300).map(each => ({ ...each, id: `${each.id}b` }))]
    const one = await learned({ examples: all })
    const swapped = all.map((_, i) => all[(i + 300) % 600] as LearnExample)
    const other = await learned({ examples: swapped })
    expect(other.rows.map(row => row.id)).toEqual(one.rows.map(row => row.id))
    expect(other.certification).toEqual(one.certification)
  })

  it('keeps the sides of earlier runs when traffic is added', async () => {
    const first = await learned({ examples: examples(300) })
    const second = await learned({
      examples: examples(600),
      existing: first.split.added,
      seed: 'other',
    })
    const before = new Map(first.split.added.map(row => [row.inputHash, row.side]))
    for (const row of second.split.ofInput) {
      if (before.has(row.inputHash)) expect(row.side).toBe(before.get(row.inputHash))
    }
    expect(second.split.added).toHaveLength(300)
  })

  it('says why a task cannot be learned', async () => {
    const codes = async (changes: Partial<LearnTaskInput<number, Range>>) => {
      const outcome = await learn(changes)
      return outcome.learnable ? 'learned' : outcome.code
    }
    expect(await codes({ examples: [] })).toBe('no-examples')
    expect(await codes({ certificationShare: 1 })).toBe('no-training-examples')
    expect(await codes({ certificationShare: 0 })).toBe('no-certification-examples')
    expect(await codes({ examples: examples(100, { answer: null }) })).toBe('output-kind')
    expect(await codes({ learner: toyLearner([]) })).toBe('no-candidate')
    expect(await codes({ examples: examples(1) })).toBe('no-certification-examples')
  })

  it('answers "no claim" for a handful of examples', async () => {
    const outcome = await learned({ examples: examples(30) })
    expect(outcome.certification).toMatchObject({ claimed: false, code: 'too-few-examples' })
    const { moreRequests } = outcome.certification as { moreRequests: number }
    // At least 45 error-free groups, of which one request in five becomes one.
    expect(moreRequests).toBeGreaterThan(150)
  })

  it('measures the lead against itself on inputs that came back', async () => {
    const again = examples(400).map((example, i) => ({
      ...example,
      id: `${example.id}b`,
      answer: i % 2 === 0 ? example.answer : { kind: 'text' as const, text: '7' },
    }))
    const { rows, requests } = await learned({ examples: [...examples(400), ...again] })
    const { inputCount, rate, floor } = leadAgainstItself(requests, 0)
    expect(inputCount).toBe(rows.length)
    expect(rate).toBeGreaterThan(0.3)
    expect(rate).toBeLessThan(0.7)
    expect(floor).toBe(rate / 2)
  })

  it('stops when told to', async () => {
    await expect(learn({ signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'cancelled',
    })
  })
})

function saltThatTrains(input: string): number {
  for (let seed = 1; ; seed++) {
    const { added } = splitInputs({ inputs: [input], salt: String(seed), certificationShare: 0.5 })
    if (added[0]?.side === 'training') return seed
  }
}
