import { expect, test } from 'vitest'
import type { DeclaredTask } from '../config/index.ts'
import { UnderstudyError } from '../errors.ts'
import type { SpecialistAnswer } from '../models/index.ts'
import { candidateTasks } from '../tasks/index.ts'
import { fixedClock } from '../util/index.ts'
import { type ChatRequest, parseChatRequest } from '../wire/index.ts'
import { createCascade, type LiveTask } from './cascade.ts'

const never = new AbortController().signal

function request(extra: Record<string, unknown> = {}): ChatRequest {
  return parseChatRequest({
    model: 'lead-large',
    messages: [
      { role: 'system', content: 'Classify the message.' },
      { role: 'user', content: 'Where is my card?' },
    ],
    ...extra,
  })
}

function liveTask(answer: () => Promise<SpecialistAnswer<unknown>>, id: string): LiveTask {
  return {
    id,
    name: 'intent',
    specialist: {
      hash: 'hash',
      tier: 'reflex',
      answer,
      answerBatch: () => Promise.reject(new Error('not asked here')),
      close: () => Promise.resolve(),
    },
    render: output => ({ kind: 'text', text: String(output) }),
    outputKey: String,
    certificate: 'cert_1',
    threshold: 0.8,
    certifiedLeads: ['lead-large-2026'],
    usage: { promptBase: 10, promptPerCharacter: 0, completionByOutput: {}, completionDefault: 2 },
    reportedModel: 'lead-large-2026',
  }
}

function cascadeWith(
  answer: () => Promise<SpecialistAnswer<unknown>>,
  { app = null, bindings = [] }: { app?: string | null; bindings?: DeclaredTask[] } = {},
) {
  const cascade = createCascade({ configHash: 'config', bindings, clock: fixedClock() })
  const id = candidateTasks(request(), { app, declared: null }, bindings)[0]?.id ?? ''
  cascade.setLive([liveTask(answer, id)])
  return cascade
}

const sure = () => Promise.resolve({ output: 'card_arrival', score: 0.91, evidence: {} })
const unsure = () => Promise.resolve({ output: 'card_arrival', score: 0.42, evidence: {} })
const auto = { app: null, declaredTask: null, mode: 'auto' } as const

test('serves what reaches the threshold, with everything the decision rested on', async () => {
  const verdict = await cascadeWith(sure).route(request(), auto, never)
  expect(verdict).toMatchObject({
    serve: true,
    answer: { kind: 'text', text: 'card_arrival' },
    usage: { promptTokens: 10, completionTokens: 2 },
    certificate: 'cert_1',
    decision: {
      servedBy: 'reflex',
      reason: 'confidence-sufficient',
      certificate: 'cert_1',
      leadProbability: 0,
      tiers: [{ score: 0.91, threshold: 0.8 }],
    },
  })
})

test('escalates below the threshold, and keeps what the specialist would have said', async () => {
  const verdict = await cascadeWith(unsure).route(request(), auto, never)
  expect(verdict).toMatchObject({
    serve: false,
    decision: {
      servedBy: 'lead',
      reason: 'confidence-low',
      certificate: 'cert_1',
      specialistAnswer: 'card_arrival',
    },
  })
})

test('asked for the specialist, it answers below the threshold but without a certificate', async () => {
  const verdict = await cascadeWith(unsure).route(request(), { ...auto, mode: 'specialist' }, never)
  expect(verdict).toMatchObject({
    serve: true,
    certificate: null,
    decision: { reason: 'specialist-asked' },
  })
})

test('asked for the lead, the specialist is not run at all', async () => {
  const cascade = cascadeWith(() => Promise.reject(new Error('must not run')))
  const verdict = await cascade.route(request(), { ...auto, mode: 'lead' }, never)
  expect(verdict).toMatchObject({ serve: false, decision: { reason: 'lead-asked', tiers: [] } })
})

test('a failing specialist escalates; a cancelled request is cancelled', async () => {
  const broken = cascadeWith(() => Promise.reject(new UnderstudyError('runtime-failed', 'gone')))
  expect(await broken.route(request(), auto, never)).toMatchObject({
    serve: false,
    decision: { reason: 'specialist-failed', reasonDetail: 'runtime-failed' },
  })
  const cancelled = cascadeWith(() => Promise.reject(new UnderstudyError('cancelled', 'left')))
  await expect(cancelled.route(request(), auto, never)).rejects.toMatchObject({ code: 'cancelled' })
})

test('an abstention escalates even at full score', async () => {
  const verdict = await cascadeWith(() =>
    Promise.resolve({ output: null, score: 1, evidence: {} }),
  ).route(request(), auto, never)
  expect(verdict.decision.reason).toBe('abstained')
})

test('what a specialist cannot give escalates with the reason', async () => {
  const verdict = await cascadeWith(sure).route(request({ n: 2 }), auto, never)
  expect(verdict.decision).toMatchObject({ servedBy: 'lead', reason: 'several-choices-asked' })
})

test('a task learned without app serves every app; one learned with an app serves only that app', async () => {
  const ofAny = cascadeWith(sure)
  expect((await ofAny.route(request(), { ...auto, app: 'web' }, never)).serve).toBe(true)
  const ofWeb = cascadeWith(sure, { app: 'web' })
  expect((await ofWeb.route(request(), { ...auto, app: 'web' }, never)).serve).toBe(true)
  expect((await ofWeb.route(request(), auto, never)).decision.reason).toBe('no-specialist')
})

test('a declared task serves only where a header or the configuration binds it', async () => {
  const bindings = [{ name: 'intent', match: { system: 'Classify the message.' } }]
  const bound = cascadeWith(sure, { bindings })
  const verdict = await bound.route(request(), auto, never)
  expect(verdict).toMatchObject({ serve: true, decision: { declaredTask: 'intent' } })
  const unbound = createCascade({ configHash: '', bindings: [], clock: fixedClock() })
  unbound.setLive(bound.live())
  expect((await unbound.route(request(), auto, never)).serve).toBe(false)
  expect((await unbound.route(request(), { ...auto, declaredTask: 'intent' }, never)).serve).toBe(
    true,
  )
})

test('another system prompt, model, or form is another task', async () => {
  const cascade = cascadeWith(sure)
  for (const extra of [{ model: 'other' }, { response_format: { type: 'json_object' } }]) {
    expect((await cascade.route(request(extra), auto, never)).decision.reason).toBe('no-specialist')
  }
})

test('an answer that has no place in the demanded shape escalates', async () => {
  const cascade = createCascade({ configHash: '', bindings: [], clock: fixedClock() })
  cascade.setLive([
    liveTask(sure, candidateTasks(request(), { app: null, declared: 'x' }, [])[0]?.id ?? ''),
  ])
  const asked = request({ response_format: { type: 'json_object' } })
  const verdict = await cascade.route(asked, { ...auto, declaredTask: 'x' }, never)
  expect(verdict.decision.reason).toBe('shape-mismatch')
})

test('a label longer than max_tokens, or holding a stop sequence, is left to the lead', async () => {
  for (const extra of [{ stop: '_' }, { stop: ['x', 'card'] }]) {
    const verdict = await cascadeWith(sure).route(request(extra), auto, never)
    expect(verdict.decision).toMatchObject({
      servedBy: 'lead',
      reason: 'limit-broken',
      reasonDetail: 'stop',
    })
  }
  expect((await cascadeWith(sure).route(request({ max_tokens: 5 }), auto, never)).serve).toBe(true)
})
