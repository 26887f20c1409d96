/**
 * Repetitions of `learn` in worlds whose truth is known: a finite population of input groups, a training sample, and fresh
 * certification samples from the groups that the salt puts on the certification side. A promise is conditional on what was
 * fitted, so several certification samples per fitted specialist are independent repetitions of it; the fit is the only
 * step that is remembered between them, everything else of `learnTask` runs anew each time.
 */
import { type CertificationOutcome, type PromiseKind, serves } from '../../src/evals/index.ts'
import {
  createClosedSetLearner,
  type LearnExample,
  type Learned,
  type Learner,
  learnTask,
} from '../../src/learn/index.ts'
import { binomialSf } from '../../src/stats/index.ts'
import { type ClosedSetSchema, splitInputs } from '../../src/tasks/index.ts'
import { createRng, type Rng } from '../../src/util/index.ts'
import type { Family } from './population.ts'

export type LabelLearner = Learner<string, ClosedSetSchema>

export const DELTA = 0.1

/** The reflex, as `learn` uses it without models and network. */
export const reflexLearner = (): LabelLearner =>
  createClosedSetLearner({ encoder: null, runtime: null })

export interface Scenario {
  readonly name: string
  readonly population: (seed: string) => readonly Family[]
  readonly learner?: () => LabelLearner
  readonly trainingFamilies: number
  readonly certificationFamilies: number
  readonly targetRisks: readonly number[]
  /** Fitted specialists, and certification samples for each. */
  readonly worlds: number
  readonly looksPerWorld: number
}

/** How one statement (a promise at a target risk) fared over all repetitions. */
export interface Tally {
  readonly promise: PromiseKind
  readonly targetRisk: number
  repetitions: number
  claims: number
  violations: number
  coverageSum: number
}

/** What a specialist does on every family of the certification side: the truth that promises are held against. */
export interface Truth {
  readonly scores: readonly number[][]
  readonly losses: readonly number[][]
}

/** Runs a scenario; one tally per statement. `decide` may replace the honest certificates, to see a leak caught. */
export async function runScenario(
  scenario: Scenario,
  decide: (world: World, learned: Learned<string, ClosedSetSchema>) => Promise<Decided[]> = honest,
): Promise<Tally[]> {
  const tallies = new Map<string, Tally>()
  for (let number = 0; number < scenario.worlds; number++) {
    const world = makeWorld(scenario, `${scenario.name}/${number}`)
    for (let look = 0; look < scenario.looksPerWorld; look++) {
      const outcome = await world.learn(look)
      const decided = outcome === null ? [] : await decide(world, outcome)
      for (const { outcome: made, truth } of decided) count(tallies, made, truth)
    }
    await world.close()
  }
  const result = [...tallies.values()]
  report(scenario.name, result)
  return result
}

/** One line per statement, so that a run of the suite shows the rates it measured. */
function report(name: string, tallies: readonly Tally[]): void {
  for (const { promise, targetRisk, repetitions, claims, violations, coverageSum } of tallies) {
    const coverage = claims === 0 ? '-' : (coverageSum / claims).toFixed(2)
    console.info(
      `${name}: ${promise} at ${targetRisk}: ${violations} violations and ${claims} claims in ${repetitions} repetitions, mean coverage ${coverage}`,
    )
  }
}

export interface Decided {
  readonly outcome: CertificationOutcome
  readonly truth: Truth
}

async function honest(world: World, learned: Learned<string, ClosedSetSchema>): Promise<Decided[]> {
  const truth = await world.truth(learned)
  return learned.table.flatMap(({ selective, marginal }) => [
    { outcome: selective, truth },
    { outcome: marginal, truth },
  ])
}

function count(tallies: Map<string, Tally>, outcome: CertificationOutcome, truth: Truth): void {
  const { promise, targetRisk } = outcome
  const key = `${promise} ${targetRisk}`
  const tally = tallies.get(key) ?? {
    promise,
    targetRisk,
    repetitions: 0,
    claims: 0,
    violations: 0,
    coverageSum: 0,
  }
  tallies.set(key, tally)
  tally.repetitions++
  if (!outcome.claimed) return
  tally.claims++
  tally.coverageSum += outcome.coverage
  if (trueRisk(truth, outcome.threshold, promise) > targetRisk) tally.violations++
}

/** Risk over the population of input groups, one random request of each, exactly. */
export function trueRisk(truth: Truth, threshold: number, promise: PromiseKind): number {
  let served = 0
  let lost = 0
  truth.scores.forEach((scores, family) => {
    scores.forEach((score, i) => {
      if (!serves(score, threshold)) return
      served += 1 / scores.length
      lost += (truth.losses[family]?.[i] as number) / scores.length
    })
  })
  const base = promise === 'selective' ? served : truth.scores.length
  return base === 0 ? 0 : lost / base
}

/** True where so many violations are still explained by a level of δ: one-sided binomial test at one in a thousand. */
export function isWithinDelta({ violations, repetitions }: Tally): boolean {
  return binomialSf(violations - 1, repetitions, DELTA) > 0.001
}

export interface World {
  /** One repetition with a fresh certification sample; null where nothing could be learned. */
  learn(look: number): Promise<Learned<string, ClosedSetSchema> | null>
  truth(learned: Learned<string, ClosedSetSchema>): Promise<Truth>
  readonly training: readonly LearnExample[]
  readonly rng: Rng
  close(): Promise<void>
}

function makeWorld(scenario: Scenario, seed: string): World {
  const rng = createRng(seed)
  const families = rng.shuffle([...scenario.population(seed)])
  const sides = splitInputs({
    inputs: families.map(family => family.requests[0]?.input as string),
    salt: seed,
    certificationShare: 0.5,
  }).ofInput
  const ofSide = (side: string) => families.filter((_, i) => sides[i]?.side === side)
  const training = ofSide('training').slice(0, scenario.trainingFamilies).flatMap(toExamples)
  const certification = ofSide('certification')
  const { learner, close } = rememberFit((scenario.learner ?? reflexLearner)())
  let known: Promise<Truth> | null = null
  return {
    training,
    rng,
    close,
    async learn(look) {
      const sample = createRng(`${seed}/${look}`).shuffle([...certification])
      const outcome = await learnTask({
        examples: [
          ...training,
          ...sample.slice(0, scenario.certificationFamilies).flatMap(toExamples),
        ],
        learner,
        targetRisk: scenario.targetRisks[0] as number,
        targetRisks: scenario.targetRisks,
        delta: DELTA,
        promise: 'selective',
        seed,
        certificationShare: 0.5,
        budgetMs: 60_000,
        signal: new AbortController().signal,
      })
      return outcome.learnable ? outcome : null
    },
    truth(learned) {
      known ??= measure(certification, learned, learner)
      return known
    },
  }
}

function toExamples(family: Family): LearnExample[] {
  return family.requests.map(({ input, label }, i) => ({
    id: `${family.requests[0]?.input} ${i}`,
    input,
    answer: { kind: 'text', text: label },
    time: null,
  }))
}

async function measure(
  families: readonly Family[],
  { schema, candidate }: Learned<string, ClosedSetSchema>,
  { kind }: LabelLearner,
): Promise<Truth> {
  const requests = families.flatMap(family => family.requests)
  const distinct = [...new Set(requests.map(request => request.input))]
  const given = await candidate.specialist.answerBatch(distinct)
  const answerTo = new Map(distinct.map((input, i) => [input, given[i]]))
  const of = (family: Family, value: (score: number, loss: number) => number) =>
    family.requests.map(({ input, label }) => {
      const { output, score } = answerTo.get(input) ?? { output: null, score: Number.NaN }
      const expected = kind.parse(schema, { kind: 'text', text: label })
      return value(
        output === null ? Number.NaN : score,
        output === null ? 1 : kind.compare(schema, expected, output),
      )
    })
  return {
    scores: families.map(family => of(family, score => score)),
    losses: families.map(family => of(family, (_, loss) => loss)),
  }
}

/** The same training examples give the same fit: it is computed once per world and kept open. */
function rememberFit(learner: LabelLearner): { learner: LabelLearner; close: () => Promise<void> } {
  let key = ''
  let made: Awaited<ReturnType<LabelLearner['fit']>> = []
  return {
    learner: {
      kind: learner.kind,
      async fit(schema, examples, context) {
        const now = JSON.stringify(examples)
        if (now !== key) made = await learner.fit(schema, examples, context)
        key = now
        return made
      },
    },
    close: async () => {
      for (const { specialist } of made) await specialist.close()
    },
  }
}
