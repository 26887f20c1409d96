/** Every wire through the gateway: true bytes both ways, answers captured whole, errors in the wire's own shape. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Lead, openRemoteLead } from '../../src/runtimes/index.ts'
import { createSseParser, WIRES } from '../../src/wire/index.ts'
import { scriptedTask, testGateway } from './scripted.ts'
import { openStubLead, type StubLead } from './stub-lead.ts'

let stub: StubLead
let lead: Lead

beforeAll(async () => {
  stub = await openStubLead()
  lead = openRemoteLead({ url: stub.url, headersTimeoutMs: 2000, bodyTimeoutMs: 2000 })
})
afterAll(async () => {
  await lead.close()
  await stub.close()
})

const schema = {
  type: 'object',
  properties: { label: { enum: ['card_lost', 'refund'] } },
  required: ['label'],
}
const system = 'Name the intent.'
const user = 'I lost my card'
const image = 'data:image/png;base64,iVBORw0KGgo='

type Json = Record<string, unknown>

/** The same question on each wire that asks one, with fields that only this wire has. */
const ASKED: Readonly<Record<string, Json>> = {
  '/v1/chat/completions': {
    messages: [
      { role: 'system', content: system },
      { role: 'user', content: [{ type: 'image_url', image_url: { url: image } }] },
    ],
    frobnicate: { deep: [1, null, 'é\ud83c\udf0d'] },
  },
  '/v1/completions': { prompt: `${system}\n${user}`, max_tokens: 9, echo: false },
  '/v1/embeddings': { input: [user, 'Where is it?'] },
  '/v1/responses': {
    instructions: system,
    input: [
      { role: 'user', content: [{ type: 'input_text', text: user }] },
      { type: 'reasoning', id: 'rs_0', summary: [] },
    ],
    frobnicate: 1,
  },
  '/v1/messages': {
    max_tokens: 100,
    system: [{ type: 'text', text: system, cache_control: { type: 'ephemeral' } }],
    messages: [{ role: 'user', content: user }],
    thinking: { type: 'enabled', budget_tokens: 1024 },
  },
  '/v1/decisions': {
    input: user,
    questions: [
      { type: 'predicate', instructions: 'Is a card lost?', name: 'lost' },
      { type: 'choice', instructions: 'Which?', choices: [{ value: 'card' }, { value: false }] },
      { type: 'score', instructions: 'How bad?', levels: [{ label: 'a' }, { label: 'b' }] },
    ],
  },
}

/** Tools as each wire offers them. */
const TOOLS: Readonly<Record<string, Json>> = {
  '/v1/chat/completions': {
    tools: [{ type: 'function', function: { name: 'classify', parameters: schema } }],
  },
  '/v1/responses': {
    tools: [{ type: 'function', name: 'classify', parameters: schema, strict: null }],
  },
  '/v1/messages': { tools: [{ name: 'classify', input_schema: schema }] },
}

/** A body as no serializer writes it, so that rewriting it on the way would show. */
function oddly(body: Json): string {
  return ` ${JSON.stringify(body, null, 1).replace('{', '{ "model" : "first",')}\n`
}

function init(body: string, headers: Record<string, string> = {}): RequestInit {
  return { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body }
}

async function both(path: string, body: string) {
  const direct = await fetch(new URL(path, stub.url), init(body))
  const directText = await direct.text().catch(() => 'broken off')
  const parts = testGateway({ lead })
  const response = await parts.gateway.request(path, init(body))
  const text = await response.text()
  await parts.gateway.close()
  return { direct, directText, response, text, trace: parts.workspace.traces[0] }
}

const streams = WIRES.filter(({ path }) => !['/v1/embeddings', '/v1/decisions'].includes(path))
const callers = WIRES.filter(({ path }) => path in TOOLS)

describe.each(WIRES.map(wire => [wire.name, wire] as const))('%s', (_name, wire) => {
  test('passes bytes unchanged both ways, and is recorded whole', async () => {
    const body = oddly({ ...ASKED[wire.path], model: 'm' })
    const { directText, response, text, trace } = await both(wire.path, body)
    expect(stub.seen.at(-1)?.body).toBe(body)
    expect(text).toBe(directText)
    expect(response.headers.get('x-understudy-served-by')).toBe('lead')
    expect(trace).toMatchObject({
      endpoint: wire.path,
      request: JSON.parse(body),
      response: JSON.parse(text),
      isStream: false,
      isComplete: true,
      id: response.headers.get('x-understudy-decision'),
    })
    expect(wire.usageOf(trace?.response)?.promptTokens).toBeGreaterThan(3)
  })

  test.each([
    ['a byte order mark', (text: string) => `\ufeff${text}`],
    [
      'numbers beyond any',
      (text: string) => text.replace('{', '{"x":[1e999,-1e999,9007199254740993],'),
    ],
    ['a lone surrogate', (text: string) => text.replace('{', '{"x":"\\ud800","\\udfff":1,')],
    [
      'a prototype',
      (text: string) => text.replace('{', '{"__proto__":{"model":"x","stream":true},'),
    ],
    ['depth', (text: string) => text.replace('{', `{"x":${'['.repeat(150)}${']'.repeat(150)},`)],
  ])('passes a request with %s on as it is', async (_what, alter) => {
    const body = alter(JSON.stringify({ ...ASKED[wire.path], model: 'm' }))
    const { directText, text, trace } = await both(wire.path, body)
    expect(stub.seen.at(-1)?.body).toBe(body)
    expect(text).toBe(directText)
    expect(trace).toMatchObject({ isComplete: true, request: { model: 'm' } })
  })

  test('answers bytes that are no UTF-8 by a 400', async () => {
    const bytes = Buffer.from(`{"model":"m\xff"}`, 'latin1')
    const { gateway } = testGateway({ lead })
    const response = await gateway.request(wire.path, { method: 'POST', body: bytes })
    expect(response.status).toBe(400)
  })

  test.each([400, 401, 404, 429, 500])('passes an error %d on untouched', async status => {
    const body = JSON.stringify({ ...ASKED[wire.path], model: `error-${status}` })
    const { direct, directText, response, text, trace } = await both(wire.path, body)
    expect([response.status, text]).toEqual([status, directText])
    expect(direct.status).toBe(status)
    expect(trace).toMatchObject({ status, isComplete: true, response: JSON.parse(text) })
    expect(wire.answerOf(trace?.response, status)).toMatchObject({ answer: null })
  })

  test.each([
    '',
    'null',
    '[]',
    '{}',
    '{"model":7}',
    '{"model":"m","stream":"yes"}',
    '{"model":"m","a":'.repeat(300),
    '\ufeff\ufeff{"model":"m"}',
  ])('answers the body %j by a 400 in its own shape', async body => {
    const response = await testGateway({ lead }).gateway.request(wire.path, init(body))
    expect(response.status).toBe(400)
    const answer = (await response.json()) as { error: Json; type?: string }
    expect(answer.error).toMatchObject({ type: 'invalid_request_error' })
    expect(answer.error.message).not.toBe('')
    expect(answer.type).toBe(wire.name === 'messages' ? 'error' : undefined)
  })
})

describe.each(streams.map(wire => [wire.name, wire] as const))('%s, streamed', (_name, wire) => {
  test('passes bytes unchanged, and folds to what the plain answer would have been', async () => {
    const asked = { ...ASKED[wire.path], model: 'm', stream_options: { include_usage: true } }
    const body = oddly({ ...asked, stream: true })
    const { response, directText, text, trace } = await both(wire.path, body)
    expect(response.headers.get('content-type')).toMatch(/^text\/event-stream/)
    expect(stub.seen.at(-1)?.body).toBe(body)
    expect(text).toBe(directText)
    const plain = await (
      await fetch(new URL(wire.path, stub.url), init(JSON.stringify(asked)))
    ).json()
    expect(trace).toMatchObject({ isStream: true, isComplete: true })
    expect(wire.answerOf(trace?.response, 200)).toEqual(wire.answerOf(plain, 200))
    expect(wire.answerOf(trace?.response, 200).answer).not.toBeNull()
    expect(withoutNulls(trace?.response)).toEqual(withoutNulls(plain))
  })

  test('that breaks off ends with an error the wire knows, and is marked incomplete', async () => {
    const body = JSON.stringify({ ...ASKED[wire.path], model: 'unfinished', stream: true })
    const { text, trace } = await both(wire.path, body)
    const last = text.trimEnd().split('\n\n').at(-1) ?? ''
    const data = JSON.parse(last.slice(last.indexOf('data: ') + 6)) as Json
    expect(data).toHaveProperty('error.message', expect.stringContaining('cannot be reached'))
    if (wire.name === 'messages' || wire.name === 'responses')
      expect(last).toMatch(/^event: error\n/)
    expect(trace).toMatchObject({ isStream: true, isComplete: false })
    expect(JSON.stringify(trace?.response)).toContain('Grüße')
  })
})

describe.each(callers.map(wire => [wire.name, wire] as const))('%s with tools', (_name, wire) => {
  test.each(['m', 'parallel'])('called by the model %s folds to the plain answer', async model => {
    const asked = { ...ASKED[wire.path], ...TOOLS[wire.path], model }
    const plain = await both(wire.path, JSON.stringify(asked))
    const streamed = await both(wire.path, JSON.stringify({ ...asked, stream: true }))
    expect(streamed.text).toBe(streamed.directText)
    expect(streamed.trace).toMatchObject({ isComplete: true })
    expect(noUsage(streamed.trace?.response)).toEqual(noUsage(plain.trace?.response))
    const answer = wire.answerOf(streamed.trace?.response, 200)
    if (model === 'parallel') expect(answer).toEqual({ answer: null, reason: 'several-tool-calls' })
    else expect(answer).toHaveProperty('answer.argumentsText', '{"label":"card_lost"}')
  })
})

test('log-probabilities and reasoning of a chat stream are captured', async () => {
  for (const more of [{ logprobs: true, model: 'm' }, { model: 'reasoning' }]) {
    const asked = { ...ASKED['/v1/chat/completions'], ...more }
    const plain = await both('/v1/chat/completions', JSON.stringify(asked))
    const streamed = await both('/v1/chat/completions', JSON.stringify({ ...asked, stream: true }))
    expect(noUsage(streamed.trace?.response)).toEqual(noUsage(plain.trace?.response))
  }
})

test('counting tokens passes through unrecorded', async () => {
  const path = '/v1/messages/count_tokens'
  const { text, directText, trace } = await both(path, '{"model":"m","messages":[]}')
  expect(text).toBe(directText)
  expect(trace).toBeUndefined()
})

describe('a specialist that is live for a task', () => {
  const asked: Readonly<Record<string, Json>> = {
    '/v1/chat/completions': {
      messages: [
        { role: 'system', content: system },
        { role: 'user', content: user },
      ],
    },
    '/v1/responses': { instructions: system, input: user },
    '/v1/messages': { max_tokens: 64, system, messages: [{ role: 'user', content: user }] },
  }
  const forced: Readonly<Record<string, Json>> = {
    '/v1/chat/completions': {
      ...TOOLS['/v1/chat/completions'],
      tool_choice: { type: 'function', function: { name: 'classify' } },
    },
    '/v1/responses': {
      ...TOOLS['/v1/responses'],
      tool_choice: { type: 'function', name: 'classify' },
    },
    '/v1/messages': { ...TOOLS['/v1/messages'], tool_choice: { type: 'tool', name: 'classify' } },
  }
  const label = 'card_lost'
  const live = [scriptedTask({ name: 'intent', label, score: 0.99 })]
  const named = { 'x-understudy-task': 'intent', 'x-understudy-mode': 'specialist' }

  test.each(
    callers.map(wire => [wire.name, wire] as const),
  )('answers on %s as that wire answers, streamed or not, text or tool', async (_name, wire) => {
    for (const more of [{}, forced[wire.path]]) {
      const { gateway, workspace } = testGateway({ lead: null }, live)
      const body = { ...asked[wire.path], ...more, model: 'm' }
      const plain = await gateway.request(wire.path, init(JSON.stringify(body), named))
      expect(plain.headers.get('x-understudy-served-by')).toBe('reflex')
      const whole = await plain.json()
      const options = { stream_options: { include_usage: true } }
      const streaming = { stream: true, ...(wire.name === 'chat' ? options : {}) }
      const streamed = await gateway.request(
        wire.path,
        init(JSON.stringify({ ...body, ...streaming }), named),
      )
      const bytes = new Uint8Array(await streamed.arrayBuffer())
      const parser = createSseParser()
      const fold = wire.createFold()
      const events = [...parser.push(bytes), ...parser.end()]
      for (const event of events) fold.add(event)
      expect(events.slice(0, -1).some(event => wire.closes(event))).toBe(false)
      expect(wire.closes(events.at(-1) as (typeof events)[number])).toBe(true)
      const folded = fold.result()
      expect(folded.isComplete).toBe(true)
      const expected = wire.answerOf(whole, 200)
      expect(expected.answer).toMatchObject(
        more === undefined || Object.keys(more).length === 0
          ? { kind: 'text', text: label }
          : { kind: 'tool', name: 'classify', argumentsText: `{"label":"${label}"}` },
      )
      expect(wire.answerOf(folded.response, 200)).toEqual(expected)
      expect(shapeOf(folded.response)).toEqual(shapeOf(whole))
      expect(wire.usageOf(whole)).toEqual({ promptTokens: 5, completionTokens: 2 })
      expect(wire.usageOf(folded.response)).toEqual(wire.usageOf(whole))
      expect(workspace.traces.map(trace => trace.endpoint)).toEqual([wire.path, wire.path])
      expect(workspace.traces[0]?.response).toEqual(whole)
    }
  })

  test.each([
    '/v1/completions',
    '/v1/embeddings',
    '/v1/decisions',
  ])('answers nothing on %s', async path => {
    const { gateway } = testGateway({ lead }, live)
    const body = JSON.stringify({ ...ASKED[path], model: 'm' })
    const task = { 'x-understudy-task': 'intent' }
    const response = await gateway.request(path, init(body, task))
    expect(response.headers.get('x-understudy-served-by')).toBe('lead')
    expect((await gateway.request(path, init(body, named))).status).toBe(409)
  })

  test.each([
    ['/v1/responses', { previous_response_id: 'resp_1' }],
    ['/v1/responses', { include: ['reasoning.encrypted_content'] }],
    ['/v1/responses', { input: [{ type: 'item_reference', id: 'x' }] }],
    ['/v1/messages', { thinking: { type: 'enabled', budget_tokens: 1024 } }],
    ['/v1/messages', { mcp_servers: [] }],
    ['/v1/messages', { stop_sequences: ['card'] }],
    ['/v1/responses', { max_output_tokens: 1 }],
  ] as const)('leaves %s with %j to the lead', async (path, more) => {
    const { gateway } = testGateway({ lead }, live)
    const body = JSON.stringify({ ...asked[path], ...more, model: 'm' })
    const response = await gateway.request(path, init(body, { 'x-understudy-task': 'intent' }))
    expect(response.headers.get('x-understudy-served-by')).toBe('lead')
  })
})

/** A stream leaves out fields that a plain answer gives as null. */
function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .filter(([name, field]) => field !== null && name !== 'annotations')
      .map(([name, field]) => [name, withoutNulls(field)]),
  )
}

/** Chat streams give usage only where it is asked for. */
function noUsage(response: unknown): unknown {
  const { usage: _, ...rest } = response as Json
  return withoutNulls(rest)
}

function shapeOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(shapeOf)
  if (typeof value !== 'object' || value === null) return value === null ? 'null' : typeof value
  return Object.fromEntries(
    Object.entries(value)
      .filter(([name]) => name !== 'annotations')
      .map(([name, item]) => [name, shapeOf(item)]),
  )
}
