/** A lead that speaks chat completions only, asked on other wires. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Listening } from '../../src/gateway/index.ts'
import { type Lead, openRemoteLead } from '../../src/runtimes/index.ts'
import { CHAT_PATH, createSseParser, type Wire, wireAt } from '../../src/wire/index.ts'
import { SPECIALIST_CALLS } from '../clients/calls.ts'
import { npmClient } from '../clients/npm-client.ts'
import { testGateway } from './scripted.ts'
import { openStubLead, type StubLead } from './stub-lead.ts'

let stub: StubLead
let remote: Lead
let lead: Lead
let listening: Listening

beforeAll(async () => {
  stub = await openStubLead()
  remote = openRemoteLead({ url: stub.url, headersTimeoutMs: 2000, bodyTimeoutMs: 2000 })
  lead = { ...remote, speaks: path => path === CHAT_PATH }
  listening = await testGateway({ lead }).gateway.listen({ port: 0 })
})
afterAll(async () => {
  await listening.close()
  await remote.close()
  await stub.close()
})

type Json = Record<string, unknown>

const TEXT = 'Grüße, 世界 🌍.'
const parameters = { type: 'object', properties: { label: { type: 'string' } } }
const CASES = [
  {
    wire: wireAt('/v1/messages') as Wire,
    asked: { max_tokens: 9, system: 'Be kind.', messages: [{ role: 'user', content: 'Hi' }] },
    tools: [{ name: 'classify', input_schema: parameters }],
    unsayable: { thinking: { type: 'enabled', budget_tokens: 1024 } },
    field: 'thinking',
  },
  {
    wire: wireAt('/v1/responses') as Wire,
    asked: { instructions: 'Be kind.', input: 'Hi' },
    tools: [{ type: 'function', name: 'classify', parameters }],
    unsayable: { previous_response_id: 'resp_1' },
    field: 'previous_response_id',
  },
]

describe.each(CASES)('$wire.name', ({ wire, asked, tools, unsayable, field }) => {
  const ask = async (more: Json, headers: Record<string, string> = {}) => {
    const { gateway, workspace } = testGateway({ lead })
    const body = JSON.stringify({ model: 'm', ...asked, ...more })
    const response = await gateway.request(wire.path, { method: 'POST', headers, body })
    const bytes = new Uint8Array(await response.arrayBuffer())
    await gateway.close()
    return { response, text: new TextDecoder().decode(bytes), bytes, trace: workspace.traces[0] }
  }
  const fold = (bytes: Uint8Array) => {
    const [parser, folding] = [createSseParser(), wire.createFold()]
    for (const event of [...parser.push(bytes), ...parser.end()]) folding.add(event)
    return folding.result()
  }

  test('is said as a chat completion, and its answer said back', async () => {
    const { response, text, trace } = await ask({})
    const seen = stub.seen.at(-1)
    expect(seen?.path).toBe(CHAT_PATH)
    expect(JSON.parse(seen?.body ?? '')).toMatchObject({
      model: 'm',
      messages: [
        { role: 'system', content: 'Be kind.' },
        { role: 'user', content: 'Hi' },
      ],
    })
    expect(response.status).toBe(200)
    const answer = JSON.parse(text) as Json
    expect(wire.answerOf(answer, 200)).toEqual({ answer: { kind: 'text', text: TEXT } })
    expect(wire.usageOf(answer)).toEqual({ promptTokens: 9, completionTokens: 3 })
    expect(answer.model).toBe('m-2024')
    expect(trace).toMatchObject({ endpoint: wire.path, isComplete: true, response: answer })
  })

  test.each(['m', 'parallel'])('tool calls of %s are said back, streamed or not', async model => {
    const plain = await ask({ tools, model })
    const streamed = await ask({ tools, model, stream: true })
    expect(JSON.parse(stub.seen.at(-1)?.body ?? '')).toMatchObject({
      stream: true,
      stream_options: { include_usage: true },
      tools: [{ type: 'function', function: { name: 'classify', parameters } }],
    })
    const whole = JSON.parse(plain.text) as Json
    const { response, isComplete } = fold(streamed.bytes)
    expect(isComplete).toBe(true)
    expect(withoutIds(response)).toEqual(withoutIds(whole))
    expect(JSON.stringify(whole).match(/card_lost/g)).toHaveLength(model === 'm' ? 1 : 2)
    expect(streamed.trace).toMatchObject({ isStream: true, isComplete: true })
  })

  test('a stream is said back as it comes', async () => {
    const { response, bytes, text } = await ask({ stream: true })
    expect(response.headers.get('content-type')).toMatch(/^text\/event-stream/)
    expect(text).not.toContain('[DONE]')
    const folded = fold(bytes)
    expect(wire.answerOf(folded.response, 200)).toEqual({ answer: { kind: 'text', text: TEXT } })
    expect(wire.usageOf(folded.response)).toEqual({ promptTokens: 9, completionTokens: 3 })
  })

  test('a stream that breaks off ends with this wire’s error', async () => {
    const { text, trace } = await ask({ stream: true, model: 'unfinished' })
    expect(text).toMatch(/event: error\ndata: \{[^\n]+\}\n\n$/)
    expect(trace).toMatchObject({ isComplete: false })
  })

  test.each([400, 401, 404, 429, 500])('an error %d is said back', async status => {
    const { response, text } = await ask({ model: `error-${status}` })
    expect(response.status).toBe(status)
    const body = JSON.parse(text) as { type?: string; error: Json }
    expect(body.error.message).toBe(`Bad day ${status}`)
    expect(body.type).toBe(wire.name === 'messages' ? 'error' : undefined)
  })

  test.each([
    ['not-json', 502],
    ['deep', 502],
    ['gzipped', 502],
    ['invalid-utf8', 502],
  ])('a hostile answer (%s) is answered by %d', async (model, status) => {
    expect((await ask({ model })).response.status).toBe(status)
  })

  test('what chat has no words for is a 400 that names it', async () => {
    const before = stub.seen.length
    const { response, text, trace } = await ask(unsayable)
    expect(response.status).toBe(400)
    expect(text).toContain(`\`${field}\``)
    expect(stub.seen.length).toBe(before)
    expect(trace).toBeUndefined()
  })

  test('a caller’s key takes the place where chat leads look for it', async () => {
    await ask({}, { 'x-api-key': 'sk-caller' })
    const headers = stub.seen.at(-1)?.headers
    expect(headers?.authorization).toBe('Bearer sk-caller')
    expect(headers).not.toHaveProperty('x-api-key')
  })
})

test.each([
  'openai',
  'anthropic',
] as const)('the %s client gathers what is said back', async client => {
  const path = client === 'openai' ? '/v1' : ''
  const baseUrl = listening.address + path
  const calls = SPECIALIST_CALLS[client].filter(({ name }) => !name.startsWith('chat'))
  const understood = await npmClient({ client, baseUrl, headers: {}, calls })
  for (const { name, mode } of calls) {
    const expected = name.includes('tool') ? 'card_lost' : '世'
    expect(JSON.stringify(understood[name]), `${name} ${mode}`).toContain(expected)
  }
})

/** Ids that are made anew for each answer, and times. */
function withoutIds(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (name, field) =>
      ['id', 'created_at', 'completed_at', 'usage', 'service_tier'].includes(name)
        ? undefined
        : field,
    ),
  )
}
