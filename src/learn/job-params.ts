/** Parameters of jobs as they come over the API: checked here, trusted inside. */
import { isAbsolute } from 'node:path'
import { z } from 'zod'
import { UnderstudyError } from '../errors.ts'
import type { LearnParams } from './learn.ts'

/** What `import` jobs are asked to do; plain JSON. */
export type ImportParams = Pick<LearnParams, 'files' | 'format' | 'task' | 'app'>

const share = z.number().gt(0).lt(1)
const name = z.string().min(1).max(100).nullable().default(null)

const importShape = {
  files: z.array(z.string().refine(isAbsolute, 'must be an absolute path')).max(1000).default([]),
  format: name,
  task: name,
  app: name,
}

const importParams = z.strictObject(importShape)

const learnParams = z.strictObject({
  ...importShape,
  targetRisk: share.default(0.05),
  confidenceLevel: share.default(0.9),
  promise: z.enum(['selective', 'marginal']).default('selective'),
  budgetMs: z.number().positive().default(180_000),
  seed: z.int().default(0),
  promote: z.boolean().default(false),
})

/** @throws request-invalid naming the parameter */
export function parseImportParams(value: unknown): ImportParams {
  return parse(importParams, value)
}

/** @throws request-invalid naming the parameter */
export function parseLearnParams(value: unknown): LearnParams {
  return parse(learnParams, value)
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
