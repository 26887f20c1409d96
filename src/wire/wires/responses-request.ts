/** OpenAI responses requests, said as chat completions. Knows nothing of answers. */
import { isObject } from '../json.ts'
import type { ChatRequest } from '../types.ts'
import {
  as,
  contentOf,
  type FieldRule,
  invalid,
  type Json,
  lose,
  readEnvelope,
  skip,
  type Translation,
  translatedRequest,
  translateFields,
  unless,
} from './translate.ts'

const ROLES: ReadonlySet<unknown> = new Set(['user', 'assistant', 'system', 'developer'])

/**
 * Reads a responses request.
 * @throws request-invalid, with the offending field in `details.param`
 */
export function parseResponsesRequest(body: unknown): ChatRequest {
  const fields = readEnvelope(body, 'a responses request')
  const to: Translation = { chat: { messages: [] }, lost: [] }
  const messages = to.chat.messages as Json[]
  const { instructions } = fields
  if (typeof instructions === 'string') messages.push({ role: 'system', content: instructions })
  else if (instructions !== undefined && instructions !== null) {
    throw invalid('instructions', '`instructions` is not a string.', 'Send a string.')
  }
  readInput(fields.input, messages, to)
  translateFields(fields, FIELDS, to)
  // What refers to state that the API keeps has no messages of its own.
  if (messages.length === 0) messages.push({ role: 'user', content: '' })
  const { background = null } = fields
  return {
    ...translatedRequest(fields, to),
    ...(background !== null && background !== false && { isDeferred: true }),
  }
}

function readInput(input: unknown, out: Json[], to: Translation): void {
  if (input === undefined || input === null) return
  if (typeof input === 'string') {
    out.push({ role: 'user', content: input })
    return
  }
  if (!Array.isArray(input)) {
    throw invalid('input', '`input` is neither text nor a list of items.', 'Send one of them.')
  }
  for (const [index, item] of input.entries()) {
    const at = `input[${index}]`
    if (!isObject(item)) {
      throw invalid(at, `\`${at}\` is not an object.`, 'Send {"role": …, "content": …}.')
    }
    const type = item.type ?? 'message'
    const read = typeof type === 'string' && Object.hasOwn(ITEMS, type) ? ITEMS[type] : undefined
    if (read === undefined || !read(item, out, at, to)) to.lost.push(at)
  }
}

/** Reads an item into the messages; false where it has no place there. */
type ItemRule = (item: Json, out: Json[], at: string, to: Translation) => boolean

const ITEMS: Readonly<Record<string, ItemRule>> = {
  message({ role, content }, out, at, to) {
    if (!ROLES.has(role)) {
      throw invalid(`${at}.role`, `The role of \`${at}\` is none.`, 'Use user or assistant.')
    }
    const message = { role, content: readContent(content, `${at}.content`, to) }
    out.push(message)
    return true
  },
  function_call({ call_id: id, name, arguments: text }, out) {
    if (typeof id !== 'string' || typeof name !== 'string' || typeof text !== 'string') return false
    const call = { id, type: 'function', function: { name, arguments: text } }
    const last = out.at(-1)
    // Calls of one turn are one message, together with what was said before them.
    if (last?.role === 'assistant') {
      const before = Array.isArray(last.tool_calls) ? last.tool_calls : []
      out[out.length - 1] = { ...last, tool_calls: [...before, call] }
    } else out.push({ role: 'assistant', content: null, tool_calls: [call] })
    return true
  },
  function_call_output({ call_id: id, output }, out, at, to) {
    if (typeof id !== 'string') return false
    const content = readContent(output, `${at}.output`, to)
    out.push({ role: 'tool', tool_call_id: id, content })
    return true
  },
}

function readContent(content: unknown, at: string, to: Translation): unknown {
  if (typeof content === 'string') return content
  if (!Array.isArray(content)) {
    throw invalid(
      at,
      `\`${at}\` is neither text nor a list of parts.`,
      'Send a string or a list of content parts.',
    )
  }
  const parts: Json[] = []
  for (const [index, part] of content.entries()) {
    const where = `${at}[${index}]`
    if (!isObject(part) || typeof part.type !== 'string') {
      throw invalid(where, `\`${where}\` has no type.`, 'Send {"type": "input_text", "text": …}.')
    }
    const said = partOf(part, where)
    if (said === null) to.lost.push(where)
    else parts.push(said)
  }
  return contentOf(parts)
}

const TEXTS: ReadonlySet<unknown> = new Set(['input_text', 'output_text', 'text'])

function partOf(part: Json, where: string): Json | null {
  if (TEXTS.has(part.type)) {
    if (typeof part.text === 'string') return { type: 'text', text: part.text }
    throw invalid(`${where}.text`, `\`${where}.text\` is not a string.`, 'Send the text as one.')
  }
  if (part.type === 'input_image' && typeof part.image_url === 'string') {
    const detail = typeof part.detail === 'string' ? { detail: part.detail } : {}
    return { type: 'image_url', image_url: { url: part.image_url, ...detail } }
  }
  if (part.type === 'input_audio' && isObject(part.input_audio)) return part
  return null
}

const tools: FieldRule = (value, to) => {
  if (!Array.isArray(value)) throw invalid('tools', '`tools` is not an array.', 'Send a list.')
  const functions: Json[] = []
  for (const [index, tool] of value.entries()) {
    if (!isObject(tool) || tool.type !== 'function' || typeof tool.name !== 'string') {
      to.lost.push(`tools[${index}]`)
      continue
    }
    const { type: _, ...named } = tool
    const said = Object.entries(named).filter(([, field]) => field !== null)
    functions.push({ type: 'function', function: Object.fromEntries(said) })
  }
  if (functions.length > 0) to.chat.tools = functions
}

const toolChoice: FieldRule = (value, to, at) => {
  if (typeof value === 'string') to.chat.tool_choice = value
  else if (isObject(value) && value.type === 'function' && typeof value.name === 'string') {
    to.chat.tool_choice = { type: 'function', function: { name: value.name } }
  } else to.lost.push(at)
}

const text: FieldRule = (value, to, at) => {
  if (!isObject(value)) throw invalid(at, `\`${at}\` is not an object.`, 'Send an object.')
  translateFields(
    value,
    {
      verbosity: as('verbosity'),
      format(format, { chat, lost }, where) {
        if (!isObject(format)) return void lost.push(where)
        const { type, ...rest } = format
        if (type === 'text') return
        if (type === 'json_object') chat.response_format = { type }
        else if (type === 'json_schema') chat.response_format = { type, json_schema: rest }
        else lost.push(where)
      },
    },
    to,
    `${at}.`,
  )
}

const reasoning: FieldRule = (value, to, at) => {
  if (!isObject(value)) throw invalid(at, `\`${at}\` is not an object.`, 'Send an object.')
  translateFields(value, { effort: as('reasoning_effort') }, to, `${at}.`)
}

const loseUnlessEmpty: FieldRule = (value, to, name) => {
  if (!Array.isArray(value) || value.length > 0) to.lost.push(name)
}

/** Every known field. One that is missing here is lost. */
const FIELDS: Readonly<Record<string, FieldRule>> = {
  input: skip,
  instructions: skip,
  model: as(),
  stream: as(),
  stream_options: skip,
  max_output_tokens: as('max_completion_tokens'),
  temperature: as(),
  top_p: as(),
  user: as(),
  metadata: as(),
  store: as(),
  service_tier: as(),
  parallel_tool_calls: as(),
  prompt_cache_key: as(),
  prompt_cache_retention: as(),
  safety_identifier: as(),
  top_logprobs: unless(0, lose),
  tools,
  tool_choice: toolChoice,
  text,
  reasoning,
  include: loseUnlessEmpty,
  background: unless(false, lose),
  truncation: unless('disabled', lose),
}
