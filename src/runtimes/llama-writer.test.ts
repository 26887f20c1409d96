import { describe, expect, it } from 'vitest'
import type { LocalGeneration } from '../wire/index.ts'
import type { EvaluateOptions, LlamaModel, LlamaModule, LlamaText } from './llama-binding.ts'
import type { GenerationEvent } from './llama-engine.ts'
import { createLlamaWriter, type LlamaParts, PROMPT_STEP, sharedSteps } from './llama-writer.ts'

const EOT = 1000

/**
 * A model whose tokens are bytes and whose answers are scripted. The prompt's tokens are the bytes of its texts.
 * Byte 0xff stands for the special token that ends a turn.
 */
function scriptedParts(answers: readonly (string | readonly number[])[], contextSize = 4096) {
  const calls: { readonly step: number; readonly from: number }[] = []
  const optionsSeen: EvaluateOptions[] = []
  const schemas: object[] = []
  let next = 0
  let written = 0
  const text = (values: readonly unknown[]): LlamaText => ({
    values,
    tokenize: () =>
      values.flatMap(value => (typeof value === 'string' ? [...Buffer.from(value)] : [EOT])),
  })
  const sequence = {
    nextTokenIndex: 0,
    async clearHistory() {
      sequence.nextTokenIndex = 0
    },
    async eraseContextTokenRanges([range]: { start: number; end: number }[]) {
      sequence.nextTokenIndex = range?.start ?? 0
    },
    async evaluateWithoutGeneratingNewTokens(tokens: number[]) {
      calls.push({ step: tokens.length, from: sequence.nextTokenIndex })
      sequence.nextTokenIndex += tokens.length
    },
    async *evaluate(tokens: number[], options: EvaluateOptions) {
      calls.push({ step: tokens.length, from: sequence.nextTokenIndex })
      sequence.nextTokenIndex += tokens.length
      optionsSeen.push(options)
      const answer = answers[next++ % answers.length] as string | readonly number[]
      for (const token of typeof answer === 'string' ? Buffer.from(answer) : answer) {
        sequence.nextTokenIndex++
        written++
        yield token
      }
    },
  }
  const model = {
    tokenizer: {},
    trainContextSize: 8192,
    fileInfo: { metadata: {} },
    detokenize: (tokens: readonly number[]) =>
      Buffer.from(tokens.filter(token => token !== EOT)).toString('utf8'),
    isSpecialToken: (token: number) => token === EOT,
    createContext: async () => context,
  } satisfies LlamaModel
  const context = { contextSize, getSequence: () => sequence }
  const llama = {
    cpuMathCores: 2,
    loadModel: async () => model,
    async createGrammarForJsonSchema(schema: object) {
      if ('bad' in schema) throw new Error('unknown')
      schemas.push(schema)
      return { grammar: 'root' }
    },
  }
  const wrapper = {
    generateContextState: ({ chatHistory }: { chatHistory: readonly object[] }) => ({
      contextText: text(chatHistory.map(item => Object.values(item).slice(1).join(''))),
      stopGenerationTriggers: [text([{}]), text(['###'])],
    }),
  }
  const module = {
    getLlama: async () => llama,
    resolveChatWrapper: () => wrapper,
    JinjaTemplateChatWrapper: class {
      constructor() {
        throw new Error('no template')
      }
    } as unknown as LlamaModule['JinjaTemplateChatWrapper'],
    LlamaGrammar: { getFor: async () => ({ grammar: 'json' }) },
    LlamaGrammarEvaluationState: class {},
    InsufficientMemoryError: class extends Error {},
  } satisfies LlamaModule
  const parts: LlamaParts = { module, llama, model, context }
  return { parts, calls, optionsSeen, schemas, writtenCount: () => written }
}

const ask = (text: string, extra: Partial<LocalGeneration> = {}): LocalGeneration => ({
  messages: [{ role: 'user', text }],
  temperature: null,
  topP: null,
  seed: null,
  maxTokens: null,
  stops: [],
  presencePenalty: 0,
  frequencyPenalty: 0,
  form: { kind: 'text' },
  ...extra,
})

async function write(
  parts: LlamaParts,
  request: LocalGeneration,
  writer = createLlamaWriter(parts),
  signal = new AbortController().signal,
) {
  const events: GenerationEvent[] = []
  await writer.write(request, event => events.push(event), signal)
  const text = events.map(event => (event.kind === 'text' ? event.text : '')).join('')
  return { events, text, last: events.at(-1) }
}

describe('createLlamaWriter', () => {
  it('writes until the model ends, and counts', async () => {
    const { parts } = scriptedParts(['Hello'])
    const { events, text } = await write(parts, ask('Hi'))
    expect(events[0]).toEqual({ kind: 'begin', promptTokens: 2 })
    expect(text).toBe('Hello')
    expect(events.at(-1)).toEqual({ kind: 'end', finish: 'stop', completionTokens: 5 })
  })

  it('ends with length at the limit of tokens, or where the context is full', async () => {
    const { parts } = scriptedParts(['Hello'], 6)
    expect((await write(parts, ask('Hi', { maxTokens: 3 }))).last).toMatchObject({
      finish: 'length',
      completionTokens: 3,
    })
    expect((await write(parts, ask('Hi'))).last).toMatchObject({
      finish: 'length',
      completionTokens: 4,
    })
  })

  it('says that a prompt is too long instead of forgetting its beginning', async () => {
    const { parts, calls } = scriptedParts(['Hello'], 6)
    expect((await write(parts, ask('123456'))).events).toEqual([
      { kind: 'too-long', promptTokens: 6, contextSize: 6 },
    ])
    expect(calls).toEqual([])
  })

  it('stops at a stop text, at the end-of-turn token and at the template’s own stop', async () => {
    const { parts } = scriptedParts(['one two', [111, 107, EOT, 33], 'ok### more'])
    const writer = createLlamaWriter(parts)
    expect((await write(parts, ask('a', { stops: [' tw'] }), writer)).text).toBe('one')
    expect((await write(parts, ask('a'), writer)).text).toBe('ok')
    expect(await write(parts, ask('a'), writer)).toMatchObject({
      text: 'ok',
      last: { finish: 'stop' },
    })
  })

  it('sends only whole characters, and still ends when a character never gets whole', async () => {
    const { parts } = scriptedParts(['é€😀', [...Buffer.from('a😀').subarray(0, 3)]])
    const writer = createLlamaWriter(parts)
    const { events } = await write(parts, ask('a'), writer)
    expect(events.flatMap(event => (event.kind === 'text' ? [event.text] : []))).toEqual([
      'é',
      '€',
      '😀',
    ])
    expect((await write(parts, ask('a'), writer)).text).toBe('a\uFFFD')
  })

  it('reads the prompt in steps, and reuses whole steps of the prompt before', async () => {
    const { parts, calls } = scriptedParts(['x'])
    const writer = createLlamaWriter(parts)
    const shared = 'a'.repeat(2 * PROMPT_STEP)
    await write(parts, ask(`${shared}first`), writer)
    expect(calls).toEqual([
      { step: PROMPT_STEP, from: 0 },
      { step: PROMPT_STEP, from: PROMPT_STEP },
      { step: 5, from: 2 * PROMPT_STEP },
    ])
    calls.length = 0
    await write(parts, ask(`${shared}other one`), writer)
    expect(calls).toEqual([{ step: 9, from: 2 * PROMPT_STEP }])
    calls.length = 0
    await write(parts, ask('else'), writer)
    expect(calls).toEqual([{ step: 4, from: 0 }])
  })

  it('notices an abort between steps and between tokens, and trusts nothing read before', async () => {
    const { parts, calls, writtenCount } = scriptedParts(['a long answer'])
    const writer = createLlamaWriter(parts)
    const long = 'a'.repeat(3 * PROMPT_STEP)
    await expect(write(parts, ask(long), writer, AbortSignal.abort())).rejects.toMatchObject({
      code: 'cancelled',
    })
    expect(calls).toEqual([])

    const controller = new AbortController()
    const onEvent = (event: GenerationEvent): void => {
      if (event.kind === 'text') controller.abort()
    }
    await expect(writer.write(ask(long), onEvent, controller.signal)).rejects.toMatchObject({
      code: 'cancelled',
    })
    expect(writtenCount()).toBe(2)
    calls.length = 0
    await write(parts, ask(long), writer)
    expect(calls[0]).toEqual({ step: PROMPT_STEP, from: 0 })
  })

  it('holds the answer to a grammar and cuts it after the value', async () => {
    const { parts, optionsSeen, schemas } = scriptedParts(['{"a": 1}\n\n\n\n'])
    const schema = { type: 'integer' }
    expect((await write(parts, ask('a', { form: { kind: 'json', schema } }))).text).toBe('{"a": 1}')
    expect(schemas).toEqual([schema])
    expect(optionsSeen[0]?.grammarEvaluationState).toBeDefined()
    expect((await write(parts, ask('a', { form: { kind: 'json', schema: null } }))).text).toBe(
      '{"a": 1}',
    )
    await expect(
      write(parts, ask('a', { form: { kind: 'json', schema: { bad: 1 } } })),
    ).rejects.toMatchObject({ code: 'request-invalid' })
  })

  it('passes sampling on, and penalties over what was written', async () => {
    const { parts, optionsSeen } = scriptedParts(['abc'])
    const sampling = { temperature: 0, topP: 0.5, seed: 7, frequencyPenalty: 1 }
    await write(parts, ask('a', sampling))
    await write(parts, ask('a'))
    expect(optionsSeen[0]).toMatchObject({ temperature: 0, topP: 0.5, seed: 7 })
    expect(optionsSeen[0]?.repeatPenalty).toMatchObject({ penalty: 1, frequencyPenalty: 1 })
    expect(optionsSeen[0]?.repeatPenalty?.punishTokens()).toEqual([...Buffer.from('abc')])
    expect(optionsSeen[1]).not.toHaveProperty('seed')
    expect(optionsSeen[1]).not.toHaveProperty('repeatPenalty')
  })
})

describe('sharedSteps', () => {
  it('counts whole steps and leaves at least one token to read', () => {
    const tokens = Array.from({ length: 2 * PROMPT_STEP }, (_, at) => at)
    expect(sharedSteps(tokens, tokens)).toBe(PROMPT_STEP)
    expect(sharedSteps(tokens, [...tokens, 7])).toBe(2 * PROMPT_STEP)
    expect(sharedSteps(tokens, [9, ...tokens])).toBe(0)
    expect(sharedSteps([], tokens)).toBe(0)
  })
})
