/** How good logits are on rows with known answers: estimates for people, and the loss that recipes are chosen by. */
import { UnderstudyError } from '../../errors.ts'
import type { EncodedRows } from './encode-rows.ts'
import { likeliest } from './inner-split.ts'
import { cooledLogLoss, type Looked } from './log-loss.ts'
import { bioToSpans, touchedWords, type Word } from './spans.ts'
import { unitStarts } from './training-rows.ts'

export interface LabelMetrics {
  readonly label: string
  /** Rows, or spans, that carry it. */
  readonly support: number
  readonly precision: number
  readonly recall: number
  readonly f1: number
}

export interface TrainingMetrics {
  readonly rowCount: number
  /** Mean over what counts, at the temperature; recipes are chosen by it. */
  readonly logLoss: number
  /** What the logits were best divided by, on these rows: above 1 where they were too sure of themselves. The head that is written is. */
  readonly temperature: number
  /** By name, e.g. `accuracy`, `macroF1`; the first is the one to look at. */
  readonly scores: Readonly<Record<string, number>>
  readonly labels: readonly LabelMetrics[]
}

interface Tally {
  right: number
  said: number
  wanted: number
}

export function measure(encoded: EncodedRows, looked: Looked): TrainingMetrics {
  const { labels, task } = encoded
  const { logits, subset } = looked
  if (!logits.every(Number.isFinite)) throw notNumbers()
  const tallies = new Map<string, Tally>(
    labels.map(label => [label, { right: 0, said: 0, wanted: 0 }]),
  )
  let exact = 0
  const answer = answering(encoded, logits)
  for (const row of subset) {
    const wanted = wantedOf(encoded, row)
    const own = answer(row)
    const both = own.filter(key => wanted.includes(key))
    for (const key of wanted) tallyOf(tallies, key).wanted++
    for (const key of own) tallyOf(tallies, key).said++
    for (const key of both) tallyOf(tallies, key).right++
    if (both.length === own.length && both.length === wanted.length) exact++
  }
  const perLabel = [...tallies].map(([label, tally]) => ({
    label,
    support: tally.wanted,
    ...f1Of(tally),
  }))
  const shown = perLabel.filter(one => one.support > 0)
  const macroF1 = shown.reduce((sum, one) => sum + one.f1, 0) / Math.max(1, shown.length)
  const micro = f1Of(total([...tallies.values()]))
  const share = exact / Math.max(1, subset.length)
  const scores: Record<string, number> =
    task === 'label' || task === 'pair'
      ? { accuracy: share, macroF1 }
      : task === 'labels'
        ? { microF1: micro.f1, macroF1, exactMatch: share }
        : {
            entityF1: micro.f1,
            precision: micro.precision,
            recall: micro.recall,
            exactMatch: share,
          }
  return { rowCount: subset.length, ...cooledLogLoss(encoded, looked), scores, labels: perLabel }
}

function notNumbers(): UnderstudyError {
  return new UnderstudyError('training-diverged', 'The model answers with what is not a number.', {
    help: 'Look for weights of the base that are not numbers, or use smaller learning rates.',
  })
}

/** Keys are labels, for spans `start:end:label`. */
function tallyOf(tallies: Map<string, Tally>, key: string): Tally {
  return (tallies.get(key) ?? tallies.get(key.replace(/^\d+:\d+:/, ''))) as Tally
}

function total(tallies: readonly Tally[]): Tally {
  const sum = { right: 0, said: 0, wanted: 0 }
  for (const one of tallies) {
    sum.right += one.right
    sum.said += one.said
    sum.wanted += one.wanted
  }
  return sum
}

function f1Of({ right, said, wanted }: Tally) {
  const precision = said === 0 ? 0 : right / said
  const recall = wanted === 0 ? 0 : right / wanted
  return { precision, recall, f1: right === 0 ? 0 : (2 * right) / (said + wanted) }
}

function wantedOf({ rows, task, words, labels }: EncodedRows, i: number): readonly string[] {
  const row = rows[i] as EncodedRows['rows'][number]
  if (task === 'spans') {
    // What a person marked inside a word counts as the word: nothing else can be said by words.
    return (row.spans ?? [])
      .filter(({ label }) => labels.includes(label))
      .flatMap(span => {
        const own = words[i] as readonly Word[]
        const { first, after } = touchedWords(own, span)
        return first < after ? [`${own[first]?.start}:${own[after - 1]?.end}:${span.label}`] : []
      })
  }
  if (task !== 'labels') return [likeliest(row)]
  if (row.labels !== undefined || row.probabilities === undefined) {
    return [...new Set(row.labels ?? [])]
  }
  return Object.entries(row.probabilities).flatMap(([label, p]) => (p > 0.5 ? [label] : []))
}

/** What the logits say of a row, as keys. */
function answering(encoded: EncodedRows, logits: Float32Array): (row: number) => string[] {
  const { outputs, task } = encoded
  const size = outputs.length
  const starts = unitStarts(encoded)
  return row => {
    const at = starts[row] as number
    const own = (unit: number) => logits.subarray(unit * size, (unit + 1) * size)
    if (task === 'labels') return outputs.filter((_label, k) => (own(at)[k] as number) > 0)
    if (task !== 'spans') return [outputs[indexOfLargest(own(at))] as string]
    return spansOf(encoded, row, unit => indexOfLargest(own(at + unit))).map(
      ({ start, end, label }) => `${start}:${end}:${label}`,
    )
  }
}

function spansOf(
  { words, wordOf, labels }: EncodedRows,
  row: number,
  outputOf: (token: number) => number,
) {
  const own = words[row] as readonly Word[]
  const bio = new Int32Array(own.length)
  const tokens = wordOf[row] as readonly number[]
  for (const [i, word] of tokens.entries()) {
    if (word >= 0 && word !== tokens[i - 1]) bio[word] = outputOf(i)
  }
  return bioToSpans(own, bio, labels)
}

function indexOfLargest(values: Float32Array): number {
  return values.indexOf(values.reduce((a, b) => Math.max(a, b), -Infinity))
}
