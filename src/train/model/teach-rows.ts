/** What a larger model thinks of rows, as targets for a smaller one (distillation, Hinton et al. 2015). Knows no training. */
import type { TrainingRuntime } from '../../engine/index.ts'
import { UnderstudyError } from '../../errors.ts'
import { createTokenizer, type ModelFolder } from '../../models/index.ts'
import { newId } from '../../util/index.ts'
import { runLogits } from '../fine-tune/forward.ts'
import { startPace } from '../pace.ts'
import { encodeRows, HEAD_KINDS } from './encode-rows.ts'
import { modelGraph } from './export-model.ts'
import type { LabelledRow, TrainTask } from './labelled-rows.ts'
import { readRunSummary } from './run-record.ts'

export interface TeachOptions {
  readonly task: TrainTask
  /** As `train` writes it. */
  readonly teacher: ModelFolder
  readonly runtime: TrainingRuntime
  readonly signal: AbortSignal
  readonly onProgress?: (doneCount: number) => void
}

/**
 * The rows with the teacher's `probabilities`; their own labels stay, to measure by.
 * @throws request-invalid where the teacher does another task, or does not know a label of the rows
 */
export async function teachRows(
  rows: readonly LabelledRow[],
  { task, teacher, runtime, signal, onProgress }: TeachOptions,
): Promise<LabelledRow[]> {
  const { config, weights, classifier, labels, isNormalised, problem } = teacher
  const wanted = HEAD_KINDS[task]
  const isOther = problem !== undefined && problem !== wanted
  if (task === 'spans' || isOther || labels === undefined || classifier === undefined) {
    throw unfit(`it is no classifier for the task kind "${task}"`)
  }
  const taught = readRunSummary(teacher.run)?.task ?? task
  if (taught !== task) throw unfit(`it was trained for the task kind "${taught}", not "${task}"`)
  if (config.pooling !== 'pooler' && !isNormalised) {
    throw unfit('its classifier stands on vectors that are not brought to length 1')
  }
  const unknown = rows
    .flatMap(row => [row.label ?? [], row.labels ?? []].flat())
    .find(label => !labels.includes(label))
  if (unknown !== undefined)
    throw unfit(`it does not know the label ${JSON.stringify(unknown.slice(0, 60))}`)
  const pace = startPace(Number.POSITIVE_INFINITY, signal)
  const text = (name: 'tokenizer.json' | 'tokenizer_config.json') => {
    const bytes = teacher.tokenizer.get(name)
    return bytes && new TextDecoder().decode(bytes)
  }
  const tokenizer = createTokenizer({
    tokenizer: text('tokenizer.json') ?? '',
    config: text('tokenizer_config.json'),
    maxTokens: config.maxTokens,
  })
  const bare = rows.map(({ text: own, pair }) => ({
    text: own,
    ...(pair !== undefined && { pair }),
    label: labels[0] as string,
    labels: [],
  }))
  const { sequences } = await encodeRows(bare, { task, labels, tokenizer, breathe: pace.breathe })
  const session = newId('job')
  const head = { weights: classifier.weight, bias: classifier.bias }
  await runtime.load(session, modelGraph({ task, config, weights, head, outputs: labels }))
  try {
    const logits = await runLogits(
      session,
      { sequences },
      { classCount: labels.length, runtime, prefix: null, pace, ...(onProgress && { onProgress }) },
    )
    const size = labels.length
    return rows.map((row, i) => {
      const own = probabilitiesOf(logits.subarray(i * size, (i + 1) * size), task)
      return {
        ...row,
        probabilities: Object.fromEntries(labels.map((label, k) => [label, own[k] as number])),
      }
    })
  } finally {
    await runtime.unload(session)
  }
}

/** Softmax, or for several labels the logistic function of each. */
function probabilitiesOf(logits: Float32Array, task: TrainTask): number[] {
  if (task === 'labels') return Array.from(logits, x => 1 / (1 + Math.exp(-x)))
  const top = logits.reduce((a, b) => Math.max(a, b), -Infinity)
  const exps = Array.from(logits, x => Math.exp(x - top))
  const sum = exps.reduce((a, b) => a + b, 0)
  return exps.map(value => value / sum)
}

function unfit(what: string): UnderstudyError {
  return new UnderstudyError('request-invalid', `This teacher cannot teach these rows: ${what}.`, {
    help: 'Give the folder of a model that was trained on the same task and labels.',
  })
}
