/** Parameters of jobs as they come over the API: checked here, trusted inside. */
import { isAbsolute } from 'node:path'
import { z } from 'zod'
import { UnderstudyError } from '../errors.ts'
import { LOG_FORMATS, type LogFormat } from '../wire/index.ts'
import type { CompressParams } from './compress-file.ts'
import type { LearnParams } from './learn.ts'
import type { TrainParams } from './train-job.ts'

/** What `import` jobs are asked to do; plain JSON. */
export type ImportParams = Pick<LearnParams, 'files' | 'format' | 'task' | 'app'>

const share = z.number().gt(0).lt(1)
const name = z.string().min(1).max(100).nullable().default(null)

const importShape = {
  files: z.array(z.string().refine(isAbsolute, 'must be an absolute path')).max(1000).default([]),
  format: z
    .enum(Object.keys(LOG_FORMATS) as [LogFormat, ...LogFormat[]])
    .nullable()
    .default(null),
  task: name,
  app: name,
}

const importParams = z.strictObject(importShape)

const learnParams = z.strictObject({
  ...importShape,
  targetRisk: share.optional(),
  confidenceLevel: share.optional(),
  promise: z.enum(['selective', 'marginal']).default('selective'),
  budgetMs: z.number().positive().default(180_000),
  seed: z.int().default(0),
  promote: z.boolean().default(false),
})

const absolutePath = z.string().refine(isAbsolute, 'must be an absolute path')
const compressParams = z.strictObject({
  file: absolutePath,
  heldOut: absolutePath.nullable().default(null),
  model: z.string().min(1).nullable().default(null),
  out: absolutePath.nullable().default(null),
  targetRisk: share.optional(),
  confidenceLevel: share.optional(),
  certified: z.enum(['every', 'chosen']).default('every'),
  maxAccuracyLoss: z.number().min(0).max(1).default(0.005),
  budgetMs: z.number().min(0).default(180_000),
  seed: z.int().default(0),
})

const columnName = z.string().min(1).max(200).optional()

const trainParams = z
  .strictObject({
    file: absolutePath,
    task: z.enum(['label', 'labels', 'pair', 'spans']).default('label'),
    columns: z.strictObject({ text: columnName, pair: columnName, label: columnName }).default({}),
    base: z.string().min(1).max(4096),
    output: absolutePath,
    method: z.enum(['auto', 'head', 'lora', 'full', 'contrastive']).default('auto'),
    recipe: z.string().max(100).nullable().default(null),
    teacher: absolutePath.nullable().default(null),
    on: z.enum(['here', 'torch']).default('here'),
    budgetMs: z.number().positive().default(180_000),
    memoryBytes: z
      .number()
      .min(16 * 2 ** 20)
      .default(2 ** 30),
    seed: z
      .int()
      .min(0)
      .max(2 ** 31 - 1)
      .default(0),
    fixed: z
      .strictObject({
        labelSmoothing: z.number().min(0).lt(1).optional(),
        classWeights: z.enum(['none', 'balanced']).optional(),
        temperature: z.number().min(1).max(100).optional(),
      })
      .default({})
      .transform(
        given =>
          Object.fromEntries(
            Object.entries(given).filter(([, value]) => value !== undefined),
          ) as TrainParams['fixed'],
      ),
  })
  .refine(({ recipe, fixed }) => recipe === null || Object.keys(fixed).length === 0, {
    path: ['fixed'],
    message: 'would go unheeded: `recipe` repeats a run as it was',
  })

/** @throws request-invalid naming the parameter */
export function parseTrainParams(value: unknown): TrainParams {
  return parse(trainParams, value)
}

/** @throws request-invalid naming the parameter */
export function parseImportParams(value: unknown): ImportParams {
  return parse(importParams, value)
}

/** Settings that stand in for what a job does not say. */
export interface LearnDefaults {
  readonly targetRisk: number
  readonly confidenceLevel: number
}

/** @throws request-invalid naming the parameter */
export function parseLearnParams(value: unknown, defaults: LearnDefaults): LearnParams {
  const { targetRisk, confidenceLevel, ...given } = parse(learnParams, value)
  return {
    ...given,
    targetRisk: targetRisk ?? defaults.targetRisk,
    confidenceLevel: confidenceLevel ?? defaults.confidenceLevel,
  }
}

/** @throws request-invalid naming the parameter */
export function parseCompressParams(value: unknown, defaults: LearnDefaults): CompressParams {
  const { targetRisk, confidenceLevel, ...given } = parse(compressParams, value)
  return {
    ...given,
    targetRisk: targetRisk ?? defaults.targetRisk,
    confidenceLevel: confidenceLevel ?? defaults.confidenceLevel,
  }
}

function parse<T>(schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value ?? {})
  if (result.success) return result.data
  const [issue] = result.error.issues
  const param = ['params', ...(issue?.path ?? [])].join('.')
  throw new UnderstudyError('request-invalid', `${param}: ${issue?.message ?? 'invalid'}`, {
    help: 'See the API reference for the parameters of this kind of job.',
    details: { param },
  })
}
