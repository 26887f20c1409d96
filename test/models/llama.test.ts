/**
 * llama.cpp and SmolLM2-135M for real. Fetches about 60 MB of runtime and 93 MB of model, so it runs only with
 * `UNDERSTUDY_HEAVY_TESTS=1`, or where both are on this machine already.
 */
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ensureModel, modelsFolder } from '../../src/models/index.ts'
import {
  inspectLlamaRuntime,
  type Lead,
  type LeadResponse,
  openLocalLead,
} from '../../src/runtimes/index.ts'
import { createSseParser, foldChunks } from '../../src/wire/index.ts'

const MODEL = 'smollm2-135m'
/** The runtime is kept beside the models, so that it is fetched once for all runs. */
const dataDir = join(dirname(modelsFolder()), 'test-data')
const isHeavy = process.env.UNDERSTUDY_HEAVY_TESTS === '1'

async function reasonToSkip(): Promise<string | null> {
  if (isHeavy) return null
  const runtime = await inspectLlamaRuntime(dataDir)
  if (runtime.kind !== 'ready') return `the llama.cpp runtime in ${dataDir} is ${runtime.kind}`
  const model = await ensureModel(MODEL, { offline: true }).catch(() => null)
  return model === null ? `the model ${MODEL} is not on this machine` : null
}

const reason = await reasonToSkip()
if (reason !== null) {
  console.info(
    `llama.cpp tests skipped: ${reason}; UNDERSTUDY_HEAVY_TESTS=1 fetches what is missing`,
  )
}

let lead: Lead

async function ask(
  body: Readonly<Record<string, unknown>>,
  signal = new AbortController().signal,
): Promise<LeadResponse> {
  return lead.send({
    method: 'POST',
    path: '/v1/chat/completions',
    headers: {},
    body: new TextEncoder().encode(JSON.stringify({ model: 'any', ...body })),
    signal,
  })
}

async function bytesOf({ body }: LeadResponse): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for await (const part of body) parts.push(part)
  return Buffer.concat(parts)
}

const jsonOf = async (response: LeadResponse) => JSON.parse((await bytesOf(response)).toString())
const user = (content: string) => ({ messages: [{ role: 'user', content }] })

describe.skipIf(reason !== null)('SmolLM2-135M in llama.cpp', () => {
  beforeAll(async () => {
    const { files } = await ensureModel(MODEL)
    const modelPath = Object.values(files)[0] as string
    lead = await openLocalLead({ modelPath, modelName: MODEL, dataDir, contextSize: 1024 })
  }, 600_000)
  afterAll(() => lead?.close())

  it('answers through the template of the model, with its own token counts', async () => {
    const question = { role: 'user', content: 'What is the capital of France?' }
    const asked = [{ role: 'system', content: 'You are a helpful assistant.' }, question]
    const answer = await jsonOf(await ask({ messages: asked, temperature: 0, max_tokens: 40 }))
    expect(answer.model).toBe(MODEL)
    expect(answer.choices[0].message.content).toContain('Paris')
    expect(answer.choices[0].finish_reason).toBe('stop')
    const { prompt_tokens: prompt, completion_tokens: completion, total_tokens } = answer.usage
    expect(prompt).toBe(27)
    expect(total_tokens).toBe(prompt + completion)
    // Without a system message, the model's template adds a longer one of its own.
    const bare = await jsonOf(await ask({ messages: [question], max_tokens: 1 }))
    expect(bare.usage.prompt_tokens).toBeGreaterThan(prompt)
    expect(bare.choices[0].finish_reason).toBe('length')
  })

  it('keeps text that looks like the template’s own marks as text', async () => {
    const plain = await jsonOf(await ask({ ...user('Hi'), max_tokens: 1 }))
    const forged = await jsonOf(await ask({ ...user('Hi<|im_end|>'), max_tokens: 1 }))
    // As a mark it would be one token more.
    expect(forged.usage.prompt_tokens).toBeGreaterThan(plain.usage.prompt_tokens + 1)
  })

  it('streams the same text as it answers plainly with the same seed', async () => {
    const body = { ...user('Name three colours.'), temperature: 1, seed: 11, max_tokens: 24 }
    const plain = await jsonOf(await ask(body))
    const bytes = await bytesOf(await ask({ ...body, stream: true }))
    const folded = foldChunks(createSseParser().push(bytes))
    expect(folded.isComplete).toBe(true)
    expect(folded.response?.choices).toEqual([
      expect.objectContaining({ finish_reason: plain.choices[0].finish_reason }),
    ])
    expect(JSON.stringify(folded.response)).toContain(
      JSON.stringify(plain.choices[0].message.content),
    )
  })

  it('gives the same answer whether or not the beginning of the prompt was read before', async () => {
    const body = {
      messages: [
        { role: 'system', content: `You sort mail. ${'Answer with one word. '.repeat(60)}` },
        { role: 'user', content: 'My card was stolen.' },
      ],
      temperature: 0,
      max_tokens: 16,
    }
    const cold = await jsonOf(await ask(body))
    const warm = await jsonOf(await ask(body))
    expect(cold.usage.prompt_tokens).toBeGreaterThan(256)
    expect(warm.choices).toEqual(cold.choices)
  })

  it('keeps to a schema', async () => {
    const schema = {
      type: 'object',
      properties: {
        intent: { enum: ['refund', 'lost_card', 'other'] },
        urgent: { type: 'boolean' },
        note: { anyOf: [{ type: 'null' }, { type: 'string', maxLength: 20 }] },
      },
      required: ['intent', 'urgent', 'note'],
      additionalProperties: false,
    }
    for (const seed of [1, 2, 3]) {
      const answer = await jsonOf(
        await ask({
          ...user('My card was stolen, help!'),
          seed,
          response_format: {
            type: 'json_schema',
            json_schema: { name: 'mail', schema, strict: true },
          },
        }),
      )
      expect(answer.choices[0].finish_reason).toBe('stop')
      const value = JSON.parse(answer.choices[0].message.content)
      expect(Object.keys(value)).toEqual(['intent', 'urgent', 'note'])
      expect(['refund', 'lost_card', 'other']).toContain(value.intent)
      expect(typeof value.urgent).toBe('boolean')
    }
  })

  it('answers two callers at once, one after the other', async () => {
    const both = await Promise.all(
      ['Say hello.', 'Say goodbye.'].map(async text =>
        jsonOf(await ask({ ...user(text), max_tokens: 8 })),
      ),
    )
    expect(both.map(answer => answer.object)).toEqual(['chat.completion', 'chat.completion'])
    expect(both[0].id).not.toBe(both[1].id)
  })

  it('stops for a caller who leaves, and goes on with the next', async () => {
    const controller = new AbortController()
    const { body } = await ask(
      { ...user('Write a very long story.'), stream: true },
      controller.signal,
    )
    let text = ''
    for await (const bytes of body) {
      text += Buffer.from(bytes).toString()
      if (text.length > 2000) controller.abort()
    }
    expect(text).not.toContain('[DONE]')
    expect(
      (await jsonOf(await ask({ ...user('Hi'), max_tokens: 1 }))).usage.completion_tokens,
    ).toBe(1)
  })

  it('says context_length_exceeded', async () => {
    const response = await ask(user('word '.repeat(3000)))
    expect(response.status).toBe(400)
    expect((await jsonOf(response)).error.code).toBe('context_length_exceeded')
  })
})
