/** What a configuration file may say, as a zod schema made from the settings table. Knows neither files nor YAML. */
import { z } from 'zod'
import { fileName, SETTINGS, type SettingSpec } from './settings.ts'

const name = z.string().min(1, 'must not be empty').max(100, 'must have at most 100 characters')

const price = z.strictObject({
  input: z.number('must be a number').min(0, 'must not be negative'),
  output: z.number('must be a number').min(0, 'must not be negative'),
})

const task = z.strictObject({
  name,
  match: z
    .strictObject({
      app: name.optional(),
      model: name.optional(),
      system: z.string('must be text').optional(),
    })
    .refine(match => Object.values(match).some(value => value !== undefined), {
      message:
        'must name an app, a model or a system text; without any it would match every request',
    })
    .optional(),
})

const key = z.strictObject({
  key: z.string().min(8, 'must have at least 8 characters'),
  app: name.optional(),
})

/** One setting's value as the file may hold it. */
export function settingSchema(spec: SettingSpec): z.ZodType {
  switch (spec.type) {
    case 'text':
      return z.string('must be text').min(1, 'must not be empty').nullable()
    case 'flag':
      return z.boolean('must be true or false')
    case 'choice':
      return z.enum(spec.choices, `must be ${spec.choices.join(' or ')}`)
    case 'number': {
      const message = `must be a ${spec.isWhole === true ? 'whole ' : ''}number from ${spec.min} to ${spec.max}`
      const number = z.number(message).min(spec.min, message).max(spec.max, message)
      return spec.isWhole === true ? number.int(message) : number
    }
  }
}

const settings: Record<string, z.ZodType> = Object.fromEntries(
  Object.entries(SETTINGS).map(([setting, spec]) => [
    fileName(setting),
    settingSchema(spec).optional(),
  ]),
)

export const fileSchema = z
  .strictObject({
    ...settings,
    keys: z.array(key, 'must be a list').optional(),
    tasks: z.array(task, 'must be a list').optional(),
    prices: z.record(z.string(), price, 'must be a table of models').optional(),
  })
  .superRefine((file, context) => {
    const seen = new Set<string>()
    for (const [index, { name: taskName }] of (file.tasks ?? []).entries()) {
      if (seen.has(taskName)) {
        context.addIssue({
          code: 'custom',
          path: ['tasks', index, 'name'],
          message: `'${taskName}' is declared twice`,
        })
      }
      seen.add(taskName)
    }
  })

export type ConfigFile = z.infer<typeof fileSchema>

/** Keys that may stand at a place, to suggest the nearest; null where any may. */
export function knownKeys(path: readonly PropertyKey[]): readonly string[] | null {
  const [first, , third] = path
  if (first === undefined) return Object.keys(fileSchema.shape)
  if (first === 'tasks') return third === 'match' ? ['app', 'model', 'system'] : ['name', 'match']
  if (first === 'keys') return ['key', 'app']
  return first === 'prices' && path.length === 2 ? ['input', 'output'] : null
}
