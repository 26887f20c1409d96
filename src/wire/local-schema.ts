/** JSON Schemas as callers write them, brought into the part that a decoding grammar can hold. Knows no model. */
import { UnderstudyError } from '../errors.ts'
import { isObject } from './json.ts'

type Schema = Readonly<Record<string, unknown>>

/** Keywords the grammar enforces as they stand. */
const KEPT = ['description', 'minLength', 'maxLength', 'minItems', 'maxItems'] as const

/** Keywords that say nothing about which values are valid, or that the grammar fulfils anyway. */
const HARMLESS: ReadonlySet<string> = new Set([
  ...['$schema', '$id', '$comment', 'title', 'default', 'examples', 'deprecated', 'readOnly'],
  ...['writeOnly', 'required', 'strict', 'nullable', 'properties', 'additionalProperties', 'items'],
  ...['prefixItems', 'type', 'enum', 'const', 'anyOf', 'oneOf', '$ref', '$defs', 'definitions'],
  ...KEPT,
])

const FORMATS: ReadonlySet<unknown> = new Set(['date-time', 'time', 'date'])

/** Any JSON value, to a depth that a small model can be trusted with; the grammar has no word for "anything". */
const ANY: Schema = {
  oneOf: [
    { type: ['string', 'number', 'boolean', 'null'] },
    { type: 'array', items: { type: ['string', 'number', 'boolean', 'null'] } },
    {
      type: 'object',
      additionalProperties: { type: ['string', 'number', 'boolean', 'null'] },
    },
  ],
}

const MAX_ALTERNATIVES = 4096

/**
 * A schema whose grammar generates only values valid under `schema`. Optional properties are always generated.
 * With `isStrict`, a keyword that cannot be enforced is an error; otherwise it is left out, as best effort.
 * @throws request-invalid, naming the keyword
 */
export function grammarSchema(schema: unknown, isStrict: boolean): Schema {
  let budget = MAX_ALTERNATIVES
  const convert = (value: unknown, path: string): Schema => {
    budget--
    if (budget < 0) throw refuse(path, 'has too many parts', 'Send a smaller schema.')
    if (value === true || (isObject(value) && Object.keys(value).length === 0)) return ANY
    if (!isObject(value)) {
      throw refuse(path, 'is not a schema', 'Send a JSON Schema object.')
    }
    if (isStrict) checkKeywords(value, path)
    return { ...definitionsOf(value, path), ...bodyOf(value, path) }
  }

  const convertAll = (values: Schema, path: string): Schema =>
    Object.fromEntries(
      Object.entries(values).map(([name, value]) => [name, convert(value, `${path}.${name}`)]),
    )

  const definitionsOf = (value: Schema, path: string): Schema => {
    const found = {
      ...(isObject(value.definitions) ? value.definitions : {}),
      ...(isObject(value.$defs) ? value.$defs : {}),
    }
    return Object.keys(found).length === 0 ? {} : { $defs: convertAll(found, `${path}.$defs`) }
  }

  const bodyOf = (value: Schema, path: string): Schema => {
    if (typeof value.$ref === 'string') return { $ref: reference(value.$ref, schema, path) }
    const alternatives = value.anyOf ?? value.oneOf
    if (Array.isArray(alternatives) && alternatives.length > 0) {
      return { oneOf: alternatives.map((item, at) => convert(item, `${path}.anyOf[${at}]`)) }
    }
    if (value.const !== undefined) return literals([value.const], path)
    if (Array.isArray(value.enum)) return literals(value.enum, path)
    if (Array.isArray(value.type)) {
      return { oneOf: value.type.map(type => bodyOf({ ...value, type }, path)) }
    }
    return typedBody(value, path)
  }

  const typedBody = (value: Schema, path: string): Schema => {
    const kept = Object.fromEntries(
      KEPT.flatMap(name => (value[name] === undefined ? [] : [[name, value[name]]])),
    )
    switch (value.type ?? (isObject(value.properties) ? 'object' : undefined)) {
      case 'object':
        return { type: 'object', ...objectBody(value, path) }
      case 'array':
        return { type: 'array', ...kept, ...arrayBody(value, path) }
      case 'string':
        return FORMATS.has(value.format)
          ? { type: 'string', format: value.format }
          : { type: 'string', ...kept }
      case 'number':
      case 'integer':
      case 'boolean':
      case 'null':
        return { type: value.type }
      case undefined:
        return ANY
      default:
        throw refuse(path, `has the type ${JSON.stringify(value.type)}`, 'Use a JSON type.')
    }
  }

  const objectBody = (value: Schema, path: string): Schema => {
    const properties = isObject(value.properties)
      ? convertAll(value.properties, `${path}.properties`)
      : {}
    // Without named properties only extra ones can make the object say anything.
    const isOpen = Object.keys(properties).length === 0 && value.additionalProperties !== false
    const extra = isObject(value.additionalProperties)
      ? convert(value.additionalProperties, `${path}.additionalProperties`)
      : ANY
    return { properties, ...(isOpen ? { additionalProperties: extra } : {}) }
  }

  const arrayBody = (value: Schema, path: string): Schema => ({
    items: value.items === undefined ? ANY : convert(value.items, `${path}.items`),
    ...(Array.isArray(value.prefixItems)
      ? {
          prefixItems: value.prefixItems.map((item, at) =>
            convert(item, `${path}.prefixItems[${at}]`),
          ),
        }
      : {}),
  })

  return convert(schema, 'schema')
}

function literals(values: readonly unknown[], path: string): Schema {
  const isPlain = values.every(value => value === null || typeof value !== 'object')
  if (!isPlain || values.length === 0) {
    throw refuse(path, 'enumerates objects, lists or nothing', 'Enumerate plain values.')
  }
  return { enum: values }
}

/** The grammar knows `#/$defs/NAME` only; a dangling reference would silently mean "anything". */
function reference(ref: string, root: unknown, path: string): string {
  const name = /^#\/(?:\$defs|definitions)\/([^/]+)$/u.exec(ref)?.[1]
  const known = isObject(root) ? [root.$defs, root.definitions] : []
  if (name !== undefined && known.some(defs => isObject(defs) && Object.hasOwn(defs, name))) {
    return `#/$defs/${name}`
  }
  throw refuse(path, `refers to '${ref.slice(0, 60)}'`, 'Refer to #/$defs/NAME of the schema.')
}

function checkKeywords(value: Schema, path: string): void {
  const bad = Object.keys(value).find(
    name => !HARMLESS.has(name) && !(name === 'format' && FORMATS.has(value.format)),
  )
  if (bad !== undefined) {
    throw refuse(
      path,
      `uses the keyword '${bad.slice(0, 40)}', which the local model cannot be held to`,
      'Leave it out, or send `strict: false`.',
    )
  }
}

function refuse(path: string, fault: string, help: string): UnderstudyError {
  return new UnderstudyError('request-invalid', `The schema at \`${path}\` ${fault}.`, {
    help,
    details: { param: 'response_format' },
  })
}
