/** What a configuration file may say, as a zod schema made from the settings table. Knows neither files nor YAML. */
import { z } from 'zod'
import { nearest } from '../util/index.ts'
import { keyLimits, SECTIONS } from './sections.ts'
import { fileName, SETTINGS, type SettingSpec } from './settings.ts'

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
    settingSchema(spec).describe(spec.help).optional(),
  ]),
)

const tables = z.strictObject({ ...settings, ...SECTIONS })

export type ConfigFile = z.infer<typeof tables>

export const fileSchema = tables.superRefine((file, context) => {
  const issue = (path: readonly PropertyKey[], message: string): void =>
    context.addIssue({ code: 'custom', path: [...path], message })
  checkTwice(file.tasks ?? [], 'tasks', issue)
  checkTwice(file.keys ?? [], 'keys', issue)
  checkTargets(file, issue)
})

type Report = (path: readonly PropertyKey[], message: string) => void

function checkTwice(
  rows: readonly { name?: string | undefined }[],
  section: string,
  issue: Report,
): void {
  const seen = new Set<string>()
  for (const [index, { name }] of rows.entries()) {
    if (name === undefined) continue
    if (seen.has(name)) issue([section, index, 'name'], `'${name}' is declared twice`)
    seen.add(name)
  }
}

function checkTargets({ upstreams = {}, routes = {} }: ConfigFile, issue: Report): void {
  const names = Object.keys(upstreams)
  for (const [route, { to, fallbacks = [] }] of Object.entries(routes)) {
    const lists = { to, fallbacks }
    for (const [list, targets] of Object.entries(lists)) {
      for (const [index, { upstream }] of targets.entries()) {
        if (names.includes(upstream)) continue
        const near = nearest(upstream, names)
        const hint =
          near === null ? `, only ${names.join(', ') || 'none'}` : `; did you mean '${near}'?`
        issue(
          ['routes', route, list, index, 'upstream'],
          `names '${upstream}', and there is no such upstream${hint}`,
        )
      }
    }
    if (to.every(({ weight }) => weight === 0)) {
      issue(['routes', route, 'to'], 'must have a target of a weight above 0')
    }
  }
}

/** Rules of a virtual key, as the API takes them. */
export const keyRulesSchema = z.strictObject(keyLimits)

/** Keys that may stand at a place, to suggest the nearest; empty where any may. */
export function knownKeys(path: readonly PropertyKey[]): readonly string[] {
  let at: z.core.$ZodType = tables
  for (const step of path) {
    const next = childOf(unwrapped(at), step)
    if (next === null) return []
    at = next
  }
  const { def } = unwrapped(at)._zod as unknown as { def: { type: string; shape?: object } }
  return def.type === 'object' ? Object.keys(def.shape ?? {}) : []
}

/** The parts of a zod definition that lead further down. */
interface Definition {
  readonly type: string
  readonly innerType?: z.core.$ZodType
  readonly in?: z.core.$ZodType
  readonly shape?: Readonly<Record<string, z.core.$ZodType>>
  readonly valueType?: z.core.$ZodType
  readonly element?: z.core.$ZodType
}

function definitionOf(schema: z.core.$ZodType): Definition {
  return schema._zod.def as unknown as Definition
}

function unwrapped(schema: z.core.$ZodType): z.core.$ZodType {
  const { innerType, in: input } = definitionOf(schema)
  const inner = innerType ?? input
  return inner === undefined ? schema : unwrapped(inner)
}

function childOf(schema: z.core.$ZodType, step: PropertyKey): z.core.$ZodType | null {
  const { shape, valueType, element } = definitionOf(schema)
  if (shape !== undefined) return Object.hasOwn(shape, step) ? (shape[String(step)] ?? null) : null
  return valueType ?? element ?? null
}

/** JSON Schema (2020-12) of the file, for editors. */
export function configJsonSchema(): Readonly<Record<string, unknown>> {
  const schema = z.toJSONSchema(tables, { io: 'input', unrepresentable: 'any' })
  return { title: 'understudy.yaml', ...schema }
}
