/** One look at the certification groups: the specialist answers, its answers are compared with the lead's. */
import { assert } from '../errors.ts'
import type { Specialist, SpecialistAnswer } from '../models/index.ts'
import type { OutputKind } from '../tasks/index.ts'
import type { Rng } from '../util/index.ts'
import type { LearnExample } from './learn-outcome.ts'
import type { CertificationGroup } from './training-part.ts'

/** One request of a certification group with both answers. */
export interface LookRow<Output> {
  readonly id: string
  readonly group: string
  readonly input: string
  readonly time: string | null
  readonly weight: number
  /** The lead's output; null: none, or outside the schema. */
  readonly expected: Output | null
  /** The specialist's; null: it abstained. */
  readonly got: Output | null
  /** NaN where the specialist abstained, so that no threshold serves it. */
  readonly score: number
  readonly loss: number
}

export interface LookInput<Output, Schema> {
  readonly groups: readonly CertificationGroup[]
  readonly kind: OutputKind<Output, Schema>
  readonly schema: Schema
  readonly specialist: Specialist<Output>
  readonly rng: Rng
  readonly signal: AbortSignal
  readonly onProgress: (stage: string, doneCount: number, totalCount: number) => void
}

export interface Look<Output> {
  /** One randomly chosen request per group, in the order of the groups. */
  readonly rows: readonly LookRow<Output>[]
  /** Every request of the groups. */
  readonly requests: readonly LookRow<Output>[]
}

/** Answers every distinct input of the groups once, and picks one request per group at random, by weight. */
export async function runLook<Output, Schema>(
  look: LookInput<Output, Schema>,
): Promise<Look<Output>> {
  const { groups, specialist, rng, signal, onProgress } = look
  const inputs = [...new Set(groups.flatMap(group => group.examples.map(each => each.input)))]
  const answers = await specialist.answerBatch(inputs, {
    signal,
    onProgress: doneCount => onProgress('certify', doneCount, inputs.length),
  })
  assert(answers.length === inputs.length, 'as many answers as inputs')
  const answerTo = new Map(
    inputs.map((input, i) => [input, answers[i] as SpecialistAnswer<Output>]),
  )
  const rows: LookRow<Output>[] = []
  const requests: LookRow<Output>[] = []
  for (const { group, examples } of groups) {
    const judged = examples.map(example =>
      judge(look, group, example, answerTo.get(example.input) as SpecialistAnswer<Output>),
    )
    rows.push(pickByWeight(judged, rng))
    for (const row of judged) requests.push(row)
  }
  return { rows, requests }
}

function judge<Output, Schema>(
  { kind, schema }: LookInput<Output, Schema>,
  group: string,
  example: LearnExample,
  { output, score }: SpecialistAnswer<Output>,
): LookRow<Output> {
  const expected = example.answer === null ? null : kind.parse(schema, example.answer)
  return {
    id: example.id,
    group,
    input: example.input,
    time: example.time,
    weight: example.weight ?? 1,
    expected,
    got: output,
    score: output === null ? Number.NaN : score,
    // The contract lets a kind judge null itself; here it is decided once and for all kinds.
    loss: output === null || expected === null ? 1 : kind.compare(schema, expected, output),
  }
}

function pickByWeight<Output>(rows: readonly LookRow<Output>[], rng: Rng): LookRow<Output> {
  const total = rows.reduce((sum, row) => sum + row.weight, 0)
  let left = rng.next() * total
  for (const row of rows) {
    left -= row.weight
    if (left < 0) return row
  }
  return rows.at(-1) as LookRow<Output>
}
