/** Parameters of jobs as they come over the API: checked here, trusted inside. */
import { isAbsolute } from 'node:path'
import { z } from 'zod'
import { UnderstudyError } from '../errors.ts'
import { LOG_FORMATS, type LogFormat } from '../wire/index.ts'
import type { CompressParams } from './compress-file.ts'
import type { LearnParams } from './learn.ts'

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

const path = z.string().refine(isAbsolute, 'must be an absolute path')

const compressParams = z.strictObject({
  file: path,
  model: z.string().min(1).nullable().default(null),
  out: path.nullable().default(null),
  targetRisk: share.optional(),
  confidenceLevel: share.optional(),
  certified: z.enum(['every', 'chosen']).default('every'),
  maxAccuracyLoss: z.number().min(0).max(1).default(0.005),
  seed: z.int().default(0),
})

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
