/** What form a chat request demands of its answer: text, JSON, or one forced function. Knows nothing of messages. */
import { canonicalJson } from '../util/index.ts'
import { isObject } from './json.ts'
import type { RequestEscalation, ResponseShape } from './types.ts'

type Body = Readonly<Record<string, unknown>>

export interface ShapeReading {
  readonly shape: ResponseShape
  readonly escalations: readonly RequestEscalation[]
}

const TEXT: ResponseShape = { kind: 'text' }

/** Canonical JSON of all that fixes the answer's form, for a task's key. */
export function formKeyOf(body: Body): string {
  const { response_format, tools, tool_choice, functions, function_call } = body
  return canonicalJson({
    response_format: response_format ?? null,
    tools: tools ?? null,
    tool_choice: tool_choice ?? null,
    ...(functions ? { functions } : {}),
    ...(function_call ? { function_call } : {}),
  })
}

/** The shape demanded, and why a specialist could not give it. */
export function readShape(body: Body): ShapeReading {
  if (body.functions || body.function_call) return unforced('functions')
  const tools = Array.isArray(body.tools) ? body.tools : []
  if (tools.length > 0 && body.tool_choice !== 'none') return readTools(tools, body.tool_choice)
  if (isObject(body.tool_choice)) return unforced('tool_choice')
  return readFormat(body.response_format)
}

function unforced(parameter: string): ShapeReading {
  return { shape: TEXT, escalations: [{ reason: 'unforced-tools', parameter }] }
}

function readTools(tools: readonly unknown[], choice: unknown): ShapeReading {
  const name = forcedName(tools, choice)
  if (name === null) return unforced('tool_choice')
  const declared = tools.map(functionOf).find(fn => fn?.name === name)
  if (!declared) return unforced('tool_choice')
  return {
    shape: { kind: 'tool', name, parameters: declared.parameters ?? null },
    escalations: [],
  }
}

/** The one function that the answer must call, null where the lead may choose. */
function forcedName(tools: readonly unknown[], choice: unknown): string | null {
  if (isObject(choice)) {
    const named = choice.type === 'function' && isObject(choice.function) && choice.function.name
    return typeof named === 'string' ? named : null
  }
  if (choice !== 'required' || tools.length !== 1) return null
  const only = functionOf(tools[0])
  return typeof only?.name === 'string' ? only.name : null
}

function functionOf(tool: unknown): Body | null {
  return isObject(tool) && tool.type === 'function' && isObject(tool.function)
    ? tool.function
    : null
}

function readFormat(format: unknown): ShapeReading {
  if (format === undefined || format === null) return { shape: TEXT, escalations: [] }
  if (isObject(format)) {
    if (format.type === 'text') return { shape: TEXT, escalations: [] }
    if (format.type === 'json_object') {
      return { shape: { kind: 'json', schema: null }, escalations: [] }
    }
    if (format.type === 'json_schema' && isObject(format.json_schema)) {
      const schema = format.json_schema.schema ?? null
      return { shape: { kind: 'json', schema }, escalations: [] }
    }
  }
  return {
    shape: TEXT,
    escalations: [{ reason: 'unknown-parameter', parameter: 'response_format' }],
  }
}
