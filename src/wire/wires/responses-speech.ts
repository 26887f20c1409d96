/** Chat completions, said as OpenAI responses. */
import { usageOf } from '../chat-response.ts'
import { isObject } from '../json.ts'
import { formatSse } from '../sse.ts'
import type { ChatRequest, Usage } from '../types.ts'
import { callOf, callsOf, choiceOf, type Speech, type SpeechHead, said } from './speech.ts'
import type { Json } from './translate.ts'

/** What a finish reason says of a response that is not whole. */
const INCOMPLETE: Readonly<Record<string, string>> = {
  length: 'max_output_tokens',
  content_filter: 'content_filter',
}

export const RESPONSES_SPEECH: Speech = {
  body(completion, head, request) {
    const choice = choiceOf(completion)
    const message = isObject(choice?.message) ? choice.message : {}
    const text = said(message.content)
    const refusal = said(message.refusal)
    const part = refusal === null ? textPart(text ?? '') : refusalPart(refusal)
    const calls = callsOf(message).map(callOf)
    const output = [
      ...(text === null && refusal === null ? [] : [messageItem(head, 'completed', [part])]),
      ...calls.map((call, index) => call && callItem(head, index, call, 'completed')),
    ]
    const usage = usageOf(completion) ?? head.usage ?? null
    const model = typeof completion.model === 'string' ? completion.model : head.model
    return response({ ...head, model }, request, { output, usage, finish: choice?.finish_reason })
  },
  error: (_status, body) => body,
  stream(head, request) {
    return createEvents(head, request)
  },
}

function createEvents(head: SpeechHead, request: ChatRequest) {
  let model = head.model
  let usage: Usage | null = head.usage ?? null
  let finish: unknown = null
  let sequence = 0
  let isOpened = false
  const items: OpenItem[] = []
  let open: OpenItem | null = null

  const event = (type: string, fields: Json): string =>
    formatSse(JSON.stringify({ type, sequence_number: sequence++, ...fields }), { event: type })

  const whole = (status?: 'in_progress'): Json =>
    response({ ...head, model }, request, {
      output: items.map(item => item.whole()),
      usage: status === undefined ? usage : null,
      finish,
      ...(status === undefined ? {} : { status }),
    })

  const opening = (reported: unknown): string => {
    if (isOpened) return ''
    isOpened = true
    if (typeof reported === 'string') model = reported
    return ['response.created', 'response.in_progress']
      .map(type => event(type, { response: whole('in_progress') }))
      .join('')
  }
  const close = (): string => {
    const closing = open?.close().map(([type, fields]) => event(type, fields)) ?? []
    open = null
    return closing.join('')
  }
  const take = (key: string, make: (index: number) => OpenItem, piece: string): string => {
    let out = ''
    if (open?.key !== key) {
      out += close()
      open = make(items.length)
      items.push(open)
      out += open
        .open()
        .map(([type, fields]) => event(type, fields))
        .join('')
    }
    if (piece === '') return out
    return out + [open.add(piece)].map(([type, fields]) => event(type, fields)).join('')
  }
  return {
    chunk(chunk: Json): string {
      let out = opening(chunk.model)
      usage = usageOf(chunk) ?? usage
      const choice = choiceOf(chunk)
      if (choice === null) return out
      const fields = isObject(choice.delta) ? choice.delta : {}
      const text = said(fields.content)
      const refusal = said(fields.refusal)
      if (text !== null) out += take('text', index => openText(head, index, 'text'), text)
      if (refusal !== null) {
        out += take('refusal', index => openText(head, index, 'refusal'), refusal)
      }
      for (const [position, call] of callsOf(fields).entries()) {
        const at = typeof call.index === 'number' ? call.index : position
        const named = callOf(call) ?? { id: '', name: '', argumentsText: '' }
        out += take(`call ${at}`, index => openCall(head, index, at, named), named.argumentsText)
      }
      finish = choice.finish_reason ?? finish
      return out
    },
    end(): string {
      const out = opening(null) + close()
      const isWhole = typeof finish !== 'string' || INCOMPLETE[finish] === undefined
      const type = isWhole ? 'response.completed' : 'response.incomplete'
      return out + event(type, { response: whole() })
    },
  }
}

type Named = readonly [type: string, fields: Json]

/** An output item that is being written. */
interface OpenItem {
  readonly key: string
  open(): readonly Named[]
  add(piece: string): Named
  close(): readonly Named[]
  whole(): Json
}

function openText(head: SpeechHead, index: number, kind: 'text' | 'refusal'): OpenItem {
  let text = ''
  const id = messageId(head)
  const place = { item_id: id, output_index: index, content_index: 0 }
  const name = kind === 'text' ? 'response.output_text' : 'response.refusal'
  const logprobs = kind === 'text' ? { logprobs: [] } : {}
  const part = (): Json => (kind === 'text' ? textPart(text) : refusalPart(text))
  const whole = (): Json => messageItem(head, 'completed', [part()])
  return {
    key: kind,
    whole,
    open: () => [
      [
        'response.output_item.added',
        { output_index: index, item: messageItem(head, 'in_progress', []) },
      ],
      ['response.content_part.added', { ...place, part: part() }],
    ],
    add(piece) {
      text += piece
      return [`${name}.delta`, { ...place, delta: piece, ...logprobs }]
    },
    close: () => [
      [`${name}.done`, { ...place, [kind]: text, ...logprobs }],
      ['response.content_part.done', { ...place, part: part() }],
      ['response.output_item.done', { output_index: index, item: whole() }],
    ],
  }
}

function openCall(
  head: SpeechHead,
  index: number,
  at: number,
  { id, name }: { readonly id: string; readonly name: string },
): OpenItem {
  let argumentsText = ''
  const item = (status: string): Json => callItem(head, at, { id, name, argumentsText }, status)
  const place = { item_id: callItemId(head, at), output_index: index }
  return {
    key: `call ${at}`,
    whole: () => item('completed'),
    open: () => [
      ['response.output_item.added', { output_index: index, item: item('in_progress') }],
    ],
    add(piece) {
      argumentsText += piece
      return ['response.function_call_arguments.delta', { ...place, delta: piece }]
    },
    close: () => [
      ['response.function_call_arguments.done', { ...place, name, arguments: argumentsText }],
      ['response.output_item.done', { output_index: index, item: item('completed') }],
    ],
  }
}

const messageId = ({ id }: SpeechHead): string => `msg_${id}`
const callItemId = ({ id }: SpeechHead, at: number): string => `fc_${id}_${at}`

function textPart(text: string): Json {
  return { type: 'output_text', annotations: [], logprobs: [], text }
}

function refusalPart(refusal: string): Json {
  return { type: 'refusal', refusal }
}

function messageItem(head: SpeechHead, status: string, content: readonly Json[]): Json {
  return { id: messageId(head), type: 'message', status, content, role: 'assistant' }
}

function callItem(
  head: SpeechHead,
  at: number,
  call: { readonly id: string; readonly name: string; readonly argumentsText: string },
  status: string,
): Json {
  return {
    id: callItemId(head, at),
    type: 'function_call',
    status,
    arguments: call.argumentsText,
    call_id: call.id === '' ? `call_${head.id}_${at}` : call.id,
    name: call.name,
  }
}

/** A response with the fields of the request that the API repeats. */
function response(
  { id, created, model }: SpeechHead,
  { body }: ChatRequest,
  given: {
    readonly output: readonly (Json | null)[]
    readonly usage: Usage | null
    readonly finish: unknown
    readonly status?: 'in_progress'
  },
): Json {
  const reason = typeof given.finish === 'string' ? INCOMPLETE[given.finish] : undefined
  const status = given.status ?? (reason === undefined ? 'completed' : 'incomplete')
  const text = isObject(body.text) ? body.text : {}
  const reasoning = isObject(body.reasoning) ? body.reasoning : {}
  return {
    id: `resp_${id}`,
    object: 'response',
    created_at: created,
    status,
    background: false,
    completed_at: status === 'completed' ? created : null,
    error: null,
    incomplete_details: reason === undefined ? null : { reason },
    instructions: body.instructions ?? null,
    max_output_tokens: body.max_output_tokens ?? null,
    max_tool_calls: null,
    model,
    output: given.output,
    parallel_tool_calls: body.parallel_tool_calls ?? true,
    previous_response_id: null,
    prompt_cache_key: body.prompt_cache_key ?? null,
    reasoning: { effort: reasoning.effort ?? null, summary: null },
    safety_identifier: body.safety_identifier ?? null,
    service_tier: status === 'in_progress' ? 'auto' : 'default',
    store: body.store ?? true,
    temperature: body.temperature ?? 1,
    text: { format: text.format ?? { type: 'text' }, verbosity: text.verbosity ?? 'medium' },
    tool_choice: body.tool_choice ?? 'auto',
    tools: body.tools ?? [],
    top_logprobs: 0,
    top_p: body.top_p ?? 1,
    truncation: 'disabled',
    usage: given.usage === null ? null : usageBody(given.usage),
    user: body.user ?? null,
    metadata: body.metadata ?? {},
  }
}

function usageBody({ promptTokens, completionTokens }: Usage): Json {
  return {
    input_tokens: promptTokens,
    input_tokens_details: { cached_tokens: 0 },
    output_tokens: completionTokens,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: promptTokens + completionTokens,
  }
}
