import { describe, expect, test } from 'vitest'
import {
  answerOf,
  type ChatRequest,
  foldChunks,
  limitBrokenBy,
  parseChatRequest,
  renderChunks,
  renderCompletion,
  reportedModel,
  unfoldCompletion,
  usageOf,
} from './index.ts'

const user = { role: 'user', content: 'I lost my card' }
const TOOL = { type: 'function', function: { name: 'classify', parameters: { type: 'object' } } }

function parse(changed: Record<string, unknown> = {}): ChatRequest {
  return parseChatRequest({ model: 'm', messages: [user], ...changed })
}

const escalations = (changed: Record<string, unknown>): unknown => parse(changed).escalations

describe('a request', () => {
  test('keeps the body as it came, with fields nobody knows', () => {
    const body = { model: 'm', messages: [user], frobnicate: { a: 1 } }
    expect(parseChatRequest(body).body).toBe(body)
  })

  test('gives system texts joined, roles in order, and the one user text', () => {
    const messages = [
      { role: 'system', content: 'A' },
      {
        role: 'developer',
        content: [
          { type: 'text', text: 'B' },
          { type: 'text', text: 'C' },
        ],
      },
      { role: 'user', content: [{ type: 'text', text: 'hi' }] },
    ]
    expect(parse({ messages })).toMatchObject({
      systemText: 'A\n\nB\nC',
      roles: ['system', 'developer', 'user'],
      userText: 'hi',
      shape: { kind: 'text' },
      isStream: false,
      includeUsage: false,
      escalations: [],
    })
  })

  test.each([
    [{ temperature: 0, top_p: 0.5, seed: 1, user: 'u', metadata: {}, store: true }],
    [{ stream: true, stream_options: { include_usage: true }, service_tier: 'auto' }],
    [{ max_tokens: 5, max_completion_tokens: 5, stop: ['\n'], presence_penalty: 1 }],
    [{ n: 1, logprobs: false, top_logprobs: 0, logit_bias: {}, modalities: ['text'] }],
    [{ n: null, logprobs: null, tools: null, response_format: null, audio: null, tools_: null }],
    [{ tools: [TOOL], tool_choice: 'none' }],
    [{ tools: [TOOL], tool_choice: 'required' }],
    [{ response_format: { type: 'json_object' } }],
  ])('with %j can be answered by a specialist', changed => {
    expect(escalations(changed)).toEqual([])
  })

  test.each([
    [{ n: 2 }, 'several-choices-asked', 'n'],
    [{ logprobs: true }, 'logprobs-asked', 'logprobs'],
    [{ top_logprobs: 3 }, 'logprobs-asked', 'top_logprobs'],
    [{ logit_bias: { 5: 100 } }, 'unknown-parameter', 'logit_bias'],
    [{ frobnicate: 0 }, 'unknown-parameter', 'frobnicate'],
    [{ constructor: 1 }, 'unknown-parameter', 'constructor'],
    [{ temperature: 'hot' }, 'unknown-parameter', 'temperature'],
    [{ max_tokens: 0 }, 'unknown-parameter', 'max_tokens'],
    [{ modalities: ['text', 'audio'] }, 'non-text-content', 'modalities'],
    [{ audio: { voice: 'x' } }, 'non-text-content', 'audio'],
    [{ tools: [TOOL] }, 'unforced-tools', 'tool_choice'],
    [{ tools: [TOOL, TOOL], tool_choice: 'required' }, 'unforced-tools', 'tool_choice'],
    [
      { tools: [TOOL], tool_choice: { type: 'function', function: { name: 'other' } } },
      'unforced-tools',
      'tool_choice',
    ],
    [{ functions: [{ name: 'f' }] }, 'unforced-tools', 'functions'],
    [{ response_format: { type: 'grammar' } }, 'unknown-parameter', 'response_format'],
    [{ response_format: 'json' }, 'unknown-parameter', 'response_format'],
    [
      { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: {} }] }] },
      'non-text-content',
      'image_url',
    ],
    [{ messages: [user, { role: 'assistant', content: null }] }, 'several-turns', undefined],
    [{ messages: [user, user] }, 'several-turns', undefined],
    [{ messages: [{ role: 'system', content: 'x' }] }, 'several-turns', undefined],
    [{ messages: [{ role: 'user', content: ' \n' }] }, 'empty-input', undefined],
  ])('with %j escalates: %s', (changed, reason, parameter) => {
    expect(escalations(changed)).toEqual([parameter ? { reason, parameter } : { reason }])
  })

  test('names the shape of its answer', () => {
    const schema = { type: 'object' }
    const format = { type: 'json_schema', json_schema: { name: 'x', schema } }
    expect(parse({ response_format: format }).shape).toEqual({ kind: 'json', schema })
    const forced = {
      tools: [TOOL],
      tool_choice: { type: 'function', function: { name: 'classify' } },
    }
    expect(parse(forced).shape).toEqual({ kind: 'tool', name: 'classify', parameters: schema })
  })

  test('has one form key however its keys are ordered, and another for another tool', () => {
    const reversed = {
      function: { parameters: { type: 'object' }, name: 'classify' },
      type: 'function',
    }
    expect(parse({ tools: [TOOL] }).formKey).toBe(parse({ tools: [reversed] }).formKey)
    expect(parse({ tools: [TOOL] }).formKey).not.toBe(parse({}).formKey)
    expect(parse({ temperature: 1 }).formKey).toBe(parse({}).formKey)
  })

  test.each([
    [{ stop: ['lost'] }, 'card_lost', 'stop'],
    [{ stop: 'lost' }, 'card_lost', 'stop'],
    [{ stop: ['\n', ''] }, 'card_lost', null],
    [{ max_tokens: 2 }, 'three words here', 'max_tokens'],
    [{ max_tokens: 3 }, 'three words here', null],
    [{ max_completion_tokens: 1, max_tokens: 9 }, 'two words', 'max_completion_tokens'],
  ])('with %j and the answer %j breaks the limit %s', (changed, text, broken) => {
    expect(limitBrokenBy(parse(changed), { kind: 'text', text })).toBe(broken)
  })
})

const completion = (choice: object): object => ({
  model: 'm-1',
  choices: [{ index: 0, finish_reason: 'stop', ...choice }],
})

describe('an answer', () => {
  test.each([
    [{ message: { content: 'yes' } }, { kind: 'text', text: 'yes' }],
    [
      {
        message: {
          content: [
            { type: 'text', text: 'y' },
            { type: 'text', text: 'es' },
          ],
        },
      },
      { kind: 'text', text: 'yes' },
    ],
    [
      { message: { content: null, tool_calls: [{ function: { name: 'f', arguments: '{}' } }] } },
      { kind: 'tool', name: 'f', argumentsText: '{}' },
    ],
    [
      { message: { content: null, function_call: { name: 'f', arguments: '{}' } } },
      { kind: 'tool', name: 'f', argumentsText: '{}' },
    ],
  ])('%j is read', (choice, answer) => {
    expect(answerOf(completion(choice), 200)).toEqual({ answer })
  })

  test.each([
    [completion({ message: { content: 'y' } }), 500, 'error-status'],
    [{ error: { message: 'x' } }, 200, 'error-status'],
    [completion({ message: { content: 'y' }, finish_reason: 'length' }), 200, 'truncated'],
    [completion({ message: { content: 'y' }, finish_reason: 'content_filter' }), 200, 'filtered'],
    [completion({ message: { content: null, refusal: 'no' } }), 200, 'refused'],
    [{ choices: [{}, {}] }, 200, 'several-choices'],
    [completion({ message: { tool_calls: [{}, {}] } }), 200, 'several-tool-calls'],
    [completion({ message: { content: '  ' } }), 200, 'empty'],
    [completion({ message: { content: null } }), 200, 'empty'],
    [{ choices: [] }, 200, 'empty'],
    [completion({ message: { content: 5 } }), 200, 'unreadable'],
    [completion({ message: { tool_calls: [{}] } }), 200, 'unreadable'],
    [completion({}), 200, 'unreadable'],
    [{ choices: {} }, 200, 'unreadable'],
    ['text', 200, 'unreadable'],
    [null, 200, 'unreadable'],
  ])('%j with status %d is none: %s', (body, status, reason) => {
    expect(answerOf(body, status)).toEqual({ answer: null, reason })
  })

  test('reports usage and model only where they are plausible', () => {
    expect(usageOf({ usage: { prompt_tokens: 3, completion_tokens: 0 } })).toEqual({
      promptTokens: 3,
      completionTokens: 0,
    })
    for (const usage of [
      null,
      {},
      { prompt_tokens: -1, completion_tokens: 1 },
      { prompt_tokens: '3', completion_tokens: 1 },
    ]) {
      expect(usageOf({ usage })).toBeNull()
    }
    expect(reportedModel({ model: 'm-1' })).toBe('m-1')
    expect(reportedModel({ model: 1 })).toBeNull()
  })

  test.each([
    { kind: 'text', text: 'card lost\n🌍' },
    { kind: 'tool', name: 'classify', argumentsText: '{"label":"card_lost"}' },
  ] as const)('%j survives rendering, streaming and folding', answer => {
    const parts = {
      id: 'chatcmpl-1',
      created: 7,
      model: 'm',
      answer,
      usage: { promptTokens: 3, completionTokens: 2 },
    }
    const whole = renderCompletion(parts)
    expect(answerOf(whole, 200)).toEqual({ answer })
    const events = [...renderChunks(parts, true)].map(chunk => ({ data: JSON.stringify(chunk) }))
    const folded = foldChunks([...events, { data: '[DONE]' }])
    expect(folded.isComplete).toBe(true)
    expect(answerOf(folded.response, 200)).toEqual({ answer })
    expect(usageOf(folded.response)).toEqual(parts.usage)
    expect(reportedModel(folded.response)).toBe('m')
  })
})

describe('a stream', () => {
  const events = (chunks: readonly unknown[]): { data: string }[] =>
    chunks.map(chunk => ({ data: JSON.stringify(chunk) }))
  const several = {
    id: 'c',
    created: 1,
    model: 'm',
    choices: [
      {
        index: 0,
        message: { role: 'assistant', content: 'one two', refusal: null },
        logprobs: null,
        finish_reason: 'stop',
      },
      {
        index: 1,
        message: {
          role: 'assistant',
          content: null,
          tool_calls: [
            { id: 'a', type: 'function', function: { name: 'f', arguments: '{"x":1}' } },
            { id: 'b', type: 'function', function: { name: 'g', arguments: '' } },
          ],
          refusal: null,
        },
        logprobs: null,
        finish_reason: 'tool_calls',
      },
    ],
  }

  test('unfolds in pieces and folds back to the same completion', () => {
    const split = (text: string): string[] => [...text]
    const chunks = [...unfoldCompletion(several, { includeUsage: false, split })]
    expect(chunks.length).toBeGreaterThan(12)
    expect(foldChunks(events(chunks))).toEqual({
      response: { ...several, object: 'chat.completion' },
      isComplete: true,
    })
  })

  test('that breaks off gives what came, and says so', () => {
    const chunks = [...unfoldCompletion(several, { includeUsage: false })].slice(0, 2)
    const { response, isComplete } = foldChunks(events(chunks))
    expect(isComplete).toBe(false)
    expect(response).toHaveProperty('choices.0.message.content', 'one two')
  })

  test.each([
    [[]],
    [[{ data: 'junk' }]],
    [[{ data: '5' }]],
    [[{ data: '{"choices":7}' }]],
  ])('of %j harms nothing', broken => {
    expect(foldChunks(broken).isComplete).toBe(false)
  })

  test('with an error in it folds to the error', () => {
    const error = { error: { message: 'boom' } }
    expect(
      foldChunks(events([...unfoldCompletion(several, { includeUsage: false }), error])),
    ).toEqual({
      response: error,
      isComplete: false,
    })
  })

  test.each([
    { message: 'boom' },
    'boom',
  ])('with the error %j in it is not whole, though it is closed', error => {
    expect(foldChunks([...events([{ choices: [] }, { error }]), { data: '[DONE]' }])).toEqual({
      response: { error },
      isComplete: false,
    })
  })
})
