/** What every official client is made to do, as data: the same calls in each language. */

/** `stream`: every event; `gather`: what the client itself adds a stream up to; `fail`: the error that it raises. */
export type CallMode = 'plain' | 'stream' | 'gather' | 'fail'

export interface Call {
  readonly name: string
  /** Path to the method, such as `chat.completions.create`. */
  readonly method: string
  readonly mode: CallMode
  readonly args: Readonly<Record<string, unknown>>
}

type Args = Readonly<Record<string, unknown>>

const model = 'gpt-4o-mini'
const system = 'Name the intent.'
const user = 'I lost my card'
const schema = {
  type: 'object',
  properties: { label: { enum: ['card_lost', 'refund'] } },
  required: ['label'],
  additionalProperties: false,
}
const image = 'data:image/png;base64,iVBORw0KGgo='
const STATUSES = [400, 401, 404, 429, 500]

const call = (name: string, method: string, args: Args, mode: CallMode = 'plain'): Call => ({
  name,
  method,
  mode,
  args,
})
const failures = (name: string, method: string, args: Args): Call[] =>
  STATUSES.map(status =>
    call(`${name}-error-${status}`, method, { ...args, model: `error-${status}` }, 'fail'),
  )
/** Plain and streamed. */
const both = (name: string, method: string, args: Args): Call[] => [
  call(name, method, args),
  call(`${name}-stream`, method, { ...args, stream: true }, 'stream'),
]

const CHAT = 'chat.completions.create'
const chat = {
  model,
  messages: [
    { role: 'system', content: system },
    { role: 'user', content: user },
  ],
}
export const chatTools = {
  tools: [{ type: 'function', function: { name: 'classify', parameters: schema } }],
  tool_choice: { type: 'function', function: { name: 'classify' } },
}
const picture = [
  { role: 'user', content: [{ type: 'image_url', image_url: { url: image, detail: 'low' } }] },
]
const format = { type: 'json_schema', json_schema: { name: 'intent', schema, strict: true } }

const responses = { model, instructions: system, input: user }
export const responsesTools = {
  tools: [{ type: 'function', name: 'classify', parameters: schema, strict: true }],
  tool_choice: { type: 'function', name: 'classify' },
}

const messages = {
  model,
  max_tokens: 200,
  system,
  messages: [{ role: 'user', content: user }],
}
export const messagesTools = {
  tools: [{ name: 'classify', input_schema: schema }],
  tool_choice: { type: 'tool', name: 'classify' },
}

/** Calls of the OpenAI clients. */
export const OPENAI_CALLS: readonly Call[] = [
  ...both('chat', CHAT, chat),
  call(
    'chat-usage',
    CHAT,
    { ...chat, stream: true, stream_options: { include_usage: true } },
    'stream',
  ),
  ...both('chat-tool', CHAT, { ...chat, ...chatTools }),
  ...both('chat-parallel', CHAT, { ...chat, tools: chatTools.tools, model: 'parallel' }),
  ...both('chat-logprobs', CHAT, { ...chat, logprobs: true, top_logprobs: 2 }),
  ...both('chat-reasoning', CHAT, { ...chat, model: 'reasoning', reasoning_effort: 'low' }),
  call('chat-format', CHAT, { ...chat, response_format: format }),
  call('chat-image', CHAT, { ...chat, messages: picture }),
  ...failures('chat', CHAT, chat),
  ...both('completions', 'completions.create', { model, prompt: user, logprobs: 2 }),
  ...failures('completions', 'completions.create', { prompt: user }),
  call('embeddings', 'embeddings.create', { model, input: [user, system] }),
  call('embeddings-float', 'embeddings.create', { model, input: user, encoding_format: 'float' }),
  ...failures('embeddings', 'embeddings.create', { input: user }),
  ...both('responses', 'responses.create', responses),
  ...both('responses-tool', 'responses.create', { ...responses, ...responsesTools }),
  ...both('responses-parallel', 'responses.create', {
    ...responses,
    tools: responsesTools.tools,
    model: 'parallel',
  }),
  ...failures('responses', 'responses.create', responses),
  call('decisions', 'decisions.create', {
    model,
    input: user,
    questions: [
      { type: 'predicate', name: 'lost', instructions: 'Is a card lost?' },
      { type: 'choice', instructions: 'Which?', choices: [{ value: 'card' }, { value: 'pin' }] },
      { type: 'score', instructions: 'How bad?', levels: [{ label: 'a' }, { label: 'b' }] },
    ],
  }),
  call('models', 'models.list', {}),
]

/** Calls of the Anthropic clients. */
export const ANTHROPIC_CALLS: readonly Call[] = [
  ...both('messages', 'messages.create', messages),
  call('messages-gather', 'messages.stream', messages, 'gather'),
  ...both('messages-tool', 'messages.create', { ...messages, ...messagesTools }),
  call('messages-tool-gather', 'messages.stream', { ...messages, ...messagesTools }, 'gather'),
  ...both('messages-parallel', 'messages.create', {
    ...messages,
    tools: messagesTools.tools,
    model: 'parallel',
  }),
  ...both('messages-thinking', 'messages.create', {
    ...messages,
    max_tokens: 2000,
    thinking: { type: 'enabled', budget_tokens: 1024 },
  }),
  ...failures('messages', 'messages.create', messages),
  call('count-tokens', 'messages.count_tokens', { model, messages: messages.messages }),
]

/** What a specialist is asked by the same clients; it has the same answer to all of it. */
export const SPECIALIST_CALLS = {
  openai: [
    ...both('chat', CHAT, chat),
    call(
      'chat-usage',
      CHAT,
      { ...chat, stream: true, stream_options: { include_usage: true } },
      'stream',
    ),
    ...both('chat-tool', CHAT, { ...chat, ...chatTools }),
    ...both('responses', 'responses.create', responses),
    ...both('responses-tool', 'responses.create', { ...responses, ...responsesTools }),
    call('responses-gather', 'responses.stream', responses, 'gather'),
    call(
      'responses-tool-gather',
      'responses.stream',
      { ...responses, ...responsesTools },
      'gather',
    ),
  ],
  anthropic: [
    ...both('messages', 'messages.create', messages),
    ...both('messages-tool', 'messages.create', { ...messages, ...messagesTools }),
    call('messages-gather', 'messages.stream', messages, 'gather'),
    call('messages-tool-gather', 'messages.stream', { ...messages, ...messagesTools }, 'gather'),
  ],
} satisfies Readonly<Record<string, readonly Call[]>>

/** Calls that must fail at the gateway, though not at the lead. */
export const BROKEN_CALLS = {
  openai: [
    call('unfinished', CHAT, { ...chat, model: 'unfinished', stream: true }, 'fail'),
    call(
      'responses-unfinished',
      'responses.create',
      { ...responses, model: 'unfinished', stream: true },
      'fail',
    ),
    call('bad-request', CHAT, { ...chat, messages: 'x' }, 'fail'),
  ],
  anthropic: [
    call(
      'unfinished',
      'messages.create',
      { ...messages, model: 'unfinished', stream: true },
      'fail',
    ),
    call('bad-request', 'messages.create', { ...messages, messages: 'x' }, 'fail'),
  ],
} satisfies Readonly<Record<string, readonly Call[]>>
