import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createSseParser, foldChunks } from '../wire/index.ts'
import { openReplayLead } from './replay-lead.ts'
import type { Lead, LeadResponse } from './types.ts'

let dir: string
let fileCount = 0
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'replay-'))
})
afterAll(() => rm(dir, { recursive: true }))

const ask = (text: string, model = 'm'): Record<string, unknown> => ({
  model,
  messages: [{ role: 'user', content: text }],
})
const say = (content: string): Record<string, unknown> => ({
  id: `c-${content}`,
  object: 'chat.completion',
  created: 1,
  model: 'm-1',
  choices: [
    {
      index: 0,
      message: { role: 'assistant', content, refusal: null },
      logprobs: null,
      finish_reason: 'stop',
    },
  ],
  usage: { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 },
})

async function openLog(lines: readonly unknown[], speed = Number.POSITIVE_INFINITY): Promise<Lead> {
  const file = join(dir, `${++fileCount}.jsonl`)
  const text = lines
    .map(line => (typeof line === 'string' ? line : JSON.stringify(line)))
    .join('\n')
  await writeFile(file, text)
  return openReplayLead({ file, speed })
}

function send(
  lead: Lead,
  body: unknown,
  signal = new AbortController().signal,
): Promise<LeadResponse> {
  return lead.send({
    method: 'POST',
    path: '/v1/chat/completions',
    headers: {},
    body: new TextEncoder().encode(typeof body === 'string' ? body : JSON.stringify(body)),
    signal,
  })
}

async function textOf({ body }: LeadResponse): Promise<string> {
  const parts: Uint8Array[] = []
  for await (const part of body) parts.push(part)
  return Buffer.concat(parts).toString('utf8')
}

test('a request is recognised whatever the order of its keys, streamed or not', async () => {
  const lead = await openLog([
    { request: { ...ask('hi'), stream: true }, response: say('hello there') },
  ])
  const { messages, model } = ask('hi')
  const plain = await send(lead, { messages, model })
  expect(JSON.parse(await textOf(plain))).toEqual(say('hello there'))
  const streamed = await send(lead, {
    ...ask('hi'),
    stream: true,
    stream_options: { include_usage: true },
  })
  expect(streamed.headers['content-type']).toMatch(/^text\/event-stream/)
  const parser = createSseParser()
  const events = parser.push(Buffer.from(await textOf(streamed)))
  expect(events.length).toBe(6)
  expect(foldChunks(events)).toEqual({ response: say('hello there'), isComplete: true })
  await lead.close()
})

test('several recordings of one request are given in turn', async () => {
  const lead = await openLog([
    { request: ask('hi'), response: say('a') },
    { request: ask('other'), response: say('x') },
    { request: ask('hi'), response: say('b') },
  ])
  const ids: string[] = []
  for (let i = 0; i < 4; i++) ids.push(JSON.parse(await textOf(await send(lead, ask('hi')))).id)
  expect(ids).toEqual(['c-a', 'c-b', 'c-a', 'c-b'])
  await lead.close()
})

test('recorded errors come back with their status, also where a stream was asked for', async () => {
  const error = { error: { message: 'slow down', type: 'rate_limit_error' } }
  const lead = await openLog([{ request: ask('hi'), response: error, status: 429 }])
  const response = await send(lead, { ...ask('hi'), stream: true })
  expect([response.status, JSON.parse(await textOf(response))]).toEqual([429, error])
  await lead.close()
})

test('what was not recorded is a 404 that says so', async () => {
  const lead = await openLog([{ request: ask('hi'), response: say('a') }])
  for (const body of [ask('bye'), ask('hi', 'other-model'), [], 'no json']) {
    const response = await send(lead, body)
    expect(response.status).toBe(404)
    expect(JSON.parse(await textOf(response)).error.message).toContain('holds no such request')
  }
  const other = await lead.send({
    method: 'POST',
    path: '/v1/embeddings',
    headers: {},
    body: null,
    signal: new AbortController().signal,
  })
  expect(other.status).toBe(404)
  await lead.close()
})

test('models are those of the recording', async () => {
  const lead = await openLog([
    { request: ask('hi', 'b'), response: say('a') },
    { request: ask('hi', 'a'), response: say('a') },
  ])
  const response = await lead.send({
    method: 'GET',
    path: '/v1/models?x=1',
    headers: {},
    body: null,
    signal: new AbortController().signal,
  })
  expect(JSON.parse(await textOf(response)).data.map((row: { id: string }) => row.id)).toEqual([
    'a',
    'b',
  ])
  await lead.close()
})

test('broken, blank and very long lines are passed over, and the rest is found at its place', async () => {
  const padding = 'é'.repeat(1_500_000)
  const lead = await openLog([
    '{"request":',
    '',
    '{"request":{},"x":1}',
    '['.repeat(5000),
    { request: ask('padded'), response: say(padding) },
    '   ',
    { request: ask('last'), response: say('end') },
  ])
  expect(JSON.parse(await textOf(await send(lead, ask('padded')))).choices[0].message.content).toBe(
    padding,
  )
  expect(JSON.parse(await textOf(await send(lead, ask('last')))).id).toBe('c-end')
  await lead.close()
})

test('a caller who leaves ends the wait for the recorded latency', async () => {
  const lead = await openLog([{ request: ask('hi'), response: say('a'), latency_ms: 60_000 }], 1)
  const leaving = new AbortController()
  const asked = send(lead, ask('hi'), leaving.signal)
  setTimeout(() => leaving.abort(), 10)
  await expect(asked).rejects.toMatchObject({ code: 'cancelled' })
  await lead.close()
})

test('a file that cannot be read is said plainly', async () => {
  await expect(openReplayLead({ file: join(dir, 'nope') })).rejects.toMatchObject({
    code: 'file-unreadable',
  })
  await expect(openReplayLead({ file: dir })).rejects.toMatchObject({ code: 'file-unreadable' })
})
