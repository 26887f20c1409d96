/** Anthropic messages requests, said as chat completions. Knows nothing of answers. */
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

const ROLES: ReadonlySet<unknown> = new Set(['user', 'assistant', 'system'])

/**
 * Reads a messages request.
 * @throws request-invalid, with the offending field in `details.param`
 */
export function parseMessagesRequest(body: unknown): ChatRequest {
  const fields = readEnvelope(body, 'a messages request')
  const to: Translation = { chat: { messages: [] }, lost: [] }
  const messages = to.chat.messages as Json[]
  const system = readContent(fields.system ?? '', 'system', to)
  if (system.parts.length > 0) messages.push({ role: 'system', content: contentOf(system.parts) })
  readMessages(fields.messages, messages, to)
  translateFields(fields, FIELDS, to)
  return translatedRequest(fields, to)
}

function readMessages(value: unknown, out: Json[], to: Translation): void {
  if (!Array.isArray(value)) {
    throw invalid('messages', '`messages` is missing or not an array.', 'Send a list of messages.')
  }
  if (value.length === 0) {
    throw invalid('messages', '`messages` is empty.', 'Send at least one message.')
  }
  for (const [index, message] of value.entries()) {
    const at = `messages[${index}]`
    if (!isObject(message)) {
      throw invalid(at, `\`${at}\` is not an object.`, 'Send {"role": …, "content": …}.')
    }
    if (!ROLES.has(message.role)) {
      throw invalid(`${at}.role`, `The role of \`${at}\` is none.`, 'Use user or assistant.')
    }
    const { parts, calls, results } = readContent(message.content, `${at}.content`, to)
    out.push(...results)
    if (parts.length > 0 || calls.length > 0 || results.length === 0) {
      const content = parts.length === 0 && calls.length > 0 ? null : contentOf(parts)
      out.push({
        role: message.role,
        content,
        ...(calls.length === 0 ? {} : { tool_calls: calls }),
      })
    }
  }
}

interface Content {
  readonly parts: Json[]
  readonly calls: Json[]
  /** Messages of role `tool`; they come before the rest of their message. */
  readonly results: Json[]
}

function readContent(value: unknown, at: string, to: Translation): Content {
  const content: Content = { parts: [], calls: [], results: [] }
  if (typeof value === 'string') {
    if (value !== '') content.parts.push({ type: 'text', text: value })
    return content
  }
  if (!Array.isArray(value)) {
    throw invalid(
      at,
      `\`${at}\` is neither text nor a list of blocks.`,
      'Send a string or a list of content blocks.',
    )
  }
  for (const [index, block] of value.entries()) {
    const where = `${at}[${index}]`
    if (!isObject(block) || typeof block.type !== 'string') {
      throw invalid(where, `\`${where}\` has no type.`, 'Send {"type": "text", "text": …}.')
    }
    const read = Object.hasOwn(BLOCKS, block.type) ? BLOCKS[block.type] : undefined
    if (read === undefined || !read(block, content, where, to)) to.lost.push(where)
  }
  return content
}

/** Reads a block into the content; false where it has no place there. */
type BlockRule = (block: Json, content: Content, where: string, to: Translation) => boolean

const BLOCKS: Readonly<Record<string, BlockRule>> = {
  text({ text }, { parts }, where) {
    if (typeof text !== 'string') {
      throw invalid(`${where}.text`, `\`${where}.text\` is not a string.`, 'Send the text as one.')
    }
    parts.push({ type: 'text', text })
    return true
  },
  image({ source }, { parts }) {
    const url = isObject(source) ? imageUrl(source) : null
    if (url === null) return false
    parts.push({ type: 'image_url', image_url: { url } })
    return true
  },
  tool_use({ id, name, input }, { calls }) {
    if (typeof id !== 'string' || typeof name !== 'string') return false
    const call = { name, arguments: JSON.stringify(input ?? {}) }
    calls.push({ id, type: 'function', function: call })
    return true
  },
  tool_result({ tool_use_id: id, content, is_error: isError }, { results }, where, to) {
    if (typeof id !== 'string') return false
    const inner = readContent(content ?? '', `${where}.content`, to)
    const isText = inner.parts.every(part => part.type === 'text')
    if (isError === true || !isText || inner.calls.length + inner.results.length > 0) return false
    results.push({ role: 'tool', tool_call_id: id, content: contentOf(inner.parts) })
    return true
  },
}

function imageUrl({ type, media_type: mediaType, data, url }: Json): string | null {
  if (type === 'url' && typeof url === 'string') return url
  const isInline = type === 'base64' && typeof mediaType === 'string' && typeof data === 'string'
  return isInline ? `data:${mediaType};base64,${data}` : null
}

const tools: FieldRule = (value, to) => {
  if (!Array.isArray(value)) throw invalid('tools', '`tools` is not an array.', 'Send a list.')
  const functions: Json[] = []
  for (const [index, tool] of value.entries()) {
    const isOwn = isObject(tool) && (tool.type === undefined || tool.type === 'custom')
    if (!isOwn || typeof tool.name !== 'string') {
      to.lost.push(`tools[${index}]`)
      continue
    }
    // A cache marker says nothing about the answer.
    const { type: _, name, description, input_schema: parameters, strict, ...rest } = tool
    const { cache_control: _cache, ...more } = rest
    to.lost.push(...Object.keys(more).map(field => `tools[${index}].${field}`))
    const named = { name, ...some({ description, parameters, strict }) }
    functions.push({ type: 'function', function: named })
  }
  if (functions.length > 0) to.chat.tools = functions
}

function some(fields: Json): Json {
  return Object.fromEntries(
    Object.entries(fields).filter(([, value]) => value !== undefined && value !== null),
  )
}

const CHOICES: Readonly<Record<string, string>> = { auto: 'auto', any: 'required', none: 'none' }

const toolChoice: FieldRule = (value, to, at) => {
  if (!isObject(value)) throw invalid(at, `\`${at}\` is not an object.`, 'Send {"type": …}.')
  const { type, name, disable_parallel_tool_use: isSingle } = value
  if (isSingle === true) to.chat.parallel_tool_calls = false
  if (type === 'tool' && typeof name === 'string') {
    to.chat.tool_choice = { type: 'function', function: { name } }
  } else if (typeof type === 'string' && Object.hasOwn(CHOICES, type)) {
    to.chat.tool_choice = CHOICES[type]
  } else to.lost.push(at)
}

const outputConfig: FieldRule = (value, to, at) => {
  if (!isObject(value)) throw invalid(at, `\`${at}\` is not an object.`, 'Send an object.')
  translateFields(
    value,
    {
      effort: as('reasoning_effort'),
      format(format, { chat, lost }, where) {
        if (!isObject(format) || format.type !== 'json_schema') return void lost.push(where)
        const json_schema = { name: 'answer', schema: format.schema ?? null, strict: true }
        chat.response_format = { type: 'json_schema', json_schema }
      },
    },
    to,
    `${at}.`,
  )
}

const metadata: FieldRule = (value, to, at) => {
  if (!isObject(value)) throw invalid(at, `\`${at}\` is not an object.`, 'Send an object.')
  translateFields(value, { user_id: as('user') }, to, `${at}.`)
}

/** Every known field. One that is missing here is lost. */
const FIELDS: Readonly<Record<string, FieldRule>> = {
  system: skip,
  messages: skip,
  model: as(),
  stream: as(),
  max_tokens: as(),
  temperature: as(),
  top_p: as(),
  top_k: as(),
  stop_sequences: (value, { chat }) => {
    if (!Array.isArray(value) || value.length > 0) chat.stop = value
  },
  metadata,
  tools,
  tool_choice: toolChoice,
  output_config: outputConfig,
  service_tier: skip,
  cache_control: skip,
  speed: unless('standard', lose),
  thinking: (value, to, name) => {
    if (!isObject(value) || value.type !== 'disabled') to.lost.push(name)
  },
}
