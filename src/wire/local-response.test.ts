import { describe, expect, it } from 'vitest'
import { foldChunks } from './fold.ts'
import { contextLengthBody, createLocalChunks, renderLocalCompletion } from './local-response.ts'

const head = { id: 'chatcmpl-1', created: 5, model: 'tiny' }
const usage = { promptTokens: 3, completionTokens: 2 }

describe('answers of a local model', () => {
  it('says length where the answer was cut', () => {
    expect(renderLocalCompletion(head, 'ab', 'length', usage)).toMatchObject({
      ...head,
      object: 'chat.completion',
      choices: [
        { index: 0, message: { role: 'assistant', content: 'ab' }, finish_reason: 'length' },
      ],
      usage: { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 },
    })
  })

  it('streams chunks that add up to the same answer', () => {
    const chunks = createLocalChunks(head, true)
    const all = [
      chunks.open(),
      chunks.text('a'),
      chunks.text('b'),
      ...chunks.end('stop', usage),
    ].map(chunk => ({ data: JSON.stringify(chunk) }))
    const folded = foldChunks(all)
    expect(folded.isComplete).toBe(true)
    expect(folded.response).toMatchObject({
      id: 'chatcmpl-1',
      model: 'tiny',
      choices: [{ message: { role: 'assistant', content: 'ab' }, finish_reason: 'stop' }],
      usage: { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 },
    })
  })

  it('sends usage only where it was asked for', () => {
    const chunks = createLocalChunks(head, false)
    expect(chunks.end('stop', usage)).toHaveLength(1)
    expect(JSON.stringify([chunks.open(), ...chunks.end('stop', usage)])).not.toContain('usage')
  })

  it('uses the code that clients look for when a prompt is too long', () => {
    expect(contextLengthBody(9000, 4096).error).toMatchObject({
      code: 'context_length_exceeded',
      type: 'invalid_request_error',
      param: 'messages',
      message: expect.stringMatching(/9000.*4096/),
    })
  })
})
