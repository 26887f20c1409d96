import { describe, expect, it } from 'vitest'
import {
  detectLogFormat,
  isLogFormat,
  LOG_FORMATS,
  type LogFormat,
  parseLogLine,
} from './formats.ts'

const messages = [
  { role: 'system', content: 'Classify.' },
  { role: 'user', content: 'My card is lost' },
]
const completion = {
  id: 'chatcmpl-1',
  object: 'chat.completion',
  created: 1738960610,
  model: 'gpt-4o-2024-08-06',
  choices: [
    { index: 0, message: { role: 'assistant', content: 'lost_card' }, finish_reason: 'stop' },
  ],
  usage: { prompt_tokens: 13, completion_tokens: 2, total_tokens: 15 },
}
const request = { model: 'gpt-4o', messages }

/** One line per format, shaped as its documentation shows it. */
const lines = {
  native: {
    id: 'a',
    time: '2026-01-02T03:04:05Z',
    latency_ms: 812,
    app: 'desk',
    request,
    response: completion,
  },
  'openai-batch': { custom_id: 'r-1', method: 'POST', url: '/v1/chat/completions', body: request },
  'openai-stored': {
    ...completion,
    request_id: 'req_1',
    tool_choice: null,
    tools: null,
    temperature: 1,
    metadata: {},
    messages,
  },
  litellm: {
    id: 'chatcmpl-1',
    call_type: 'acompletion',
    status: 'success',
    startTime: 1738960610.5,
    endTime: 1738960611,
    model: 'gpt-4o-2024-08-06',
    model_group: 'gpt-4o',
    messages,
    response: completion,
    model_parameters: { temperature: 0 },
  },
  langfuse: {
    id: 'obs-1',
    type: 'GENERATION',
    start_time: '2024-05-29 13:46:19.963000',
    end_time: '2024-05-29 13:46:20.963000',
    level: 'DEFAULT',
    provided_model_name: 'gpt-4o',
    model_parameters: '{"temperature":0.7}',
    input: JSON.stringify(messages),
    output: JSON.stringify({ role: 'assistant', content: 'lost_card' }),
  },
  helicone: {
    response_id: 'p',
    response_status: 200,
    request_id: 'q',
    request_created_at: '2024-05-01T00:00:00Z',
    request_body: request,
    response_body: completion,
    request_model: 'gpt-4o',
    delay_ms: 640,
  },
  labelled: { Text: 'My card is lost', LABEL: 'lost_card' },
} satisfies Record<LogFormat, Record<string, unknown>>

function entry(format: LogFormat, line: unknown) {
  const parsed = parseLogLine(format, line)
  if (parsed.kind !== 'entry') throw new Error(JSON.stringify(parsed))
  return parsed.entry
}

function reason(format: LogFormat, line: unknown): string {
  const parsed = parseLogLine(format, line)
  return parsed.kind === 'rejected' ? parsed.reason : `not rejected but ${parsed.kind}`
}

describe('log formats', () => {
  it.each(Object.keys(LOG_FORMATS).filter(isLogFormat))('recognises a line of %s', format => {
    expect(detectLogFormat(lines[format])).toBe(format)
  })

  it('reads the native format in full', () => {
    expect(entry('native', lines.native)).toEqual({
      id: 'a',
      time: '2026-01-02T03:04:05.000Z',
      app: 'desk',
      status: 200,
      latencyMs: 812,
      request,
      response: completion,
    })
  })

  it('keeps an error answer of the native format with its status', () => {
    const response = { error: { message: 'overloaded' } }
    expect(entry('native', { request, response, status: 503 })).toMatchObject({
      status: 503,
      response,
    })
    expect(reason('native', { request, response })).toBe('response.choices is missing')
  })

  it('reads both halves of a batch', () => {
    expect(parseLogLine('openai-batch', lines['openai-batch'])).toEqual({
      kind: 'batch-request',
      customId: 'r-1',
      request,
    })
    const output = {
      id: 'batch_req_1',
      custom_id: 'r-1',
      response: { status_code: 200, request_id: 'x', body: completion },
      error: null,
    }
    expect(detectLogFormat(output)).toBe('openai-batch')
    expect(parseLogLine('openai-batch', output)).toMatchObject({
      kind: 'batch-response',
      customId: 'r-1',
      entry: { id: 'batch_req_1', status: 200, response: completion },
    })
    expect(
      reason('openai-batch', {
        ...output,
        response: null,
        error: { code: 'expired', message: 'too late' },
      }),
    ).toContain('too late')
    expect(reason('openai-batch', { ...lines['openai-batch'], url: '/v1/embeddings' })).toContain(
      '/v1/embeddings',
    )
  })

  it('says what a stored completion lacks when its messages were not added', () => {
    const { messages: _messages, ...bare } = lines['openai-stored']
    expect(reason('openai-stored', bare)).toContain('messages endpoint')
    const stored = entry('openai-stored', lines['openai-stored'])
    expect(stored.request).toEqual({ model: 'gpt-4o-2024-08-06', messages, temperature: 1 })
    expect(stored.time).toBe('2025-02-07T20:36:50.000Z')
  })

  it('takes content parts of stored messages', () => {
    const parts = [{ type: 'text', text: 'hi' }]
    const line = {
      ...completion,
      messages: [{ id: 'm-0', role: 'user', content: null, content_parts: parts }],
    }
    expect(entry('openai-stored', line).request.messages).toEqual([
      { role: 'user', content: parts },
    ])
  })

  it('reads LiteLLM payloads, and its spend logs from the body that the proxy received', () => {
    expect(entry('litellm', lines.litellm)).toMatchObject({
      latencyMs: 500,
      request: { ...request, temperature: 0 },
    })
    const spend = {
      request_id: 's',
      call_type: 'acompletion',
      startTime: '2026-01-01T00:00:00Z',
      endTime: '2026-01-01T00:00:02Z',
      model: 'gpt-4o',
      messages: '{}',
      proxy_server_request: JSON.stringify(request),
      response: JSON.stringify(completion),
    }
    expect(entry('litellm', spend)).toMatchObject({
      id: 's',
      latencyMs: 2000,
      request,
      response: completion,
    })
    expect(reason('litellm', { ...spend, proxy_server_request: '{}' })).toContain(
      'store_prompts_in_spend_logs',
    )
    expect(reason('litellm', { ...spend, call_type: 'aembedding' })).toContain('aembedding')
  })

  it('reads Langfuse generations in both spellings, times as UTC, JSON answers as text', () => {
    expect(entry('langfuse', lines.langfuse)).toMatchObject({
      time: '2024-05-29T13:46:19.963Z',
      latencyMs: 1000,
      request: { model: 'gpt-4o', temperature: 0.7, messages },
    })
    const camel = {
      id: 'o',
      type: 'GENERATION',
      startTime: '2024-05-29T13:46:19Z',
      model: 'gpt-4o',
      input: { messages },
      output: { label: 'x' },
    }
    expect(entry('langfuse', camel).response.choices).toMatchObject([
      { message: { content: '{"label":"x"}' } },
    ])
    expect(reason('langfuse', { ...camel, type: 'SPAN' })).toBe('a SPAN is no model call')
    expect(reason('langfuse', { ...camel, input: 'plain' })).toBe('input holds no chat messages')
    expect(reason('langfuse', { ...camel, output: '' })).toBe('output is empty')
  })

  it('asks for bodies where a Helicone export has none', () => {
    expect(entry('helicone', lines.helicone)).toMatchObject({ id: 'q', latencyMs: 640, request })
    expect(reason('helicone', { ...lines.helicone, request_body: undefined })).toContain(
      '--include-body',
    )
    expect(entry('helicone', { ...lines.helicone, response_status: -3 }).status).toBe(500)
  })

  it('turns text and label into one exchange', () => {
    const { request: made, response } = entry('labelled', lines.labelled)
    expect(made.messages).toEqual([{ role: 'user', content: 'My card is lost' }])
    expect(response.choices).toMatchObject([{ message: { content: 'lost_card' } }])
    expect(reason('labelled', { text: '  ', label: 'x' })).toBe('text is missing or empty')
    expect(reason('labelled', { text: 'x', label: null })).toBe('label is missing or empty')
  })

  it.each([
    null,
    7,
    'text',
    [],
    {},
    { a: 1 },
    JSON.parse('{"__proto__":{"request":{},"response":{}}}'),
  ])('recognises nothing in %j', value => {
    expect(detectLogFormat(value)).toBeNull()
  })

  it.each([
    ['request is missing', { request: null, response: {} }],
    ['request.messages is missing', { request: { model: 'm' }, response: {} }],
    ['request.messages must hold', { request: { model: 'm', messages: [] }, response: {} }],
    ['request.messages must hold', { request: { model: 'm', messages: ['x'] }, response: {} }],
    ['request.model is missing', { request: { messages }, response: completion }],
    ['request.model is missing', { request: { model: 'a\0b', messages }, response: completion }],
    ['response is missing', { request, response: 'text' }],
    ['status must be', { request, response: completion, status: 'ok' }],
    ['id must be', { request, response: completion, id: 'x'.repeat(600) }],
    ['id must be', { request, response: completion, id: { a: 1 } }],
    ['time must be', { request, response: completion, time: 'yesterday' }],
    ['no JSON object', [1, 2]],
  ])('rejects a native line: %s', (text, line) => {
    expect(reason('native', line)).toContain(text)
  })

  it('never throws, whatever the fields hold', () => {
    const values = [null, 0, -1, 1e308, '', 'x', '{"a":', [], [null], {}, { a: {} }, true]
    for (const format of Object.keys(LOG_FORMATS).filter(isLogFormat)) {
      for (const field of Object.keys(lines[format])) {
        for (const value of values) {
          expect(parseLogLine(format, { ...lines[format], [field]: value }).kind).toBeTypeOf(
            'string',
          )
        }
      }
    }
  })
})
