/** Puts a label into the shape that a request demands: a declared task has labels only, its callers may want JSON or a tool. */
import type { Answer, ResponseShape } from '../wire/index.ts'

/**
 * The answer in the demanded shape; null where the shape has no single place for it.
 * An answer that already has the shape (a task learned from such traffic) is returned as it is.
 */
export function dress(answer: Answer, shape: ResponseShape): Answer | null {
  switch (shape.kind) {
    case 'text':
      return answer.kind === 'text' ? answer : null
    case 'json': {
      if (answer.kind !== 'text') return null
      if (isJsonObject(answer.text)) return answer
      const property = enumProperty(shape.schema, answer.text)
      return property === null
        ? null
        : { kind: 'text', text: JSON.stringify({ [property]: answer.text }) }
    }
    case 'tool': {
      if (answer.kind === 'tool') return answer.name === shape.name ? answer : null
      const property = enumProperty(shape.parameters, answer.text)
      if (property === null) return null
      return {
        kind: 'tool',
        name: shape.name,
        argumentsText: JSON.stringify({ [property]: answer.text }),
      }
    }
  }
}

/** Name of the only property of an object schema, if it is an enum that holds the label. */
function enumProperty(schema: unknown, label: string): string | null {
  const properties = (schema as { properties?: unknown } | null)?.properties
  if (typeof properties !== 'object' || properties === null) return null
  const entries = Object.entries(properties as Record<string, { enum?: unknown } | null>)
  const [entry] = entries
  if (entries.length !== 1 || entry === undefined) return null
  const allowed = entry[1]?.enum
  return Array.isArray(allowed) && allowed.includes(label) ? entry[0] : null
}

function isJsonObject(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value)
  } catch {
    return false
  }
}
