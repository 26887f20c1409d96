import { describe, expect, it } from 'vitest'
import { hasCode } from '../errors.ts'
import { parseLocalChat } from './local-request.ts'

const base = { model: 'any', messages: [{ role: 'user', content: 'Hi' }] }

function refusal(extra: object): { message: string; param: unknown } {
  try {
    parseLocalChat({ ...base, ...extra })
  } catch (error) {
    if (hasCode(error, 'request-invalid')) {
      return { message: error.message, param: error.details.param }
    }
    throw error
  }
  throw new Error(`accepted: ${JSON.stringify(extra)}`)
}

describe('parseLocalChat', () => {
  it('reads messages, sampling and limits', () => {
    const chat = parseLocalChat({
      model: 'x',
      messages: [
        { role: 'developer', content: 'Be brief.' },
        {
          role: 'user',
          content: [
            { type: 'text', text: 'a' },
            { type: 'text', text: 'b' },
          ],
        },
        { role: 'assistant', content: null },
        { role: 'user', content: 'c' },
      ],
      temperature: 0,
      top_p: 0.5,
      seed: -1,
      max_tokens: 7,
      max_completion_tokens: 9,
      stop: 'END',
      presence_penalty: 1,
      frequency_penalty: null,
      stream: true,
      stream_options: { include_usage: true },
      user: 'u-1',
    })
    expect(chat).toEqual({
      isStream: true,
      includeUsage: true,
      generation: {
        messages: [
          { role: 'system', text: 'Be brief.' },
          { role: 'user', text: 'a\nb' },
          { role: 'assistant', text: '' },
          { role: 'user', text: 'c' },
        ],
        temperature: 0,
        topP: 0.5,
        seed: 4294967295,
        maxTokens: 9,
        stops: ['END'],
        presencePenalty: 1,
        frequencyPenalty: 0,
        form: { kind: 'text' },
      },
    })
  })

  it('leaves to the engine what the request does not say', () => {
    expect(parseLocalChat(base).generation).toMatchObject({
      temperature: null,
      topP: null,
      seed: null,
      maxTokens: null,
      stops: [],
    })
  })

  it.each([
    ['tools', { tools: [{ type: 'function', function: { name: 'f' } }] }],
    ['functions', { functions: [{ name: 'f' }] }],
    ['n', { n: 2 }],
    ['logprobs', { logprobs: true }],
    ['top_logprobs', { top_logprobs: 3 }],
    ['logit_bias', { logit_bias: { 50256: -100 } }],
    ['audio', { audio: { voice: 'a' } }],
    ['modalities', { modalities: ['text', 'audio'] }],
    ['messages', { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: {} }] }] }],
    ['messages[0]', { messages: [{ role: 'tool', content: 'x', tool_call_id: '1' }] }],
    ['messages[0]', { messages: [{ role: 'assistant', content: null, tool_calls: [{}] }] }],
  ])('refuses %s, naming it, instead of ignoring it', (param, extra) => {
    expect(refusal(extra)).toEqual({
      message: expect.stringContaining('local model'),
      param,
    })
  })

  it.each([
    { n: 1 },
    { tools: [] },
    { tools: [{ type: 'function', function: { name: 'f' } }], tool_choice: 'none' },
    { logprobs: false, top_logprobs: 0, logit_bias: {}, modalities: ['text'], audio: null },
  ])('accepts %j, which asks for nothing special', extra => {
    expect(parseLocalChat({ ...base, ...extra }).generation.form).toEqual({ kind: 'text' })
  })

  it.each([
    ['temperature', { temperature: 3 }],
    ['temperature', { temperature: 'hot' }],
    ['top_p', { top_p: -0.1 }],
    ['seed', { seed: 1.5 }],
    ['max_tokens', { max_tokens: 0 }],
    ['max_completion_tokens', { max_completion_tokens: 2 ** 60 }],
    ['stop', { stop: [''] }],
    ['stop', { stop: 7 }],
    ['stop', { stop: Array.from({ length: 17 }, () => 'x') }],
    ['presence_penalty', { presence_penalty: 9 }],
    ['response_format', { response_format: { type: 'xml' } }],
    ['response_format', { response_format: 'json_object' }],
    ['messages', { messages: [] }],
    ['model', { model: 4 }],
  ])('refuses a bad %s', (param, extra) => {
    expect(refusal(extra).param).toBe(param)
  })

  it('reads the forms of JSON', () => {
    const form = (format: object) =>
      parseLocalChat({ ...base, response_format: format }).generation.form
    expect(form({ type: 'json_object' })).toEqual({ kind: 'json', schema: null })
    expect(form({ type: 'json_schema', json_schema: { name: 'x' } })).toEqual({
      kind: 'json',
      schema: null,
    })
    expect(
      form({ type: 'json_schema', json_schema: { name: 'x', schema: { type: 'integer' } } }),
    ).toEqual({ kind: 'json', schema: { type: 'integer' } })
  })
})
