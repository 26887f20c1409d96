/** The official clients, through the gateway and directly: they must understand the same. */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import OpenAI, { APIError } from 'openai'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Listening } from '../../src/gateway/index.ts'
import { type Lead, openRemoteLead } from '../../src/runtimes/index.ts'
import { scriptedTask, testGateway } from '../gateway/scripted.ts'
import { openStubLead, type StubLead } from '../gateway/stub-lead.ts'

const run = promisify(execFile)
const root = join(import.meta.dirname, '..', '..')
const venv = join(root, '.cache', 'clients')
const python = join(venv, 'bin', 'python')

const CALLS = ['plain', 'stream', 'streamUsage', 'tool', 'toolStream', 'error', 'models'] as const
type Call = (typeof CALLS)[number] | 'unfinished' | 'badRequest'

/** Runs calls with one client and tells what it understood of each. */
type Client = (
  baseUrl: string,
  calls: readonly Call[],
  headers?: Readonly<Record<string, string>>,
) => Promise<Record<string, unknown>>

let stub: StubLead
let lead: Lead
let listening: Listening

beforeAll(async () => {
  stub = await openStubLead()
  lead = openRemoteLead({ url: stub.url })
  const live = [scriptedTask({ name: 'intent', label: 'card_lost', score: 0.99 })]
  listening = await testGateway({ lead }, live).gateway.listen({ port: 0 })
})
afterAll(async () => {
  await listening.close()
  await lead.close()
  await stub.close()
})

const messages = [
  { role: 'system' as const, content: 'Name the intent.' },
  { role: 'user' as const, content: 'I lost my card' },
]
const parameters = {
  type: 'object',
  properties: { label: { enum: ['card_lost', 'refund'] } },
  required: ['label'],
}
const tools = {
  tools: [{ type: 'function' as const, function: { name: 'classify', parameters } }],
  tool_choice: { type: 'function' as const, function: { name: 'classify' } },
}

const npmClient: Client = async (baseURL, calls, headers = {}) => {
  const client = new OpenAI({
    baseURL,
    apiKey: 'sk-caller',
    maxRetries: 0,
    defaultHeaders: headers,
  })
  const plain = (more: object = {}) =>
    client.chat.completions.create({ model: 'gpt-4o-mini', messages, ...more })
  const stream = async (more: object = {}) => {
    const chunks = []
    const body = { model: 'gpt-4o-mini', messages, ...more, stream: true as const }
    for await (const chunk of await client.chat.completions.create(body)) chunks.push(chunk)
    return chunks
  }
  const failure = async (call: () => Promise<unknown>) => {
    try {
      return { unexpected: await call() }
    } catch (error) {
      if (!(error instanceof APIError)) throw error
      const { status, code, type, param, message } = error
      return { class: error.constructor.name, status, code, type, param, message }
    }
  }
  const table: Record<Call, () => Promise<unknown>> = {
    plain,
    stream,
    streamUsage: () => stream({ stream_options: { include_usage: true } }),
    tool: () => plain(tools),
    toolStream: () => stream(tools),
    error: () => failure(() => plain({ model: 'error-429' })),
    badRequest: () => failure(() => plain({ messages: 'x' })),
    unfinished: () => failure(() => stream({ model: 'unfinished' })),
    models: async () => (await client.models.list()).data,
  }
  const understood: Record<string, unknown> = {}
  for (const call of calls) {
    understood[call] = JSON.parse(JSON.stringify(await table[call]()))
  }
  return understood
}

const pythonClient: Client = async (baseUrl, calls, headers = {}) => {
  const script = join(import.meta.dirname, 'client.py')
  const args = [script, baseUrl, JSON.stringify(headers), calls.join(',')]
  const { stdout } = await run(python, args, { maxBuffer: 2 ** 24 })
  return JSON.parse(stdout) as Record<string, unknown>
}

/** Makes the virtual environment where it is missing; says why it cannot. */
async function pythonProblem(): Promise<string | null> {
  if (existsSync(join(venv, 'ready'))) return null
  const requirements = join(import.meta.dirname, 'requirements.txt')
  try {
    await rm(venv, { recursive: true, force: true })
    await run('python3', ['-m', 'venv', venv], { timeout: 60_000 })
    await run(python, ['-m', 'pip', 'install', '--quiet', '-r', requirements], { timeout: 240_000 })
    await mkdir(join(venv, 'ready'))
    return null
  } catch (error) {
    await rm(venv, { recursive: true, force: true })
    return error instanceof Error ? (error.message.split('\n')[0] as string) : String(error)
  }
}

const problem = await pythonProblem()
if (problem !== null) console.warn(`Skipped: the Python client cannot be installed (${problem}).`)

describe.each([
  ['npm', npmClient, true],
  ['PyPI', pythonClient, problem === null],
] as const)('the official client from %s', (_name, client, isThere) => {
  test.skipIf(!isThere)('understands the gateway as it understands the lead', async () => {
    const direct = await client(stub.url, CALLS)
    expect(Object.keys(direct)).toEqual([...CALLS])
    expect(direct.plain).toHaveProperty('choices.0.message.content', 'Grüße, 世界 🌍.')
    expect(await client(`${listening.address}/v1`, CALLS)).toEqual(direct)
  })

  test.skipIf(!isThere)('understands a specialist field by field as it does the lead', async () => {
    const calls = ['plain', 'stream', 'streamUsage', 'tool', 'toolStream'] as const
    const direct = await client(stub.url, calls)
    const here = await client(`${listening.address}/v1`, calls, {
      'x-understudy-task': 'intent',
      'x-understudy-mode': 'specialist',
    })
    for (const call of ['plain', 'tool'] as const) {
      expect(shapeOf(here[call])).toEqual(shapeOf(direct[call]))
    }
    expect(here.plain).toHaveProperty('choices.0.message.content', 'card_lost')
    expect(contentOf(here.stream)).toBe('card_lost')
    expect(argumentsOf(here.toolStream)).toBe('{"label":"card_lost"}')
    expect(finishOf(here.toolStream)).toBe(finishOf(direct.toolStream))
    expect(lastOf(here.streamUsage)).toMatchObject({ choices: [], usage: { total_tokens: 7 } })
    for (const call of ['stream', 'toolStream'] as const) {
      expect(shapeOf(lastOf(here[call]))).toEqual(shapeOf(lastOf(direct[call])))
    }
  })

  test.skipIf(!isThere)(
    'raises an API error where a stream breaks off or a body is wrong',
    async () => {
      const { unfinished, badRequest } = await client(`${listening.address}/v1`, [
        'unfinished',
        'badRequest',
      ])
      expect(unfinished).toMatchObject({
        class: 'APIError',
        code: 'upstream_unavailable',
        message: expect.stringContaining('cannot be reached'),
      })
      expect(badRequest).toMatchObject({ class: 'BadRequestError', status: 400 })
      expect(JSON.stringify(badRequest)).toContain('"messages"')
    },
  )
})

interface Chunk {
  readonly choices: readonly {
    readonly finish_reason: string | null
    readonly delta: {
      readonly content?: string | null
      readonly tool_calls?: readonly { readonly function: { readonly arguments: string } }[] | null
    }
  }[]
}

const lastOf = (chunks: unknown): unknown => (chunks as unknown[]).at(-1)
const choicesOf = (chunks: unknown) => (chunks as Chunk[]).flatMap(chunk => chunk.choices)
const contentOf = (chunks: unknown): string =>
  choicesOf(chunks)
    .map(({ delta }) => delta.content ?? '')
    .join('')
const argumentsOf = (chunks: unknown): string =>
  choicesOf(chunks)
    .flatMap(({ delta }) => delta.tool_calls ?? [])
    .map(call => call.function.arguments)
    .join('')
const finishOf = (chunks: unknown): unknown => choicesOf(chunks).at(-1)?.finish_reason

/** The fields of a value with the types of their values; texts that differ are alike. */
function shapeOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(shapeOf)
  if (typeof value !== 'object' || value === null) return value === null ? 'null' : typeof value
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, shapeOf(item)]))
}
