/** The whole product in one file: record, learn, certify, promote, serve, escalate, explain, verify. Reflex only, no network. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import OpenAI from 'openai'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openUnderstudy, type Understudy } from '../src/gateway/index.ts'
import type { LearnReport } from '../src/learn/index.ts'
import { verifyLedger } from '../src/ledger/index.ts'
import { createRng } from '../src/util/index.ts'

const SYSTEM = 'Which team handles this message? Answer with one word.'
const TEAMS = {
  cards: ['card', 'chip', 'contactless', 'replacement card', 'card number'],
  loans: ['loan', 'mortgage', 'interest rate', 'repayment', 'credit line'],
  fraud: ['stolen', 'scam', 'phishing', 'unknown charge', 'hacked account'],
} as const
type Team = keyof typeof TEAMS

/** Which rows certify is drawn anew in each run, and with it how much is left to the lead: here nothing speaks for any team. */
const UNCLEAR = 'something unclear, something unclear, something unclear'

let folder: string
let house: Understudy

/** Distinct messages whose team is plain from one word among fillers; in one of eight it is anybody's guess. */
function messages(count: number, seed: string): { text: string; team: Team }[] {
  const rng = createRng(seed)
  const filler =
    'please hello today again quickly thanks morning question urgent kindly maybe office'.split(' ')
  return Array.from({ length: count }, (_, i) => {
    const team = rng.pick(Object.keys(TEAMS) as Team[])
    const words = Array.from({ length: 7 }, () => rng.pick(filler))
    const isPlain = rng.int(8) > 0
    words.splice(rng.int(words.length), 0, isPlain ? rng.pick(TEAMS[team]) : 'something unclear')
    return { text: `${words.join(' ')} ${seed}${i * 7919}`, team }
  })
}

const body = (text: string) => ({
  model: 'lead-large',
  messages: [
    { role: 'system' as const, content: SYSTEM },
    { role: 'user' as const, content: text },
  ],
})

const completion = (content: string) => ({
  id: 'chatcmpl-1',
  object: 'chat.completion',
  created: 1,
  model: 'lead-large-2026-01-01',
  choices: [{ index: 0, message: { role: 'assistant', content }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 40, completion_tokens: 2, total_tokens: 42 },
})

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'understudy-tiny-'))
  const log = messages(900, 'day-one').map(({ text, team }, i) =>
    JSON.stringify({
      id: `line-${i}`,
      latency_ms: 3,
      request: body(text),
      response: completion(team),
    }),
  )
  const replayed = [UNCLEAR].map(text =>
    JSON.stringify({ latency_ms: 3, request: body(text), response: completion('loans') }),
  )
  await writeFile(join(folder, 'traffic.jsonl'), `${log.join('\n')}\n{"broken\n`)
  await writeFile(join(folder, 'lead.jsonl'), replayed.join('\n'))
  house = await openUnderstudy({
    dataDir: join(folder, 'data'),
    // An empty models folder and no network: the reflex alone.
    env: { UNDERSTUDY_OFFLINE: '1', UNDERSTUDY_MODELS: join(folder, 'models') },
    lead: `replay:${join(folder, 'lead.jsonl')}`,
  })
}, 30_000)

afterAll(async () => {
  await house?.close()
  await rm(folder, { recursive: true, force: true })
})

async function job(kind: string, params: object): Promise<unknown> {
  const started = await house.gateway.request('/understudy/v1/jobs', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ kind, params }),
  })
  const { id } = (await started.json()) as { id: string }
  // The stream of events ends with the job.
  await (await house.gateway.request(`/understudy/v1/jobs/${id}/events`)).text()
  const ended = (await (await house.gateway.request(`/understudy/v1/jobs/${id}`)).json()) as {
    state: string
    result: unknown
    error: unknown
  }
  if (ended.state !== 'done') expect.fail(JSON.stringify(ended.error))
  return ended.result
}

const client = () =>
  new OpenAI({
    apiKey: 'any',
    baseURL: 'http://127.0.0.1/v1',
    maxRetries: 0,
    fetch: (url, init) => Promise.resolve(house.gateway.request(String(url), init as RequestInit)),
  })

test('recorded traffic becomes a certified specialist that serves in the lead’s place', async () => {
  const report = (await job('learn', {
    files: [join(folder, 'traffic.jsonl')],
    promote: true,
    budgetMs: 5_000,
  })) as LearnReport
  expect(report.imported).toMatchObject({ importedCount: 900, brokenCount: 1 })
  expect(report.tasks).toHaveLength(1)
  const [task] = report.tasks
  expect(task).toMatchObject({
    goal: { claimed: true, targetRisk: 0.05 },
    specialist: { tier: 'reflex', state: 'live' },
    answers: [{}, {}, {}],
  })

  const { data, response } = await client()
    .chat.completions.create(body('my contactless card please hello'))
    .withResponse()
  expect(data).toMatchObject({
    object: 'chat.completion',
    model: 'lead-large-2026-01-01',
    choices: [{ message: { role: 'assistant', content: 'cards' }, finish_reason: 'stop' }],
  })
  expect(data.usage?.prompt_tokens).toBe(40)
  expect(response.headers.get('x-understudy-served-by')).toBe('reflex')
  expect(response.headers.get('x-understudy-certificate')).toBe(task?.certificateId)

  const id = response.headers.get('x-understudy-decision') ?? ''
  const decision = await (await house.gateway.request(`/understudy/v1/decisions/${id}`)).json()
  expect(JSON.stringify(decision)).toContain('confidence-sufficient')
}, 60_000)

test('what it is not sure of goes to the lead, bytes and all', async () => {
  const { data, response } = await client().chat.completions.create(body(UNCLEAR)).withResponse()
  expect(response.headers.get('x-understudy-served-by')).toBe('lead')
  expect(data).toEqual(completion('loans'))
})

test('learning again on the same basis looks at nothing; another target risk is another look', async () => {
  const files = [join(folder, 'traffic.jsonl')]
  const again = (await job('learn', { files, budgetMs: 5_000 })) as LearnReport
  expect(again.imported).toMatchObject({ importedCount: 0, knownCount: 900 })
  expect(again.tasks[0]).toMatchObject({ look: { number: 1 }, specialist: { state: 'live' } })
  const stricter = (await job('learn', { targetRisk: 0.1, budgetMs: 5_000 })) as LearnReport
  expect(stricter.tasks[0]?.look).toMatchObject({ number: 2 })
}, 60_000)

test('the ledger verifies, and the projection can be rebuilt from it', async () => {
  const before = await house.workspace.store.tasks()
  await house.workspace.rebuild()
  expect(await house.workspace.store.tasks()).toEqual(before)
  expect(await house.workspace.store.live()).toHaveLength(1)
  expect(await verifyLedger(join(folder, 'data', 'ledger'))).toMatchObject({ ok: true })
})
