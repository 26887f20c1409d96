/** Each wire's parsing, folding and rendering on its own, hostile input included. */
import { describe, expect, test } from 'vitest'
import { createSseParser } from '../sse.ts'
import type { ChatRequest } from '../types.ts'
import { WIRES, wireAt } from './registry.ts'
import type { Wire } from './wire.ts'

const wire = (name: string): Wire => WIRES.find(one => one.name === name) as Wire
const [CHAT, RESPONSES, MESSAGES] = ['chat', 'responses', 'messages'].map(wire) as [
  Wire,
  Wire,
  Wire,
]

type Json = Record<string, unknown>

const schema = { type: 'object', properties: { label: { enum: ['a', 'b'] } } }

/** What tasks and specialists look at. */
function meaning(request: ChatRequest) {
  const { model, roles, systemText, userText, shape, formKey, isStream } = request
  return { model, roles, systemText, userText, shape, formKey, isStream }
}

describe('the same question', () => {
  const texts = { system: 'Name the intent.', user: 'I lost my card' }
  const chat: Json = {
    messages: [
      { role: 'system', content: texts.system },
      { role: 'user', content: texts.user },
    ],
  }
  const cases: [string, Json, Json, Json][] = [
    [
      'as plain text',
      chat,
      { instructions: texts.system, input: texts.user },
      { max_tokens: 9, system: texts.system, messages: [{ role: 'user', content: texts.user }] },
    ],
    [
      'in parts, streamed',
      { ...chat, stream: true },
      {
        stream: true,
        input: [
          { role: 'system', content: [{ type: 'input_text', text: texts.system }] },
          { type: 'message', role: 'user', content: [{ type: 'input_text', text: texts.user }] },
        ],
      },
      {
        stream: true,
        system: [{ type: 'text', text: texts.system, cache_control: { type: 'ephemeral' } }],
        messages: [{ role: 'user', content: [{ type: 'text', text: texts.user }] }],
      },
    ],
    [
      'with a forced tool',
      {
        ...chat,
        tools: [
          { type: 'function', function: { name: 'f', description: 'd', parameters: schema } },
        ],
        tool_choice: { type: 'function', function: { name: 'f' } },
      },
      {
        instructions: texts.system,
        input: texts.user,
        tools: [
          { type: 'function', name: 'f', description: 'd', parameters: schema, strict: null },
        ],
        tool_choice: { type: 'function', name: 'f' },
      },
      {
        system: texts.system,
        messages: [{ role: 'user', content: texts.user }],
        tools: [{ name: 'f', description: 'd', input_schema: schema }],
        tool_choice: { type: 'tool', name: 'f' },
      },
    ],
  ]
  test.each(cases)('%s means the same on chat, responses and messages', (_name, a, b, c) => {
    const parsed = [CHAT.parse({ model: 'm', ...a }), RESPONSES.parse({ model: 'm', ...b })]
    const all = [...parsed, MESSAGES.parse({ model: 'm', ...c })]
    for (const request of all) {
      expect(meaning(request)).toEqual(meaning(all[0] as ChatRequest))
      expect([request.escalations, request.lost]).toEqual([[], []])
    }
  })

  test('with a JSON schema means the same on chat and responses', () => {
    const named = { name: 'intent', schema, strict: true }
    const response_format = { type: 'json_schema', json_schema: named }
    const text = { format: { type: 'json_schema', ...named } }
    expect(
      meaning(RESPONSES.parse({ model: 'm', instructions: texts.system, input: texts.user, text })),
    ).toEqual(meaning(CHAT.parse({ model: 'm', ...chat, response_format })))
  })

  test('keeps the caller’s own body', () => {
    for (const [one, body] of [
      [RESPONSES, { model: 'm', input: 'x', frobnicate: 1 }],
      [MESSAGES, { model: 'm', messages: [{ role: 'user', content: 'x' }], frobnicate: 1 }],
    ] as const) {
      expect(one.parse(body).body).toBe(body)
      expect(one.parse(body).lost).toEqual(['frobnicate'])
    }
  })
})

describe('a conversation', () => {
  test('of messages says the same as chat', () => {
    const { chat, lost, escalations } = MESSAGES.parse({
      model: 'm',
      max_tokens: 5,
      stop_sequences: ['x'],
      metadata: { user_id: 'u' },
      tool_choice: { type: 'any', disable_parallel_tool_use: true },
      output_config: { effort: 'low', format: { type: 'json_schema', schema } },
      messages: [
        {
          role: 'user',
          content: [
            { type: 'text', text: 'Look' },
            { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'AA==' } },
            { type: 'image', source: { type: 'url', url: 'https://x.example/a.png' } },
          ],
        },
        {
          role: 'assistant',
          content: [
            { type: 'text', text: 'Calling.' },
            { type: 'tool_use', id: 't1', name: 'f', input: { a: 1 } },
            { type: 'tool_use', id: 't2', name: 'g', input: {} },
          ],
        },
        {
          role: 'user',
          content: [
            { type: 'tool_result', tool_use_id: 't1', content: 'one' },
            { type: 'tool_result', tool_use_id: 't2', content: [{ type: 'text', text: 'two' }] },
            { type: 'text', text: 'Go on' },
          ],
        },
      ],
    })
    expect(lost).toEqual([])
    expect(escalations.map(({ reason }) => reason)).toContain('several-turns')
    expect(chat).toEqual({
      model: 'm',
      max_tokens: 5,
      stop: ['x'],
      user: 'u',
      tool_choice: 'required',
      parallel_tool_calls: false,
      reasoning_effort: 'low',
      response_format: {
        type: 'json_schema',
        json_schema: { name: 'answer', schema, strict: true },
      },
      messages: [
        {
          role: 'user',
          content: [
            { type: 'text', text: 'Look' },
            { type: 'image_url', image_url: { url: 'data:image/png;base64,AA==' } },
            { type: 'image_url', image_url: { url: 'https://x.example/a.png' } },
          ],
        },
        {
          role: 'assistant',
          content: 'Calling.',
          tool_calls: [
            { id: 't1', type: 'function', function: { name: 'f', arguments: '{"a":1}' } },
            { id: 't2', type: 'function', function: { name: 'g', arguments: '{}' } },
          ],
        },
        { role: 'tool', tool_call_id: 't1', content: 'one' },
        { role: 'tool', tool_call_id: 't2', content: 'two' },
        { role: 'user', content: 'Go on' },
      ],
    })
  })

  test('of responses says the same as chat', () => {
    const { chat, lost } = RESPONSES.parse({
      model: 'm',
      max_output_tokens: 5,
      reasoning: { effort: 'low', summary: null },
      text: { verbosity: 'low', format: { type: 'json_object' } },
      truncation: 'disabled',
      include: [],
      input: [
        {
          role: 'user',
          content: [
            { type: 'input_text', text: 'Look' },
            { type: 'input_image', image_url: 'data:image/png;base64,AA==', detail: 'low' },
          ],
        },
        { role: 'assistant', content: [{ type: 'output_text', text: 'Calling.' }] },
        { type: 'function_call', call_id: 'c1', name: 'f', arguments: '{"a":1}' },
        { type: 'function_call', call_id: 'c2', name: 'g', arguments: '{}' },
        { type: 'function_call_output', call_id: 'c1', output: 'one' },
        {
          type: 'function_call_output',
          call_id: 'c2',
          output: [{ type: 'input_text', text: '2' }],
        },
      ],
    })
    expect(lost).toEqual([])
    expect(chat).toEqual({
      model: 'm',
      max_completion_tokens: 5,
      reasoning_effort: 'low',
      verbosity: 'low',
      response_format: { type: 'json_object' },
      messages: [
        {
          role: 'user',
          content: [
            { type: 'text', text: 'Look' },
            {
              type: 'image_url',
              image_url: { url: 'data:image/png;base64,AA==', detail: 'low' },
            },
          ],
        },
        {
          role: 'assistant',
          content: 'Calling.',
          tool_calls: [
            { id: 'c1', type: 'function', function: { name: 'f', arguments: '{"a":1}' } },
            { id: 'c2', type: 'function', function: { name: 'g', arguments: '{}' } },
          ],
        },
        { role: 'tool', tool_call_id: 'c1', content: 'one' },
        { role: 'tool', tool_call_id: 'c2', content: '2' },
      ],
    })
  })
})

describe('what chat has no words for is named', () => {
  const user = { role: 'user', content: 'x' }
  test.each([
    [MESSAGES, { thinking: { type: 'adaptive' } }, 'thinking'],
    [MESSAGES, { container: 'c' }, 'container'],
    [MESSAGES, { metadata: { user_id: 'u', more: 1 } }, 'metadata.more'],
    [MESSAGES, { tools: [{ type: 'web_search_20250305', name: 'web_search' }] }, 'tools[0]'],
    [
      MESSAGES,
      { tools: [{ name: 'f', input_schema: {}, defer_loading: true }] },
      'tools[0].defer_loading',
    ],
    [MESSAGES, { output_config: { format: { type: 'xml' } } }, 'output_config.format'],
    [
      MESSAGES,
      { messages: [{ role: 'user', content: [{ type: 'document', source: {} }] }] },
      'messages[0].content[0]',
    ],
    [
      MESSAGES,
      {
        messages: [
          user,
          { role: 'assistant', content: [{ type: 'thinking', thinking: 'x', signature: 's' }] },
        ],
      },
      'messages[1].content[0]',
    ],
    [RESPONSES, { background: true }, 'background'],
    [RESPONSES, { previous_response_id: 'r' }, 'previous_response_id'],
    [RESPONSES, { tools: [{ type: 'web_search' }] }, 'tools[0]'],
    [RESPONSES, { tool_choice: { type: 'mcp' } }, 'tool_choice'],
    [RESPONSES, { input: [{ type: 'reasoning', id: 'r' }, user] }, 'input[0]'],
    [RESPONSES, { reasoning: { summary: 'auto' } }, 'reasoning.summary'],
    [
      RESPONSES,
      { input: [{ role: 'user', content: [{ type: 'input_file', file_id: 'f' }] }] },
      'input[0].content[0]',
    ],
  ])('%# %j: %s', (one, more, path) => {
    const base = one === MESSAGES ? { messages: [user], max_tokens: 9 } : { input: 'x' }
    const { lost, escalations } = one.parse({ model: 'm', ...base, ...more })
    expect(lost).toEqual([path])
    expect(escalations).toContainEqual({ reason: 'unknown-parameter', parameter: path })
  })
})

describe('broken requests', () => {
  test.each([
    [MESSAGES, {}, 'messages'],
    [MESSAGES, { messages: {} }, 'messages'],
    [MESSAGES, { messages: [] }, 'messages'],
    [MESSAGES, { messages: [7] }, 'messages[0]'],
    [MESSAGES, { messages: [{ role: 'wizard', content: '' }] }, 'messages[0].role'],
    [MESSAGES, { messages: [{ role: 'user' }] }, 'messages[0].content'],
    [MESSAGES, { messages: [{ role: 'user', content: [null] }] }, 'messages[0].content[0]'],
    [
      MESSAGES,
      { messages: [{ role: 'user', content: [{ type: 'text', text: 5 }] }] },
      'messages[0].content[0].text',
    ],
    [MESSAGES, { messages: [{ role: 'user', content: 'x' }], system: 5 }, 'system'],
    [MESSAGES, { messages: [{ role: 'user', content: 'x' }], tools: 5 }, 'tools'],
    [MESSAGES, { messages: [{ role: 'user', content: 'x' }], tool_choice: 'auto' }, 'tool_choice'],
    [RESPONSES, { input: 5 }, 'input'],
    [RESPONSES, { input: [5] }, 'input[0]'],
    [RESPONSES, { input: [{ role: 'wizard', content: '' }] }, 'input[0].role'],
    [RESPONSES, { input: [{ role: 'user', content: 5 }] }, 'input[0].content'],
    [RESPONSES, { input: [{ role: 'user', content: [{}] }] }, 'input[0].content[0]'],
    [RESPONSES, { input: 'x', instructions: 5 }, 'instructions'],
    [RESPONSES, { input: 'x', text: 5 }, 'text'],
    [RESPONSES, { input: 'x', tools: 'x' }, 'tools'],
    [wire('decisions'), { input: 'x' }, 'questions'],
    [wire('embeddings'), { model: 5 }, 'model'],
    [wire('completions'), { stream: 1 }, 'stream'],
  ])('%# %j are refused by name', (one, more, param) => {
    expect(() => one.parse({ model: 'm', ...more })).toThrow(
      expect.objectContaining({ code: 'request-invalid', details: { param } }),
    )
  })

  test.each([
    '__proto__',
    'constructor',
    'toString',
    'hasOwnProperty',
  ])('a field or type named %s reaches no prototype', name => {
    const items = JSON.parse(`[{"type":"${name}"}]`) as Json[]
    const field = JSON.parse(`{"model":"m","${name}":{"x":1}}`) as Json
    expect(RESPONSES.parse({ ...field, input: items }).lost).toContain('input[0]')
    const messages = [{ role: 'user', content: items }]
    expect(MESSAGES.parse({ ...field, messages }).lost).toContain('messages[0].content[0]')
    for (const one of WIRES) {
      const fold = one.createFold()
      fold.add({ event: name, data: `{"type":"${name}","${name}":{"polluted":1}}` })
      fold.add({ event: 'message', data: `{"choices":[{"delta":{"${name}":{"polluted":1}}}]}` })
      fold.result()
    }
    expect(({} as Json).polluted).toBeUndefined()
  })
})

describe.each(WIRES.map(one => [one.name, one] as const))('a stream of %s', (_name, one) => {
  test.each([
    [''],
    ['null'],
    ['7'],
    ['"x"'],
    ['[]'],
    ['{}'],
    ['{"type":7}'],
    ['{"choices":7}'],
    ['{"choices":[null,{"index":1e400},{"index":-1,"delta":7}]}'],
    ['{"choices":[{"index":0,"delta":{"tool_calls":[{"index":1e9,"function":7},null,7]}}]}'],
    ['{"type":"content_block_delta","index":1e9,"delta":{"type":"text_delta","text":"x"}}'],
    ['{"type":"content_block_start","index":0}'],
    ['{"type":"message_start","message":7}'],
    ['{"type":"message_delta","delta":7,"usage":7}'],
    ['{"type":"response.created","response":7}'],
    ['{"type":"response.output_item.added","output_index":"0","item":{}}'],
    ['{"type":"response.content_part.added","output_index":0,"content_index":1e9,"part":{}}'],
    [`${'['.repeat(100_000)}`],
    ['{"a":"\\ud800"}'],
    ['{"error":{"message":"x"}}'],
  ])('that says %j harms nothing, and is not whole', data => {
    const fold = one.createFold()
    fold.add({ event: 'message', data })
    expect(one.closes({ event: 'message', data })).toBe(false)
    const { isComplete, response } = fold.result()
    expect(isComplete).toBe(false)
    expect(() => JSON.stringify(response)).not.toThrow()
    expect(one.answerOf(response, 200).answer).toBeNull()
    one.usageOf(response)
  })

  test.each([
    null,
    7,
    'x',
    [],
    {},
    { choices: [7] },
    { content: [7] },
    { output: [7] },
  ])('a response that is %j holds no answer', response => {
    expect(one.answerOf(response, 200).answer).toBeNull()
    expect(one.usageOf(response)).toBeNull()
  })
})

describe('bytes of a stream', () => {
  const events = [
    { type: 'message_start', message: { id: 'm', content: [], usage: { input_tokens: 1 } } },
    { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
    { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'Grüße 🌍' } },
    { type: 'content_block_stop', index: 0 },
    { type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 2 } },
    { type: 'message_stop' },
  ]
  const fold = (bytes: Uint8Array, size: number) => {
    const [parser, folding] = [createSseParser(), MESSAGES.createFold()]
    for (let at = 0; at < bytes.length; at += size) {
      for (const event of parser.push(bytes.subarray(at, at + size))) folding.add(event)
    }
    for (const event of parser.end()) folding.add(event)
    return folding.result()
  }
  const text = (line: string, comment: string): string =>
    events
      .map(event => {
        // Data over several lines: JSON may break between its tokens.
        const data = JSON.stringify(event).replace(',"', `,${line}data: "`)
        return `${comment}event: ${event.type}${line}data: ${data}${line}${line}`
      })
      .join('')

  test.each([
    ['LF', '\n', ''],
    ['CRLF', '\r\n', ''],
    ['CR', '\r', ''],
    ['comments', '\n', ': keep-alive\n\n'],
    ['a byte order mark', '\n', '\ufeff'],
  ])('with %s, cut anywhere, fold alike', (name, line, comment) => {
    const whole = name === 'a byte order mark' ? comment + text(line, '') : text(line, comment)
    const bytes = new TextEncoder().encode(whole)
    for (const size of [1, 2, 3, 7, bytes.length]) {
      const { response, isComplete } = fold(bytes, size)
      expect(isComplete).toBe(true)
      expect(MESSAGES.answerOf(response, 200)).toEqual({
        answer: { kind: 'text', text: 'Grüße 🌍' },
      })
      expect(MESSAGES.usageOf(response)).toEqual({ promptTokens: 1, completionTokens: 2 })
    }
  })

  test('with an event beyond the limit lose that event only', () => {
    const parser = createSseParser({ maxEventLength: 1000 })
    const giant = `data: ${'x'.repeat(5000)}\n\ndata: {"a":1}\n\n`
    expect(parser.push(new TextEncoder().encode(giant)).map(({ data }) => data)).toEqual([
      '{"a":1}',
    ])
    expect(parser.isOverflown).toBe(true)
  })
})

test('answers that hold several things, or nothing, are told apart', () => {
  const of = (content: unknown[], stop = 'end_turn') =>
    MESSAGES.answerOf({ type: 'message', content, stop_reason: stop }, 200)
  const use = { type: 'tool_use', id: 't', name: 'f', input: { a: 1 } }
  expect(
    of([
      { type: 'thinking', thinking: 'x' },
      { type: 'text', text: 'y' },
    ]),
  ).toEqual({
    answer: { kind: 'text', text: 'y' },
  })
  expect(of([use])).toEqual({ answer: { kind: 'tool', name: 'f', argumentsText: '{"a":1}' } })
  expect(of([use, use])).toMatchObject({ reason: 'several-tool-calls' })
  expect(of([], 'refusal')).toMatchObject({ reason: 'refused' })
  expect(of([{ type: 'text', text: 'y' }], 'max_tokens')).toMatchObject({ reason: 'truncated' })
  const output = [{ type: 'message', content: [{ type: 'refusal', refusal: 'no' }] }]
  expect(RESPONSES.answerOf({ status: 'completed', output }, 200)).toMatchObject({
    reason: 'refused',
  })
  const details = { incomplete_details: { reason: 'max_output_tokens' } }
  expect(RESPONSES.answerOf({ status: 'incomplete', ...details, output }, 200)).toMatchObject({
    reason: 'truncated',
  })
  const answers = [{ type: 'choice', name: null, choice: 'a', probabilities: [], confidence: 1 }]
  expect(wire('decisions').answerOf({ answers }, 200)).toEqual({
    answer: { kind: 'text', text: 'a' },
  })
  expect(wireAt('/v1/frobnicate')).toBeNull()
})
