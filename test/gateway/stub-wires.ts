/** What a lead answers on each wire but chat, field by field as the APIs document it, whole and streamed. */

export type Json = Record<string, unknown>

/** One event of a stream: its name where the wire gives one, and its data. */
export interface StubEvent {
  readonly event?: string
  readonly data: unknown
}

export interface StubWire {
  whole(body: Json): Json
  /** Null where the wire does not stream. */
  events: ((body: Json) => StubEvent[]) | null
  error(status: number): Json
}

const CREATED = 1_700_000_000
const TEXTS = ['Grüße', ', 世', '界 🌍', '.']
const TEXT = TEXTS.join('')
const ARGUMENTS = ['{"label":', '"card_lost"}']

/** Names by which an application would call the errors of these statuses. */
const ERROR_TYPES: Readonly<Record<number, string>> = {
  400: 'invalid_request_error',
  401: 'authentication_error',
  404: 'not_found_error',
  429: 'rate_limit_error',
  500: 'api_error',
}

export function openAiError(status: number): Json {
  const type = status === 404 || status === 401 ? 'invalid_request_error' : ERROR_TYPES[status]
  return { error: { message: `Bad day ${status}`, type, param: null, code: `code_${status}` } }
}

function anthropicError(status: number): Json {
  const error = { type: ERROR_TYPES[status], message: `Bad day ${status}` }
  return { type: 'error', error, request_id: 'req_stub' }
}

/** One, two, or no tool calls: two where the request's model is `parallel`. */
function callCount(body: Json): number {
  if (!Array.isArray(body.tools)) return 0
  return String(body.model).startsWith('parallel') ? 2 : 1
}

const indexes = (count: number): number[] => Array.from({ length: count }, (_, index) => index)

// Completions

function textCompletion(body: Json, text: string, finish: string | null): Json {
  const logprobs =
    body.logprobs === undefined
      ? null
      : {
          tokens: [text],
          token_logprobs: [-0.25],
          top_logprobs: [{ [text]: -0.25, other: -3.5 }],
          text_offset: [0],
        }
  return {
    id: 'cmpl-stub',
    object: 'text_completion',
    created: CREATED,
    model: `${body.model}-2024`,
    choices: [{ text, index: 0, logprobs, finish_reason: finish }],
    system_fingerprint: 'fp_stub',
  }
}

const TEXT_USAGE = { prompt_tokens: 5, completion_tokens: 4, total_tokens: 9 }

const completions: StubWire = {
  whole: body => ({ ...textCompletion(body, TEXT, 'stop'), usage: TEXT_USAGE }),
  events(body) {
    const options = body.stream_options as Json | undefined
    return [
      ...TEXTS.map(text => textCompletion(body, text, null)),
      textCompletion(body, '', 'stop'),
      ...(options?.include_usage === true
        ? [{ ...textCompletion(body, '', null), choices: [], usage: TEXT_USAGE }]
        : []),
    ].map(data => ({ data }))
  },
  error: openAiError,
}

// Embeddings

const embeddings: StubWire = {
  whole({ model, input, encoding_format: format }) {
    const texts = Array.isArray(input) ? input : [input]
    const vector = [0.25, -0.5, 1]
    const embedding =
      format === 'base64' ? Buffer.from(new Float32Array(vector).buffer).toString('base64') : vector
    return {
      object: 'list',
      data: texts.map((_, index) => ({ object: 'embedding', index, embedding })),
      model,
      usage: { prompt_tokens: 4 * texts.length, total_tokens: 4 * texts.length },
    }
  },
  events: null,
  error: openAiError,
}

// Responses

const RESPONSE_USAGE = {
  input_tokens: 11,
  input_tokens_details: { cached_tokens: 2 },
  output_tokens: 6,
  output_tokens_details: { reasoning_tokens: 1 },
  total_tokens: 17,
}

const logprobs = (text: string) => [{ token: text, bytes: [1], logprob: -0.1, top_logprobs: [] }]

function responseItems(body: Json): Json[] {
  const reasoning = {
    id: 'rs_1',
    type: 'reasoning',
    summary: [{ type: 'summary_text', text: 'Thinking about it.' }],
    encrypted_content: 'b64==',
  }
  const calls = indexes(callCount(body)).map(index => ({
    id: `fc_${index}`,
    type: 'function_call',
    status: 'completed',
    arguments: ARGUMENTS.join(''),
    call_id: `call_${index}`,
    name: 'classify',
  }))
  const message = {
    id: 'msg_1',
    type: 'message',
    status: 'completed',
    content: [{ type: 'output_text', annotations: [], logprobs: logprobs(TEXT), text: TEXT }],
    role: 'assistant',
  }
  return [reasoning, ...(calls.length > 0 ? calls : [message])]
}

/** How it ends: as its model's name says (`ends-failed`), or not yet where it was asked for in the background. */
function endOf({ background, model }: Json): string {
  return background === true ? 'queued' : (/^ends-(\w+)$/.exec(String(model))?.[1] ?? 'completed')
}

function responseOf(body: Json, status: string, output: Json[]): Json {
  return {
    id: 'resp_stub',
    object: 'response',
    created_at: CREATED,
    status,
    background: false,
    completed_at: status === 'completed' ? CREATED + 1 : null,
    error: null,
    incomplete_details: null,
    instructions: body.instructions ?? null,
    max_output_tokens: null,
    model: `${body.model}-2024`,
    output,
    parallel_tool_calls: true,
    previous_response_id: null,
    reasoning: { effort: 'low', summary: null },
    service_tier: 'default',
    store: true,
    temperature: 1,
    text: { format: { type: 'text' }, verbosity: 'medium' },
    tool_choice: body.tool_choice ?? 'auto',
    tools: body.tools ?? [],
    top_logprobs: 0,
    top_p: 1,
    truncation: 'disabled',
    usage: status === 'completed' ? RESPONSE_USAGE : null,
    user: null,
    metadata: {},
    something_new: { kept: true },
  }
}

function itemEvents(item: Json, output_index: number): [string, Json][] {
  const place = { item_id: item.id, output_index }
  if (item.type === 'function_call') {
    return [
      [
        'output_item.added',
        { output_index, item: { ...item, status: 'in_progress', arguments: '' } },
      ],
      ...ARGUMENTS.map((delta): [string, Json] => [
        'function_call_arguments.delta',
        { ...place, delta },
      ]),
      ['function_call_arguments.done', { ...place, name: 'classify', arguments: item.arguments }],
      ['output_item.done', { output_index, item }],
    ]
  }
  if (item.type === 'reasoning') {
    return [
      ['output_item.added', { output_index, item: { ...item, summary: [] } }],
      ['output_item.done', { output_index, item }],
    ]
  }
  const at = { ...place, content_index: 0 }
  const part = { type: 'output_text', annotations: [], logprobs: [], text: '' }
  const whole = (item.content as Json[])[0]
  return [
    ['output_item.added', { output_index, item: { ...item, status: 'in_progress', content: [] } }],
    ['content_part.added', { ...at, part }],
    ...TEXTS.map((delta): [string, Json] => [
      'output_text.delta',
      { ...at, delta, logprobs: logprobs(delta), obfuscation: 'xy' },
    ]),
    ['output_text.done', { ...at, text: TEXT, logprobs: logprobs(TEXT) }],
    ['content_part.done', { ...at, part: whole }],
    ['output_item.done', { output_index, item }],
  ]
}

const responses: StubWire = {
  whole: body => responseOf(body, endOf(body), responseItems(body)),
  events(body) {
    const items = responseItems(body)
    const named: [string, Json][] = [
      ['created', { response: responseOf(body, 'in_progress', []) }],
      ['in_progress', { response: responseOf(body, 'in_progress', []) }],
      ...items.flatMap(itemEvents),
      [endOf(body), { response: responseOf(body, endOf(body), items) }],
    ]
    return named.map(([name, fields], sequence_number) => {
      const type = `response.${name}`
      return { event: type, data: { type, ...fields, sequence_number } }
    })
  },
  error: openAiError,
}

// Messages

const MESSAGE_USAGE = {
  input_tokens: 10,
  cache_creation_input_tokens: 0,
  cache_read_input_tokens: 3,
  cache_creation: { ephemeral_5m_input_tokens: 0, ephemeral_1h_input_tokens: 0 },
  output_tokens: 7,
  service_tier: 'standard',
}

function messageBlocks(body: Json): Json[] {
  const thinking = { type: 'thinking', thinking: 'Let me see.', signature: 'c2ln' }
  const calls = indexes(callCount(body)).map(index => ({
    type: 'tool_use',
    id: `toolu_${index}`,
    name: 'classify',
    input: { label: 'card_lost' },
    caller: { type: 'direct' },
  }))
  const text = { type: 'text', text: TEXT, citations: null }
  return [
    ...(body.thinking === undefined ? [] : [thinking]),
    ...(calls.length > 0 ? calls : [text]),
  ]
}

function messageOf(body: Json, content: Json[], stop: string | null): Json {
  return {
    id: 'msg_stub',
    type: 'message',
    role: 'assistant',
    model: `${body.model}-2024`,
    content,
    container: null,
    stop_details: null,
    stop_reason: stop,
    stop_sequence: null,
    usage: stop === null ? { ...MESSAGE_USAGE, output_tokens: 1 } : MESSAGE_USAGE,
    something_new: { kept: true },
  }
}

const stopOf = (body: Json): string => (callCount(body) > 0 ? 'tool_use' : 'end_turn')

function blockEvents(block: Json, index: number): Json[] {
  const delta = (fields: Json): Json => ({ type: 'content_block_delta', index, delta: fields })
  const [start, deltas]: [Json, Json[]] =
    block.type === 'text'
      ? [{ ...block, text: '' }, TEXTS.map(text => ({ type: 'text_delta', text }))]
      : block.type === 'thinking'
        ? [
            { type: 'thinking', thinking: '', signature: '' },
            [
              { type: 'thinking_delta', thinking: 'Let me ' },
              { type: 'thinking_delta', thinking: 'see.' },
              { type: 'signature_delta', signature: 'c2ln' },
            ],
          ]
        : [
            { ...block, input: {} },
            ['', ...ARGUMENTS].map(text => ({ type: 'input_json_delta', partial_json: text })),
          ]
  return [
    { type: 'content_block_start', index, content_block: start },
    ...(index === 0 ? [{ type: 'ping' }] : []),
    ...deltas.map(delta),
    { type: 'content_block_stop', index },
  ]
}

const messages: StubWire = {
  whole: body => messageOf(body, messageBlocks(body), stopOf(body)),
  events(body) {
    const stop = { stop_reason: stopOf(body), stop_sequence: null }
    const events: Json[] = [
      { type: 'message_start', message: messageOf(body, [], null) },
      ...messageBlocks(body).flatMap(blockEvents),
      { type: 'message_delta', delta: stop, usage: { ...MESSAGE_USAGE } },
      { type: 'message_stop' },
    ]
    return events.map(data => ({ event: String(data.type), data }))
  },
  error: anthropicError,
}

// Decisions

const decisions: StubWire = {
  whole(body) {
    const questions = Array.isArray(body.questions) ? (body.questions as Json[]) : []
    const answers = questions.map(({ type, name = null, choices }) => {
      if (type === 'predicate') return { type, name, probability: 0.875 }
      if (type === 'score') {
        const probabilities = [0.25, 0.75].map((probability, value) => ({
          label: `level ${value}`,
          probability,
          value,
        }))
        return { type, name, score: 0.75, confidence: 0.5, probabilities }
      }
      const values = (choices as Json[]).map(({ value }, index) => ({
        probability: index === 0 ? 0.9 : 0.1 / ((choices as Json[]).length - 1),
        value,
      }))
      return { type, name, choice: values[0]?.value, confidence: 0.8, probabilities: values }
    })
    const usage = {
      ...RESPONSE_USAGE,
      input_tokens_details: { cached_tokens: 0, cache_write_tokens: 0 },
    }
    return { model: `${body.model}-2026`, answers, usage }
  },
  events: null,
  error: openAiError,
}

/** By path. */
export const STUB_WIRES: Readonly<Record<string, StubWire>> = {
  '/v1/completions': completions,
  '/v1/embeddings': embeddings,
  '/v1/responses': responses,
  '/v1/messages': messages,
  '/v1/decisions': decisions,
}

/** A stream as it goes over the wire: named events have no end marker, unnamed ones do. */
export function streamText(events: readonly StubEvent[]): string {
  const text = events
    .map(
      ({ event, data }) => `${event ? `event: ${event}\n` : ''}data: ${JSON.stringify(data)}\n\n`,
    )
    .join('')
  return events.some(({ event }) => event !== undefined) ? text : `${text}data: [DONE]\n\n`
}
