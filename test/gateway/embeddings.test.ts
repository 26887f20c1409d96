/** Embeddings by an encoder of this machine, beside those of the lead. */
import { expect, test } from 'vitest'
import { createEmbedder } from '../../src/gateway/embedder.ts'
import type { EncoderHandle } from '../../src/models/index.ts'
import { testGateway } from './scripted.ts'
import { stubbedLead } from './stubbed-lead.ts'

const PATH = '/v1/embeddings'
const { stub, lead } = await stubbedLead()

/** Embeds by the lengths of words, in two dimensions; a token is a word. */
const encoder = {
  dimension: 2,
  feeds: ([text = '']: readonly string[]) => ({ inputIds: { dims: [1, text.split(' ').length] } }),
  embed: async (texts: readonly string[]) =>
    Float32Array.from(texts.flatMap(text => [text.length, -1 / 3])),
} as unknown as EncoderHandle

const localAnswer = createEmbedder({
  names: ['tiny', 'absent'],
  open: async name => (name === 'tiny' ? encoder : null),
})

async function ask(body: object, headers: Record<string, string> = {}) {
  const parts = testGateway({ lead, localAnswer })
  const response = await parts.gateway.request(PATH, {
    method: 'POST',
    headers,
    body: JSON.stringify(body),
  })
  return { response, body: await response.json(), trace: parts.workspace.traces[0] }
}

test('a request that names a local encoder is answered here, and recorded', async () => {
  const before = stub.seen.length
  const { response, body, trace } = await ask({ model: 'tiny', input: ['one two', 'three'] })
  expect(response.headers.get('x-understudy-served-by')).toBe('encoder')
  const third = Math.fround(-1 / 3)
  expect(body).toEqual({
    object: 'list',
    data: [
      { object: 'embedding', index: 0, embedding: [7, third] },
      { object: 'embedding', index: 1, embedding: [5, third] },
    ],
    model: 'tiny',
    usage: { prompt_tokens: 3, total_tokens: 3 },
  })
  expect(trace).toMatchObject({
    id: response.headers.get('x-understudy-decision'),
    endpoint: PATH,
    response: body,
    decision: { servedBy: 'encoder', reason: 'local-model', leadProbability: 0, task: null },
  })
  expect(stub.seen.length).toBe(before)
})

test('base64 holds the very float32 numbers', async () => {
  const { body } = await ask({ model: 'tiny', input: 'abc', encoding_format: 'base64' })
  const bytes = Buffer.from(
    (body as { data: { embedding: string }[] }).data[0]?.embedding ?? '',
    'base64',
  )
  expect([bytes.readFloatLE(0), bytes.readFloatLE(4)]).toEqual([3, Math.fround(-1 / 3)])
  expect(bytes.length).toBe(8)
})

test('dimensions are taken where they are the encoder’s, else refused', async () => {
  const input = 'abc'
  expect((await ask({ model: 'tiny', input, dimensions: 2 })).response.status).toBe(200)
  const { response, body } = await ask({ model: 'tiny', input, dimensions: 1 })
  expect(response.status).toBe(400)
  expect(body).toMatchObject({ error: { param: 'dimensions' } })
})

test.each([
  [{ input: '' }, 'input'],
  [{ input: [] }, 'input'],
  [{ input: [1, 2] }, 'input'],
  [{ input: [[1, 2]] }, 'input'],
  [{ input: ['a', ''] }, 'input[1]'],
  [{ input: ['a', null] }, 'input[1]'],
  [{ input: { text: 'a' } }, 'input'],
  [{}, 'input'],
  [{ input: Array(2049).fill('a') }, 'input'],
  [{ input: 'a', encoding_format: 'int8' }, 'encoding_format'],
])('%j is a 400 that names the field', async (more, param) => {
  const { response, body } = await ask({ model: 'tiny', ...more })
  expect(response.status).toBe(400)
  expect(body).toMatchObject({ error: { param } })
})

test('another model is the lead’s, and so is every model where the caller asks for the lead', async () => {
  const other = await ask({ model: 'text-embedding-3-small', input: 'a' })
  expect(other.response.headers.get('x-understudy-served-by')).toBe('lead')
  const asked = await ask({ model: 'tiny', input: 'a' }, { 'x-understudy-mode': 'lead' })
  expect(asked.response.headers.get('x-understudy-served-by')).toBe('lead')
})

test('an encoder that is not here says how to get it', async () => {
  const { response, body } = await ask({ model: 'absent', input: 'a' })
  expect(response.status).toBe(503)
  expect(body).toMatchObject({ error: { code: 'model_unavailable' } })
  expect(JSON.stringify(body)).toContain('understudy models pull absent')
})
