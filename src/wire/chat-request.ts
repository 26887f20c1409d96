/** Chat-completions request bodies, parsed. Knows nothing of HTTP, tasks or specialists. */
import { UnderstudyError } from '../errors.ts'
import { parameterEscalations } from './chat-parameters.ts'
import { formKeyOf, readShape } from './chat-shape.ts'
import { deliveryOf } from './delivery.ts'
import { isObject } from './json.ts'
import type { Answer, ChatRequest, RequestEscalation } from './types.ts'

type Body = Readonly<Record<string, unknown>>

interface Message {
  readonly role: string
  readonly text: string
  /** Types of the content parts that are not text. */
  readonly otherParts: readonly string[]
}

const ROLES: ReadonlySet<string> = new Set([
  'system',
  'developer',
  'user',
  'assistant',
  'tool',
  'function',
])

/** Roles whose message may come without content, since it may carry tool calls instead. */
const MAY_BE_EMPTY: ReadonlySet<string> = new Set(['assistant', 'function'])

function invalid(param: string | null, message: string, help: string): UnderstudyError {
  return new UnderstudyError('request-invalid', message, { help, details: { param } })
}

/**
 * Reads a chat-completions request. Fields it does not know are kept in `body`.
 * @throws request-invalid, with the offending field in `details.param`, where the request cannot be understood
 */
export function parseChatRequest(body: unknown): ChatRequest {
  if (!isObject(body)) {
    throw invalid(null, 'The body is not a JSON object.', 'Send a chat-completions request.')
  }
  checkTypes(body)
  const messages = readMessages(body.messages)
  const shape = readShape(body)
  const { isStream, includeUsage } = deliveryOf(body)
  const users = messages.filter(message => message.role === 'user')
  const user = users.length === 1 ? users[0] : undefined
  const isPlain = user !== undefined && user.otherParts.length === 0
  return {
    body,
    chat: body,
    lost: [],
    model: body.model as string,
    roles: messages.map(message => message.role),
    systemText: messages
      .filter(message => message.role === 'system' || message.role === 'developer')
      .map(message => message.text)
      .join('\n\n'),
    userText: isPlain ? user.text : null,
    shape: shape.shape,
    isStream,
    includeUsage,
    formKey: formKeyOf(body),
    escalations: [
      ...parameterEscalations(body),
      ...shape.escalations,
      ...messageEscalations(messages),
    ],
  }
}

function checkTypes(body: Body): void {
  if (typeof body.model !== 'string' || body.model === '') {
    throw invalid('model', 'The model is missing or not a string.', 'Name a model in `model`.')
  }
  const { stream, stream_options: options, tools } = body
  if (stream !== undefined && stream !== null && typeof stream !== 'boolean') {
    throw invalid('stream', '`stream` is not a boolean.', 'Send true or false.')
  }
  if (options !== undefined && options !== null && !isObject(options)) {
    throw invalid('stream_options', '`stream_options` is not an object.', 'Send an object.')
  }
  if (tools !== undefined && tools !== null && !Array.isArray(tools)) {
    throw invalid('tools', '`tools` is not an array.', 'Send a list of tools.')
  }
}

function readMessages(messages: unknown): readonly Message[] {
  if (!Array.isArray(messages)) {
    throw invalid('messages', '`messages` is missing or not an array.', 'Send a list of messages.')
  }
  if (messages.length === 0) {
    throw invalid('messages', '`messages` is empty.', 'Send at least one message.')
  }
  return messages.map(readMessage)
}

function readMessage(message: unknown, index: number): Message {
  const at = `messages[${index}]`
  if (!isObject(message)) {
    throw invalid(at, `\`${at}\` is not an object.`, 'Send {"role": …, "content": …}.')
  }
  const { role, content } = message
  if (typeof role !== 'string' || !ROLES.has(role)) {
    const shown = typeof role === 'string' ? `'${role.slice(0, 40)}'` : 'missing or not a string'
    throw invalid(
      `${at}.role`,
      `The role of \`${at}\` is ${shown}.`,
      `Use one of ${[...ROLES].join(', ')}.`,
    )
  }
  if (typeof content === 'string') return { role, text: content, otherParts: [] }
  if (Array.isArray(content)) return readParts(role, content, `${at}.content`)
  if ((content === null || content === undefined) && MAY_BE_EMPTY.has(role)) {
    return { role, text: '', otherParts: [] }
  }
  throw invalid(
    `${at}.content`,
    `The content of \`${at}\` is neither text nor a list of parts.`,
    'Send a string or a list of content parts.',
  )
}

/** Text parts are joined by a line break, as the common chat templates do. */
function readParts(role: string, parts: readonly unknown[], at: string): Message {
  const texts: string[] = []
  const otherParts: string[] = []
  for (const [index, part] of parts.entries()) {
    if (!isObject(part) || typeof part.type !== 'string') {
      const where = `${at}[${index}]`
      throw invalid(where, `\`${where}\` has no type.`, 'Send {"type": "text", "text": …}.')
    }
    if (part.type !== 'text') {
      otherParts.push(part.type)
    } else if (typeof part.text === 'string') {
      texts.push(part.text)
    } else {
      const where = `${at}[${index}].text`
      throw invalid(where, `\`${where}\` is not a string.`, 'Send the text as a string.')
    }
  }
  return { role, text: texts.join('\n'), otherParts }
}

function messageEscalations(messages: readonly Message[]): readonly RequestEscalation[] {
  const escalations: RequestEscalation[] = []
  const other = messages.flatMap(message => message.otherParts)[0]
  if (other !== undefined) escalations.push({ reason: 'non-text-content', parameter: other })
  const users = messages.filter(message => message.role === 'user')
  const isSingleTurn = messages.every(
    ({ role }) => role === 'user' || role === 'system' || role === 'developer',
  )
  if (users.length !== 1 || !isSingleTurn) {
    escalations.push({ reason: 'several-turns' })
  } else if (other === undefined && users[0]?.text.trim() === '') {
    escalations.push({ reason: 'empty-input' })
  }
  return escalations
}

/**
 * The parameter whose limit this answer would break: a `stop` sequence inside the text, or more words than tokens
 * allowed. A lead would have cut there, so the answer must not be given in its place. Null where it fits.
 *
 * `tokenCount` is what the lead is known to need for this answer, 0 where unknown: then a word is at least one.
 */
export function limitBrokenBy(
  { chat: body }: Pick<ChatRequest, 'chat'>,
  answer: Answer,
  tokenCount = 0,
): string | null {
  const text = answer.kind === 'text' ? answer.text : answer.argumentsText
  const stops = typeof body.stop === 'string' ? [body.stop] : body.stop
  if (answer.kind === 'text' && Array.isArray(stops)) {
    if (stops.some(stop => typeof stop === 'string' && stop !== '' && text.includes(stop))) {
      return 'stop'
    }
  }
  for (const name of ['max_completion_tokens', 'max_tokens']) {
    const limit = body[name]
    if (typeof limit === 'number' && Math.max(tokenCount, fewestTokens(text)) > limit) return name
  }
  return null
}

/** Words, at least one: no tokenizer in use needs fewer tokens. */
function fewestTokens(text: string): number {
  return Math.max(1, text.trim().split(/\s+/u).length)
}
