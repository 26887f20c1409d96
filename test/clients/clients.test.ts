/** The official clients, through the gateway and directly: they must understand the same, field by field. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Listening } from '../../src/gateway/index.ts'
import { type Lead, openRemoteLead } from '../../src/runtimes/index.ts'
import { scriptedTask, type TestGateway, testGateway } from '../gateway/scripted.ts'
import { openStubLead, type StubLead } from '../gateway/stub-lead.ts'
import { ANTHROPIC_CALLS, BROKEN_CALLS, OPENAI_CALLS, SPECIALIST_CALLS } from './calls.ts'
import { npmClient } from './npm-client.ts'
import type { Order } from './order.ts'
import { pythonClient, pythonProblem } from './python-client.ts'

let stub: StubLead
let lead: Lead
let parts: TestGateway
let listening: Listening

beforeAll(async () => {
  stub = await openStubLead()
  lead = openRemoteLead({ url: stub.url })
  const live = [scriptedTask({ name: 'intent', label: 'card_lost', score: 0.99 })]
  parts = testGateway({ lead }, live)
  listening = await parts.gateway.listen({ port: 0 })
})
afterAll(async () => {
  await listening.close()
  await lead.close()
  await stub.close()
})

const problem = await pythonProblem()
if (problem !== null) console.warn(`Skipped: the Python clients cannot be installed (${problem}).`)

const ALL = { openai: OPENAI_CALLS, anthropic: ANTHROPIC_CALLS }

describe.each([
  ['OpenAI’s, npm', 'openai', npmClient, true],
  ['OpenAI’s, Python', 'openai', pythonClient, problem === null],
  ['Anthropic’s, npm', 'anthropic', npmClient, true],
  ['Anthropic’s, Python', 'anthropic', pythonClient, problem === null],
] as const)('the official client: %s', (_name, client, run, isThere) => {
  const at = (root: string): string => (client === 'openai' ? `${root}/v1` : root)
  const direct = (calls: Order['calls']) =>
    run({ client, baseUrl: at(new URL(stub.url).origin), headers: {}, calls })
  const here = (calls: Order['calls'], headers: Order['headers'] = {}) =>
    run({ client, baseUrl: at(listening.address), headers, calls })

  test.skipIf(!isThere)('understands the gateway as it understands the lead', async () => {
    const expected = await direct(ALL[client])
    expect(Object.keys(expected)).toEqual(ALL[client].map(({ name }) => name))
    expect(JSON.stringify(expected)).toContain('Grüße, 世界 🌍.')
    expect(JSON.stringify(expected)).not.toContain('"unexpected"')
    const before = parts.workspace.traces.length
    const understood = await here(ALL[client])
    for (const { name } of ALL[client]) expect(understood[name], name).toEqual(expected[name])
    const recorded = parts.workspace.traces.slice(before)
    expect(recorded.every(trace => trace.isComplete)).toBe(true)
    const unrecorded = ['models', 'count-tokens']
    const names = ALL[client].map(({ name }) => name).filter(name => !unrecorded.includes(name))
    expect(recorded).toHaveLength(names.length)
  })

  test.skipIf(!isThere)('understands a specialist as it does the lead', async () => {
    const calls = SPECIALIST_CALLS[client]
    const understood = await here(calls, {
      'x-understudy-task': 'intent',
      'x-understudy-mode': 'specialist',
    })
    for (const { name } of calls) {
      expect(JSON.stringify(understood[name]), name).toMatch(/card_lost/)
    }
    const shared = SHARED[client] ?? {}
    const inCommon = calls.filter(({ name }) => name in shared)
    const expected = await direct(inCommon)
    for (const { name } of inCommon) {
      const known = [understood[name], expected[name]].map(value => shapeOf(value))
      expect(known[0], name).toMatchObject(pick(known[1], shared[name] ?? []))
    }
    // What the client adds a stream up to is what it understands of the plain answer.
    for (const { name, mode } of calls) {
      if (mode !== 'gather') continue
      const whole = understood[name.replace(/-gather$/u, '')]
      expect(told(understood[name]), name).toEqual(told(whole))
    }
  })

  test.skipIf(!isThere)(
    'raises an API error where a stream breaks off or a body is wrong',
    async () => {
      const { 'bad-request': bad, ...broken } = await here(BROKEN_CALLS[client])
      for (const [name, failure] of Object.entries(broken)) {
        expect(failure, name).toMatchObject({
          class: expect.stringMatching(/^API(Status)?Error$/u),
        })
        expect(JSON.stringify(failure), name).toContain('cannot be reached')
      }
      expect(bad).toMatchObject({ class: 'BadRequestError', status: 400 })
      expect(JSON.stringify(bad)).toContain('messages')
    },
  )
})

/** Fields that a specialist's plain answer has in common with the stub lead's, by call. */
const SHARED: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  openai: {
    chat: ['id', 'object', 'created', 'model', 'choices', 'usage', 'service_tier'],
    'chat-tool': ['id', 'object', 'created', 'model', 'choices', 'usage', 'service_tier'],
    responses: ['id', 'object', 'created_at', 'status', 'error', 'model', 'tools', 'usage', 'text'],
  },
  anthropic: {
    messages: ['id', 'type', 'role', 'content', 'model', 'stop_reason', 'stop_sequence'],
    'messages-tool': ['id', 'type', 'role', 'model', 'stop_reason', 'stop_sequence'],
  },
}

function pick(value: unknown, names: readonly string[]): object {
  const fields = value as Readonly<Record<string, unknown>>
  return Object.fromEntries(names.map(name => [name, fields[name]]))
}

/** What an answer says, without ids and times. */
function told(value: unknown): unknown {
  const { content, output, stop_reason: stop, status, usage } = value as Record<string, unknown>
  const ids = /^(id|call_id|parsed|parsed_arguments|parsed_output|caller|citations|__json_buf)$/u
  const plain = JSON.stringify({ content, output, stop, status }, (name, field) =>
    ids.test(name) || field === null ? undefined : field,
  )
  const counts = JSON.stringify(usage).match(/"(?:input|output)_tokens":\d+/gu)
  return [JSON.parse(plain), counts]
}

/** The fields of a value with the types of their values; texts that differ are alike. */
function shapeOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(shapeOf)
  if (typeof value !== 'object' || value === null) return value === null ? 'null' : typeof value
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, shapeOf(item)]))
}
