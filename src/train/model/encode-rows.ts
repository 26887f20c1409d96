/** Labelled rows as token numbers and targets. Knows no graph and no optimiser. */
import { UnderstudyError } from '../../errors.ts'
import type { Tokenizer } from '../../models/index.ts'
import type { HeadKind } from '../fine-tune/classifier-graph.ts'
import type { Recipe } from '../fine-tune/recipe.ts'
import type { LabelledRow, TrainTask } from './labelled-rows.ts'
import { bioLabels, spansToBio, splitWords, type Word } from './spans.ts'
import { type TrainingRows, unitStarts } from './training-rows.ts'

export const HEAD_KINDS: Readonly<Record<TrainTask, HeadKind>> = {
  label: 'single-label',
  labels: 'multi-label',
  pair: 'single-label',
  spans: 'tokens',
}

/** Rows with their tokens, and what is wanted of each unit. */
export interface EncodedRows {
  readonly task: TrainTask
  readonly kind: HeadKind
  readonly sequences: readonly (readonly number[])[]
  readonly labels: readonly string[]
  /** Names of the logits: the labels, or `O`, `B-…`, `I-…`. */
  readonly outputs: readonly string[]
  /** Probabilities wanted, [units, outputs]. */
  readonly targets: Float32Array
  /** 1 for what counts; 0 for special tokens and the later tokens of a word. */
  readonly weights: Float32Array
  /** Whether a unit's targets are those of a teacher. */
  readonly isSoft: Uint8Array
  /** Of spans only: words of each row, and for each token the number of its word, −1 without. */
  readonly words: readonly (readonly Word[])[]
  readonly wordOf: readonly (readonly number[])[]
  /** Those given, and after them the names of labels as rows. */
  readonly rows: readonly LabelledRow[]
  /** Rows at the end that are names of labels; only where a text has one label. */
  readonly nameCount: number
}

export interface EncodeOptions {
  readonly task: TrainTask
  readonly labels: readonly string[]
  readonly tokenizer: Tokenizer
  /** Names of labels as rows, put after those given. */
  readonly names?: readonly LabelledRow[]
  /** Called between chunks of rows. @throws cancelled */
  readonly breathe: () => Promise<void>
}

/** Targets are held as [units, outputs], and logits once more: a gigabyte each. */
const MAX_CELLS = 2 ** 28

/** @throws request-invalid for more targets than fit into memory; cancelled */
export async function encodeRows(
  given: readonly LabelledRow[],
  { task, labels, tokenizer, names = [], breathe }: EncodeOptions,
): Promise<EncodedRows> {
  const rows = [...given, ...names]
  const sequences: number[][] = []
  const words: Word[][] = []
  const wordOf: number[][] = []
  for (const row of rows) {
    await breathe()
    if (task === 'spans') {
      const found = splitWords(row.text)
      const encoded = tokenizer.encodeWords(found.map(word => word.text))
      sequences.push(encoded.ids)
      words.push(found)
      wordOf.push(encoded.wordOf)
    } else {
      sequences.push(
        task === 'pair'
          ? tokenizer.encodePair(row.text, row.pair ?? '')
          : tokenizer.encode(row.text),
      )
    }
  }
  const common = {
    task,
    kind: HEAD_KINDS[task],
    sequences,
    labels,
    outputs: task === 'spans' ? bioLabels(labels) : labels,
    words,
    wordOf,
    rows,
    nameCount: names.length,
  }
  const unitCount = unitStarts(common).at(-1) as number
  if (unitCount * common.outputs.length > MAX_CELLS) {
    const units = task === 'spans' ? 'tokens' : 'rows'
    throw new UnderstudyError(
      'request-invalid',
      `${unitCount} ${units} with ${common.outputs.length} outputs each do not fit into memory.`,
      { help: 'Give a sample of the rows, or join labels that are seen too rarely to be learned.' },
    )
  }
  return { ...common, ...(task === 'spans' ? tokenTargets(common) : rowTargets(common)) }
}

type Wanted = Pick<EncodedRows, 'targets' | 'weights' | 'isSoft'>
type Bare = Omit<EncodedRows, keyof Wanted>

function rowTargets({ rows, labels, kind }: Bare): Wanted {
  const indexOf = new Map(labels.map((label, i) => [label, i]))
  const targets = new Float32Array(rows.length * labels.length)
  const isSoft = new Uint8Array(rows.length)
  for (const [row, { label, labels: several = [], probabilities }] of rows.entries()) {
    const put = (name: string, value: number) => {
      targets[row * labels.length + (indexOf.get(name) as number)] = value
    }
    if (probabilities === undefined) {
      for (const one of kind === 'multi-label' ? several : [label as string]) put(one, 1)
      continue
    }
    isSoft[row] = 1
    const entries = Object.entries(probabilities)
    const sum = kind === 'multi-label' ? 1 : entries.reduce((total, [, value]) => total + value, 0)
    for (const [name, value] of entries) put(name, value / sum)
  }
  return { targets, isSoft, weights: new Float32Array(rows.length).fill(1) }
}

/** Only the first token of a word is taught and asked, as in the BERT paper (Devlin et al. 2019, §5.3). */
function tokenTargets({ rows, labels, outputs, sequences, words, wordOf }: Bare): Wanted {
  const starts = unitStarts({ sequences, kind: 'tokens' })
  const count = starts.at(-1) as number
  const targets = new Float32Array(count * outputs.length)
  const weights = new Float32Array(count)
  for (const [row, { spans = [] }] of rows.entries()) {
    const bio = spansToBio(words[row] as Word[], spans, labels)
    const tokens = wordOf[row] as number[]
    for (const [i, word] of tokens.entries()) {
      const at = (starts[row] as number) + i
      if (word >= 0 && word !== tokens[i - 1]) {
        weights[at] = 1
        targets[at * outputs.length + (bio[word] as number)] = 1
      } else targets[at * outputs.length] = 1
    }
  }
  return { targets, weights, isSoft: new Uint8Array(count) }
}

/** Numbers of the rows given, with a recipe that reads them those of label names as well. */
export function withNames(
  { rows, nameCount }: EncodedRows,
  subset: readonly number[] | 'all',
  { labelNames }: Pick<Recipe, 'labelNames'>,
): readonly number[] {
  const numbers = rows.map((_, row) => row)
  const givenCount = rows.length - nameCount
  const given = subset === 'all' ? numbers.slice(0, givenCount) : subset
  return labelNames ? [...given, ...numbers.slice(givenCount)] : given
}

/** What a recipe makes of the targets: softened, smoothed and weighted; the weights by the rows that train. */
export function trainingRows(
  encoded: EncodedRows,
  recipe: Pick<Recipe, 'labelSmoothing' | 'temperature' | 'classWeights'>,
  subset: readonly number[],
): TrainingRows {
  const { kind, sequences, outputs } = encoded
  const targets = smooth(soften(encoded, recipe.temperature), recipe.labelSmoothing, encoded)
  const weights = recipe.classWeights === 'balanced' ? balance(encoded, subset) : encoded.weights
  return { sequences, kind, classCount: outputs.length, targets, weights, subset }
}

/** A teacher's probabilities at a temperature: its logits are divided by it. */
function soften({ targets, isSoft, outputs, kind }: EncodedRows, temperature: number) {
  if (temperature === 1 || !isSoft.includes(1)) return targets
  const softened = targets.slice()
  const size = outputs.length
  isSoft.forEach((soft, unit) => {
    if (soft === 0) return
    const own = softened.subarray(unit * size, (unit + 1) * size)
    own.forEach((p, k) => {
      const yes = p ** (1 / temperature)
      own[k] = kind === 'multi-label' ? yes / (yes + (1 - p) ** (1 / temperature)) : yes
    })
    if (kind === 'multi-label') return
    const sum = own.reduce((total, value) => total + value, 0)
    own.forEach((value, k) => {
      own[k] = value / sum
    })
  })
  return softened
}

/** Moves a share of every target to all classes evenly (Szegedy et al. 2016); for several labels, to even odds. */
function smooth(targets: Float32Array, share: number, { outputs, kind }: EncodedRows) {
  if (share === 0) return targets
  const even = kind === 'multi-label' ? 0.5 : 1 / outputs.length
  return targets.map(value => (1 - share) * value + share * even)
}

/** @throws request-invalid where a row may have several labels, so that no one frequency is its own */
export function checkClassWeights(
  task: TrainTask,
  { classWeights }: Partial<Pick<Recipe, 'classWeights'>>,
): void {
  if (task !== 'labels' || classWeights !== 'balanced') return
  throw new UnderstudyError(
    'request-invalid',
    'Rows that may have several labels cannot be balanced: no one frequency is theirs.',
    { help: 'Leave out --class-weights balanced, or the --recipe that asks for it.' },
  )
}

/** Weights inverse to the frequency of a unit's likeliest class, at a mean of 1 over what counts. */
function balance(encoded: EncodedRows, subset: readonly number[]): Float32Array {
  const { targets, weights, outputs, task } = encoded
  checkClassWeights(task, { classWeights: 'balanced' })
  const size = outputs.length
  const starts = unitStarts(encoded)
  const counts = new Float64Array(size)
  const classOf = (unit: number): number => {
    const own = targets.subarray(unit * size, (unit + 1) * size)
    return own.indexOf(own.reduce((a, b) => Math.max(a, b), 0))
  }
  for (const row of subset) {
    for (let unit = starts[row] as number; unit < (starts[row + 1] as number); unit++) {
      counts[classOf(unit)] = (counts[classOf(unit)] as number) + (weights[unit] as number)
    }
  }
  const total = counts.reduce((a, b) => a + b, 0)
  const present = counts.filter(count => count > 0).length
  return weights.map((weight, unit) => {
    const count = counts[classOf(unit)] as number
    return count === 0 ? weight : (weight * total) / (present * count)
  })
}
