/** Trains a model again after parts of it were left out: on the labels, or on what the whole model makes of the rows. Knows no choice. */
import type { TrainingRuntime } from '../../engine/index.ts'
import { createTokenizer, frozenModules, writeEncoderWeights } from '../../models/index.ts'
import { sha256, sha256Joined } from '../../platform/index.ts'
import { type Clock, canonicalJson, createRng, softmax } from '../../util/index.ts'
import { embedRows } from '../fine-tune/embed-rows.ts'
import { type FineTuneOptions, fineTune, type TrainingRows } from '../fine-tune/fine-tune.ts'
import { measureMsPerRow, PROBE_ROWS } from '../fine-tune/measure-pace.ts'
import { completeRecipe, type Recipe } from '../fine-tune/recipe.ts'
import { tunedWeights } from '../fine-tune/tuned-weights.ts'
import { openHeadFitter } from '../head/fit-head.ts'
import { unscaledHead } from '../model/export-model.ts'
import { showSteps } from '../model/fit-recipe.ts'
import { type Pace, startPace } from '../pace.ts'
import { type BuildContext, fileText, HEAD_EVALUATIONS } from './build-variant.ts'
import type { CompressibleModel, CompressProgress, Lesson } from './compress-types.ts'
import type { RetrainPlan, RetrainState } from './retrain-state.ts'

export interface RetrainOptions extends BuildContext {
  /** Of the variant, for people. */
  readonly name: string
  readonly lesson: Lesson
  /** Logits [rows, classCount] of the teacher; null where the lesson asks none. */
  readonly teacher: Float32Array | null
  readonly training: TrainingRuntime
  /** For this training alone, milliseconds. */
  readonly budgetMs: number
  readonly seed: number
  readonly clock: Clock
  readonly state: RetrainState | null
  readonly onProgress?: ((progress: CompressProgress) => void) | undefined
}

/** Of a run with time to spare: more were not tried. */
const MAX_EPOCHS = 10
const LEARNING_RATE = 2e-4
/** Of the budget, by the pace of a few steps. */
const BUDGET_SHARE = 0.9
/** Fewer than these are not worth a variant, unless there are no more. */
const MIN_ROWS = 500
const CHECKPOINT_MS = 10_000

/**
 * The model with its weights and a classifier trained; null where there is no time. Word embeddings stay.
 * @throws cancelled, training-diverged, runtime-failed
 */
export async function retrain(
  model: CompressibleModel,
  options: RetrainOptions,
): Promise<CompressibleModel | null> {
  const { config, weights } = model
  const { state, training, signal, clock, budgetMs, name, onProgress } = options
  const pace = startPace(budgetMs, signal, clock)
  const rows = await lessonRows(model, options, pace)
  const identity = identityOf(model, rows, options)
  const done = await state?.readDone(identity, model)
  if (done) return done
  const head = await startHead(model, rows, { ...options, pace })
  const job = { config, weights, rows, head, runtime: training, pace, prefix: null, clock }
  const plan = (await state?.readPlan(identity)) ?? (await makePlan(job, options))
  if (plan === null) return null
  await state?.writePlan(identity, plan)
  const { recipe } = plan
  const isScaled = config.pooling !== 'pooler'
  const fitted = await fineTune({
    ...job,
    rows: { ...rows, subset: someRows(rows, plan.rowCount, options.seed) },
    recipe,
    ...(state && {
      checkpoint: {
        path: state.checkpointPath,
        runId: sha256(canonicalJson({ identity, ...plan })),
        everyMs: CHECKPOINT_MS,
      },
    }),
    onStep: showSteps(`training: ${name}`, { clock, ...(onProgress && { onProgress }) }),
  })
  const { weights: weight, bias } = unscaledHead(fitted.head, { scale: recipe.scale, isScaled })
  const trained: CompressibleModel = {
    ...model,
    weights: tunedWeights(weights, fitted),
    classifier: { weight, bias },
    isNormalised: isScaled,
  }
  await state?.writeDone(identity, trained)
  return trained
}

/** Tokens as the smaller model's tokenizer cuts them, and what is wanted of each row. */
async function lessonRows(
  model: CompressibleModel,
  { fit, classCount, lesson, teacher }: RetrainOptions,
  pace: Pace,
): Promise<TrainingRows> {
  const { encode } = createTokenizer({
    tokenizer: fileText(model, 'tokenizer.json') ?? '',
    config: fileText(model, 'tokenizer_config.json'),
    maxTokens: model.config.maxTokens,
  })
  const sequences: number[][] = []
  for (const input of fit.inputs) {
    await pace.breathe()
    sequences.push(encode(input))
  }
  const { softShare, temperature } = lesson
  const targets = new Float32Array(fit.inputs.length * classCount)
  fit.labels.forEach((label, row) => {
    const [from, to] = [row * classCount, (row + 1) * classCount]
    targets[from + label] = 1 - softShare
    if (teacher === null || softShare === 0) return
    const soft = softmax(Float64Array.from(teacher.subarray(from, to), x => x / temperature))
    soft.forEach((p, k) => {
      targets[from + k] = (targets[from + k] as number) + softShare * p
    })
  })
  return {
    sequences,
    classCount,
    targets,
    weights: new Float32Array(sequences.length).fill(1),
  }
}

/** Logistic regression on what is left; behind a pooler the classifier that was there, where there was one. */
async function startHead(
  { config, weights, classifier }: CompressibleModel,
  { sequences }: TrainingRows,
  { fit: { labels }, classCount, runtime, training, pace, signal }: RetrainOptions & { pace: Pace },
): Promise<{ weights: Float32Array; bias: Float32Array }> {
  if (config.pooling === 'pooler' && classifier !== undefined) {
    return { weights: classifier.weight, bias: classifier.bias }
  }
  const modules = frozenModules(config, weights)
  const embeddings = await embedRows({
    config,
    modules,
    sequences,
    prefix: null,
    runtime: training,
    pace,
  })
  const dimension = config.hiddenSize
  const fitter = await openHeadFitter(runtime, { embeddings, labels, dimension, classCount })
  const everyRow = new Float32Array(labels.length).fill(1)
  const head = await fitter
    .fit(everyRow, { maxEvaluations: HEAD_EVALUATIONS, signal })
    .finally(() => fitter.close())
  const { scale } = baseRecipe(0)
  const factor = config.pooling === 'pooler' ? 1 : 1 / scale
  return { weights: head.weights.map(value => value * factor), bias: head.bias }
}

/** As many epochs as there is time for by the pace of a few steps, or a part of one; null where that would be next to nothing. */
async function makePlan(
  job: Omit<FineTuneOptions, 'recipe'>,
  { lesson, seed, clock }: RetrainOptions,
): Promise<RetrainPlan | null> {
  const recipe: Recipe = { ...baseRecipe(seed), temperature: lesson.temperature }
  const probe = { ...job.rows, subset: someRows(job.rows, PROBE_ROWS, seed) }
  const msPerRow = await measureMsPerRow({ ...job, rows: probe, recipe }, clock)
  const whole = job.rows.sequences.length
  const affordable = Math.floor((BUDGET_SHARE * job.pace.leftMs()) / Math.max(1e-3, msPerRow))
  if (affordable < Math.min(MIN_ROWS, whole)) return null
  const epochCount = Math.max(1, Math.min(MAX_EPOCHS, Math.floor(affordable / whole)))
  return { recipe: { ...recipe, epochCount }, rowCount: Math.min(affordable, whole) }
}

/** A number of rows at most, drawn by seed. */
function someRows({ sequences }: TrainingRows, count: number, seed: number): number[] {
  const all = [...sequences.keys()]
  if (count >= all.length) return all
  return createRng(`retrain/${seed}`).shuffle(all).slice(0, count)
}

/** Layers train, embeddings stay: their rows see few of the words that later texts will have. */
function baseRecipe(seed: number): Recipe {
  return completeRecipe({
    method: 'full',
    layerCount: 1024,
    learningRate: LEARNING_RATE,
    headLearningRate: 5e-4,
    epochCount: 1,
    seed,
  })
}

/** Everything that decides the weights but the recipe. */
function identityOf(
  { config, weights }: CompressibleModel,
  { sequences, targets }: TrainingRows,
  { lesson, seed, classCount }: RetrainOptions,
): string {
  const bytes = (values: Float32Array | undefined) =>
    values === undefined
      ? null
      : sha256(new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
  return sha256(
    canonicalJson({
      weights: sha256(writeEncoderWeights(weights, config)),
      sequences: sha256Joined(sequences.map(sequence => `${JSON.stringify(sequence)},`)),
      targets: bytes(targets),
      lesson: { ...lesson },
      seed,
      classCount,
    }),
  ).slice(0, 32)
}
