/** Requests that a specialist answers, and what happens where it does not. */
import { expect, test } from 'vitest'
import { chatInit, scriptedTask, testGateway } from './scripted.ts'
import { stubbedLead } from './stubbed-lead.ts'

const CHAT = '/v1/chat/completions'
const LABEL =
  '{"type":"object","properties":{"label":{"enum":["card_lost","refund"]}},"required":["label"]}'
const { stub, lead } = await stubbedLead()

const sure = scriptedTask({ name: 'intent', label: 'card_lost', score: 0.97 })
const unsure = scriptedTask({ name: 'intent', label: 'card_lost', score: 0.31 })
const named = { 'x-understudy-task': 'intent' }

test('a sure specialist answers in the shape of the API, with its promise in the headers', async () => {
  const { gateway, workspace } = testGateway({ lead }, [sure])
  const response = await gateway.request(CHAT, chatInit({}, named))
  const body = await response.json()
  expect(body).toEqual({
    id: expect.stringMatching(/^chatcmpl-/),
    object: 'chat.completion',
    created: expect.any(Number),
    model: 'gpt-4o-mini-2024-07-18',
    choices: [
      {
        index: 0,
        message: { role: 'assistant', content: 'card_lost', refusal: null, annotations: [] },
        logprobs: null,
        finish_reason: 'stop',
      },
    ],
    usage: {
      prompt_tokens: 5,
      completion_tokens: 2,
      total_tokens: 7,
      prompt_tokens_details: { cached_tokens: 0, audio_tokens: 0 },
      completion_tokens_details: {
        reasoning_tokens: 0,
        audio_tokens: 0,
        accepted_prediction_tokens: 0,
        rejected_prediction_tokens: 0,
      },
    },
    service_tier: 'default',
    system_fingerprint: 'fp_aaaaaaaaaa',
  })
  expect(Object.fromEntries(response.headers)).toMatchObject({
    'content-type': 'application/json',
    'x-understudy-served-by': 'reflex',
    'x-understudy-task': 'intent',
    'x-understudy-confidence': '0.9700',
    'x-understudy-certificate': 'cert_1',
  })
  const id = response.headers.get('x-understudy-decision')
  expect(workspace.traces).toMatchObject([
    { id, response: body, isComplete: true, declaredTask: 'intent', status: 200 },
  ])
  const decision = await gateway.request(`/understudy/v1/decisions/${id}`)
  expect(await decision.json()).toEqual(workspace.traces[0])
})

test('a streamed answer of a specialist folds to the plain one', async () => {
  const { gateway, workspace } = testGateway({ lead }, [sure])
  const options = { stream: true, stream_options: { include_usage: true } }
  const response = await gateway.request(CHAT, chatInit(options, named))
  expect(response.headers.get('content-type')).toMatch(/^text\/event-stream/)
  const text = await response.text()
  expect(text.endsWith('data: [DONE]\n\n')).toBe(true)
  const events = text.split('\n\n').slice(0, -2)
  const chunks = events.map(event => JSON.parse(event.replace(/^data: /, '')))
  expect(chunks.map(chunk => chunk.choices[0]?.delta)).toEqual([
    { role: 'assistant', content: '', refusal: null },
    { content: 'card_lost' },
    {},
    undefined,
  ])
  expect(chunks.map(chunk => chunk.choices[0]?.finish_reason)).toEqual([
    null,
    null,
    'stop',
    undefined,
  ])
  expect(chunks.map(chunk => chunk.usage?.total_tokens)).toEqual([
    undefined,
    undefined,
    undefined,
    7,
  ])
  expect(workspace.traces[0]).toMatchObject({ isStream: true, isComplete: true })
})

test('below the threshold the lead answers, and the record keeps what the specialist said', async () => {
  const { gateway, workspace } = testGateway({ lead }, [unsure])
  const response = await gateway.request(CHAT, chatInit({}, named))
  expect(response.headers.get('x-understudy-served-by')).toBe('lead')
  expect(response.headers.get('x-understudy-confidence')).toBe('0.3100')
  expect(response.headers.has('x-understudy-certificate')).toBe(false)
  expect(workspace.traces[0]?.decision).toMatchObject({
    servedBy: 'lead',
    reason: 'confidence-low',
    specialistAnswer: 'card_lost',
    tiers: [{ score: 0.31, threshold: 0.5 }],
  })
})

test('mode specialist never calls the lead: a guess without promise, or 409', async () => {
  const { gateway } = testGateway({ lead }, [unsure])
  const before = stub.seen.length
  const mode = { 'x-understudy-mode': 'specialist' }
  const guess = await gateway.request(CHAT, chatInit({}, { ...named, ...mode }))
  expect(await guess.json()).toHaveProperty('choices.0.message.content', 'card_lost')
  expect(guess.headers.get('x-understudy-confidence')).toBe('0.3100')
  expect(guess.headers.has('x-understudy-certificate')).toBe(false)
  const none = await gateway.request(CHAT, chatInit({}, mode))
  expect(none.status).toBe(409)
  expect(await none.json()).toHaveProperty('error.code', 'specialist_not_found')
  const several = await gateway.request(CHAT, chatInit({ n: 2 }, { ...named, ...mode }))
  expect(several.status).toBe(409)
  expect(stub.seen.length).toBe(before)
})

test('mode lead goes past a specialist, and other modes are refused', async () => {
  const { gateway, workspace } = testGateway({ lead }, [sure])
  const asked = await gateway.request(CHAT, chatInit({}, { ...named, 'x-understudy-mode': 'lead' }))
  expect(asked.headers.get('x-understudy-served-by')).toBe('lead')
  expect(workspace.traces[0]?.decision).toMatchObject({ reason: 'lead-asked', mode: 'lead' })
  const odd = await gateway.request(CHAT, chatInit({}, { 'x-understudy-mode': 'turbo' }))
  expect(odd.status).toBe(400)
  expect(await odd.json()).toHaveProperty('error.param', 'x-understudy-mode')
})

test.each([
  [{ n: 2 }, 'several-choices-asked', 'n'],
  [{ logprobs: true }, 'logprobs-asked', 'logprobs'],
  [{ frobnicate: 1 }, 'unknown-parameter', 'frobnicate'],
  [{ tools: [{ type: 'function', function: { name: 'f' } }] }, 'unforced-tools', 'tool_choice'],
  [{ max_tokens: 1, stop: 'card' }, 'limit-broken', 'stop'],
] as const)('%j goes to the lead with the reason %s', async (body, reason, detail) => {
  const { gateway, workspace } = testGateway({ lead }, [sure])
  const response = await gateway.request(CHAT, chatInit({ ...body }, named))
  expect(response.headers.get('x-understudy-served-by')).toBe('lead')
  expect(workspace.traces[0]?.decision).toMatchObject({ reason, reasonDetail: detail })
})

test('a specialist that fails falls back to the lead', async () => {
  const broken = scriptedTask({ name: 'intent', label: '', score: 0, failure: new Error('boom') })
  const { gateway, workspace } = testGateway({ lead }, [broken])
  const response = await gateway.request(CHAT, chatInit({}, named))
  expect(response.headers.get('x-understudy-served-by')).toBe('lead')
  expect(workspace.traces[0]?.decision?.reason).toBe('specialist-failed')
})

test('a label takes the coat that is asked for: JSON field, or forced tool', async () => {
  const { gateway } = testGateway({ lead }, [sure])
  const schema = JSON.parse(LABEL) as object
  const forced = {
    tools: [{ type: 'function', function: { name: 'classify', parameters: schema } }],
    tool_choice: { type: 'function', function: { name: 'classify' } },
  }
  const response = await gateway.request(CHAT, chatInit(forced, named))
  const { choices } = (await response.json()) as { choices: Record<string, unknown>[] }
  expect(choices).toMatchObject([
    {
      finish_reason: 'stop',
      message: {
        content: null,
        tool_calls: [
          { type: 'function', function: { name: 'classify', arguments: '{"label":"card_lost"}' } },
        ],
      },
    },
  ])
})

test('a full disk costs the record and its id, never the answer', async () => {
  const parts = testGateway({ lead }, [sure])
  parts.workspace.isFull = true
  const response = await parts.gateway.request(CHAT, chatInit({}, named))
  expect(response.status).toBe(200)
  expect(response.headers.get('x-understudy-served-by')).toBe('reflex')
  expect(response.headers.has('x-understudy-decision')).toBe(false)
})

test('without a lead, specialists answer, and the rest is told the three choices', async () => {
  const { gateway, workspace } = testGateway({ lead: null }, [sure])
  expect((await gateway.request(CHAT, chatInit({}, named))).status).toBe(200)
  const rest = await gateway.request(CHAT, chatInit())
  expect(rest.status).toBe(503)
  const { error } = (await rest.json()) as { error: { code: string; message: string } }
  expect(error.code).toBe('no_lead')
  for (const choice of ['--lead URL', 'replay:FILE', 'local:MODEL']) {
    expect(error.message).toContain(choice)
  }
  expect(workspace.traces).toHaveLength(1)
  expect((await gateway.request('/v1/files', { method: 'POST', body: '{}' })).status).toBe(503)
  expect(await (await gateway.request('/v1/models')).json()).toEqual({
    object: 'list',
    data: [{ id: 'gpt-4o-mini-2024-07-18', object: 'model', created: 0, owned_by: 'understudy' }],
  })
})

test('a task with a name outside ASCII survives the headers', async () => {
  const umlaut = scriptedTask({ name: 'Anfragen · é', label: 'x', score: 1 })
  const { gateway } = testGateway({ lead }, [umlaut])
  const response = await gateway.request(
    CHAT,
    chatInit({}, { 'x-understudy-task': encodeURIComponent('Anfragen · é') }),
  )
  expect(response.headers.get('x-understudy-served-by')).toBe('reflex')
  expect(decodeURIComponent(response.headers.get('x-understudy-task') ?? '')).toBe('Anfragen · é')
})
