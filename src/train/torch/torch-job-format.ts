/** What `recipe.json` and `metrics.json` of a PyTorch job say, checked. Knows no files on disk. */
import { z } from 'zod'
import { UnderstudyError } from '../../errors.ts'
import { sha256 } from '../../platform/index.ts'
import { canonicalJson } from '../../util/index.ts'
import { recipeId, recipeSchema } from '../fine-tune/recipe.ts'

const hash = z.string().regex(/^[0-9a-f]{64}$/, 'is not a SHA-256')
const count = z.int().min(0)
const finite = z.number().refine(Number.isFinite)
const share = finite.min(0).max(1)
/** Below the folder, with `/`: no way out of it. */
const path = z
  .string()
  .max(200)
  .regex(/^[A-Za-z0-9_-][A-Za-z0-9_.-]*(\/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*$/, 'is not a plain path')

const JOB_FORMAT = 'understudy-torch-job'

const jobFields = z.strictObject({
  format: z.literal(JOB_FORMAT),
  version: z.literal(1),
  /** `recipeId` of recipe, weights and data: names the run. */
  id: z.string().regex(/^[0-9a-f]{16}$/),
  recipe: recipeSchema
    .refine(({ method }) => method !== 'contrastive', {
      path: ['method'],
      message: 'contrastive trains here only; use lora or full',
    })
    .refine(({ tokenDropout }) => tokenDropout === 0, {
      path: ['tokenDropout'],
      message: 'tokens are dropped here only; use 0',
    }),
  /** One class for each row, or any number of labels. */
  kind: z.enum(['single-label', 'multi-label']),
  labels: z.array(z.string()).min(2).max(100_000),
  /** Longest sequence, special tokens included. */
  maxTokens: z.int().min(3).max(1_000_000),
  /** How token vectors become one: as the base's files were read here, so that both sides do the same. */
  pooling: z.enum(['mean', 'cls']),
  baseModel: z.strictObject({
    name: z.string().min(1),
    /** SHA-256 of `model.safetensors`. */
    weightsHash: hash,
    /** Of the other files in `model/`, as `modelFilesHash` computes it; missing in older jobs. */
    filesHash: hash.optional(),
    source: z.discriminatedUnion('kind', [
      z.strictObject({ kind: z.literal('folder'), path }),
      z.strictObject({
        kind: z.literal('huggingface'),
        repository: z.string().regex(/^[\w.-]+\/[\w.-]+$/, 'is not OWNER/NAME'),
        revision: z.string().regex(/^[0-9a-f]{40}$/, 'is not a commit'),
      }),
    ]),
  }),
  data: z.strictObject({ file: path, hash, trainingCount: count.min(1), selectionCount: count }),
})
const jobSchema = jobFields.refine(
  ({ kind, recipe }) => kind === 'single-label' || recipe.classWeights === 'none',
  { path: ['recipe', 'classWeights'], message: 'balanced needs one label in each row' },
)

/** Rows of a job at most: they are read back as one text, and Node has no longer one. */
export const MAX_DATA_BYTES = 2 ** 29 - 24

/** All of a job but its rows: `recipe.json`. */
export type TorchJob = z.infer<typeof jobSchema>

const epochSchema = z.object({
  epoch: count.min(1),
  /** Mean over the rows, while the weights still changed; so is `trainingAccuracy`. */
  loss: finite,
  trainingAccuracy: share,
  /** Null without selection rows. */
  selectionLoss: finite.nullable(),
  selectionAccuracy: share.nullable(),
  examplesPerSecond: finite.min(0),
})

const metricsSchema = z.object({
  format: z.literal('understudy-torch-result'),
  version: z.literal(1),
  id: z.string(),
  weightsHash: hash,
  dataHash: hash,
  trainingAccuracy: share,
  selectionAccuracy: share.nullable(),
  epochs: z.array(epochSchema).min(1).max(100_000),
  updateCount: count.min(1),
  processCount: count.min(1),
  device: z.string().max(100),
  precision: z.enum(['float32', 'bfloat16']),
  versions: z.record(z.string(), z.string()),
  files: z.record(path, z.object({ bytes: count, hash })),
})

const rowSchema = z.strictObject({
  split: z.enum(['training', 'selection']),
  text: z.string(),
  pair: z.string().optional(),
  labels: z.array(count),
})

/** One line of `data.jsonl`. */
export type TorchRow = z.infer<typeof rowSchema>

/** How the run went, and the files it left: `metrics.json`. */
export type TorchJobMetrics = z.infer<typeof metricsSchema>

/** Names a job by all that decides its weights: how rows become numbers counts as part of the data. */
export function torchJobId(job: Omit<TorchJob, 'id'>): string {
  const { kind, labels, maxTokens, pooling, data } = job
  const dataHash = sha256(canonicalJson({ kind, labels, maxTokens, pooling, hash: data.hash }))
  return recipeId(job.recipe, { weightsHash: job.baseModel.weightsHash, dataHash })
}

/** What is wrong with a job about to be written; null: nothing. */
export function torchJobIssue(job: TorchJob): string | null {
  const parsed = jobSchema.safeParse(job)
  return parsed.success ? null : describe(parsed.error)
}

/** False for the `recipe.json` of something else, as every trained model has one. One that is damaged may be a job's. */
export function isTorchJob(text: string): boolean {
  try {
    return (JSON.parse(text) as { format?: unknown } | null)?.format === JOB_FORMAT
  } catch {
    return true
  }
}

/** @throws model-corrupt naming the field, or that the id belongs to another recipe */
export function parseTorchJob(text: string): TorchJob {
  const job = parse('recipe.json', jobSchema, text)
  if (torchJobId(job) !== job.id) {
    throw corruptResult(`recipe.json was changed: it is not the one that ${job.id} names`)
  }
  return job
}

/** @throws model-corrupt naming the field, or that it belongs to another job */
export function parseTorchMetrics(text: string, job: TorchJob): TorchJobMetrics {
  const metrics = parse('result/metrics.json', metricsSchema, text)
  if (metrics.id !== job.id) {
    throw corruptResult(`result/metrics.json belongs to job ${metrics.id}, this is ${job.id}`)
  }
  if (metrics.weightsHash !== job.baseModel.weightsHash || metrics.dataHash !== job.data.hash) {
    throw corruptResult('it was trained from other weights or other rows than recipe.json names')
  }
  if (metrics.epochs.length !== job.recipe.epochCount) {
    throw corruptResult(
      `it has ${metrics.epochs.length} epochs, the recipe asks for ${job.recipe.epochCount}`,
    )
  }
  return metrics
}

/** @throws model-corrupt naming the line, or that there are more or fewer than `recipe.json` says */
export function parseTorchRows(text: string, { data, kind, labels }: TorchJob): TorchRow[] {
  const lines = text.split('\n').filter(line => line !== '')
  const rows = lines.map((line, i) => {
    const where = `line ${i + 1} of ${data.file}`
    const row = parse(where, rowSchema, line)
    const isFit = kind === 'multi-label' || row.labels.length === 1
    if (!isFit || row.labels.some(label => label >= labels.length)) {
      throw corruptResult(`${where} has labels ${row.labels.join(', ') || 'none'}`)
    }
    return row
  })
  const held = rows.filter(({ split }) => split === 'selection').length
  if (held !== data.selectionCount || rows.length - held !== data.trainingCount) {
    throw corruptResult(`${data.file} has not as many rows as recipe.json says`)
  }
  return rows
}

function parse<Schema extends z.ZodType>(file: string, schema: Schema, text: string) {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw corruptResult(`${file} is not JSON`, cause)
  }
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  throw corruptResult(`${file}: ${describe(parsed.error)}`)
}

function describe({ issues: [issue] }: z.ZodError): string {
  return `${issue?.path.join('.') || 'it'}: ${issue?.message ?? 'is invalid'}`
}

/** What to throw when a job's result cannot be used. */
export function corruptResult(what: string, cause?: unknown): UnderstudyError {
  return new UnderstudyError('model-corrupt', `The result of the job cannot be used: ${what}`, {
    help: 'Run launch.sh in the job folder again, and copy the whole folder back.',
    cause,
  })
}
