/** One loaded model that writes answers: prompt in, tokens out. Runs only inside the llama.cpp process. */
import { UnderstudyError } from '../errors.ts'
import type { LocalGeneration } from '../wire/index.ts'
import type {
  ChatItem,
  ChatWrapper,
  EvaluateOptions,
  Llama,
  LlamaContext,
  LlamaGrammar,
  LlamaModel,
  LlamaModule,
  LlamaSequence,
  Token,
} from './llama-binding.ts'
import type { GenerationEvent } from './llama-engine.ts'
import { chainFilters, createJsonFilter, createStopFilter, type StopFilter } from './llama-stops.ts'

/**
 * Tokens per step while the prompt is read. An abort is noticed between steps, and a prompt that begins like the one
 * before is read from the last whole step they share. Since the steps of a prompt are always the same ones, what is
 * reused has the very bits that reading it again would give. Steps of 64 to 512 were equally fast (2026-11-23).
 */
export const PROMPT_STEP = 128

/** What llama.cpp's own server uses where the request does not say. */
const DEFAULTS = { temperature: 0.8, topP: 0.95, topK: 40 } as const

/** A piece of a character may take this many tokens before it is shown as broken. */
const MAX_PENDING_TOKENS = 8

export interface LlamaParts {
  readonly module: LlamaModule
  readonly llama: Llama
  readonly model: LlamaModel
  readonly context: LlamaContext
}

export interface LlamaWriter {
  /**
   * Writes one answer; one at a time.
   * @throws cancelled, request-invalid
   */
  write(
    request: LocalGeneration,
    onEvent: (event: GenerationEvent) => void,
    signal: AbortSignal,
  ): Promise<void>
}

/** Makes a writer of a loaded model. It owns the only sequence of the context. */
export function createLlamaWriter(parts: LlamaParts): LlamaWriter {
  const { model, context } = parts
  const wrapper = chatWrapperOf(parts)
  const sequence = context.getSequence()
  let read: readonly Token[] = []

  return {
    async write(request, onEvent, signal) {
      const state = wrapper.generateContextState({ chatHistory: chatHistory(request) })
      const prompt = state.contextText.tokenize(model.tokenizer)
      const promptTokens = prompt.length
      const { contextSize } = context
      if (promptTokens >= contextSize) {
        onEvent({ kind: 'too-long', promptTokens, contextSize })
        return
      }
      const options = await evaluateOptions(parts, request)
      onEvent({ kind: 'begin', promptTokens })
      const previous = read
      read = []
      await rewind(sequence, sharedSteps(previous, prompt))
      await readPrompt(sequence, prompt, signal)
      const stops = stopRules(model, state.stopGenerationTriggers)
      const limit = Math.min(request.maxTokens ?? Infinity, contextSize - promptTokens)
      const answer = createAnswer(model, outFilter(request, stops.texts), prompt, onEvent)
      const rest = prompt.slice(sequence.nextTokenIndex)
      const tokens = sequence.evaluate(rest, options(answer.tokens))
      await writeAnswer(tokens, { answer, limit, stopTokens: stops.tokens, signal })
      read = prompt
    },
  }
}

async function writeAnswer(
  tokens: AsyncGenerator<Token, void, undefined>,
  {
    answer,
    limit,
    stopTokens,
    signal,
  }: { answer: Answer; limit: number; stopTokens: ReadonlySet<Token>; signal: AbortSignal },
): Promise<void> {
  for await (const token of tokens) {
    throwIfAborted(signal)
    if (stopTokens.has(token)) break
    answer.add(token)
    if (answer.isStopped) break
    if (answer.count >= limit) return answer.end('length')
  }
  throwIfAborted(signal)
  answer.end('stop')
}

/** Tokens that two prompts share, in whole steps, leaving at least one token to read. */
export function sharedSteps(previous: readonly Token[], prompt: readonly Token[]): number {
  const most = Math.min(previous.length, prompt.length - 1)
  let same = 0
  while (same < most && previous[same] === prompt[same]) same++
  return same - (same % PROMPT_STEP)
}

async function rewind(sequence: LlamaSequence, kept: number): Promise<void> {
  if (kept === 0) return sequence.clearHistory()
  await sequence.eraseContextTokenRanges([{ start: kept, end: sequence.nextTokenIndex }])
}

/** Reads all steps but the last, which is read when the first token of the answer is chosen. */
async function readPrompt(
  sequence: LlamaSequence,
  prompt: readonly Token[],
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    throwIfAborted(signal)
    const at = sequence.nextTokenIndex
    if (prompt.length - at <= PROMPT_STEP) return
    await sequence.evaluateWithoutGeneratingNewTokens(prompt.slice(at, at + PROMPT_STEP))
  }
}

interface Answer {
  add(token: Token): void
  end(finish: 'stop' | 'length'): void
  tokens(): Token[]
  readonly count: number
  readonly isStopped: boolean
}

/** Collects tokens, sends out text as soon as whole characters are there. */
function createAnswer(
  model: LlamaModel,
  filter: StopFilter,
  prompt: readonly Token[],
  onEvent: (event: GenerationEvent) => void,
): Answer {
  const written: Token[] = []
  let pending: Token[] = []
  const send = (text: string): void => {
    if (text !== '') onEvent({ kind: 'text', text })
  }
  const take = (): void => {
    const before = written.length - pending.length
    const context = before > 0 ? written.slice(Math.max(0, before - 8), before) : prompt.slice(-8)
    const text = model.detokenize(pending, false, context)
    if (text.endsWith('\uFFFD') && pending.length < MAX_PENDING_TOKENS) return
    pending = []
    send(filter.push(text))
  }
  return {
    add(token) {
      written.push(token)
      pending.push(token)
      take()
    },
    end(finish) {
      if (pending.length > 0) send(filter.push(model.detokenize(pending, false, [])))
      send(filter.flush())
      onEvent({ kind: 'end', finish, completionTokens: written.length })
    },
    tokens: () => [...written],
    get count() {
      return written.length
    },
    get isStopped() {
      return filter.isStopped
    },
  }
}

/** The template that the model brought, to the letter; node-llama-cpp's best guess where it brought none that works. */
function chatWrapperOf({ module, model }: LlamaParts): ChatWrapper {
  const template = model.fileInfo.metadata.tokenizer?.chat_template
  if (typeof template === 'string' && template !== '') {
    try {
      const own = new module.JinjaTemplateChatWrapper({ template, tokenizer: model.tokenizer })
      own.generateContextState({
        chatHistory: [
          { type: 'user', text: 'a' },
          { type: 'model', response: [] },
        ],
      })
      return own
    } catch {
      // Some templates use what the renderer lacks; the guess below knows the common families.
    }
  }
  return module.resolveChatWrapper(model, { warningLogs: false })
}

function chatHistory({ messages }: LocalGeneration): readonly ChatItem[] {
  const items = messages.map(({ role, text }): ChatItem => {
    if (role === 'assistant') return { type: 'model', response: [text] }
    return { type: role, text }
  })
  return [...items, { type: 'model', response: [] }]
}

function outFilter({ form, stops }: LocalGeneration, ownStops: readonly string[]): StopFilter {
  if (form.kind === 'text') return createStopFilter([...stops, ...ownStops])
  return stops.length === 0
    ? createJsonFilter()
    : chainFilters(createJsonFilter(), createStopFilter(stops))
}

/** What ends a turn besides the model's end-of-generation tokens, which node-llama-cpp watches for. */
function stopRules(
  model: LlamaModel,
  triggers: ReturnType<ChatWrapper['generateContextState']>['stopGenerationTriggers'],
): { readonly tokens: ReadonlySet<Token>; readonly texts: readonly string[] } {
  const tokens = new Set<Token>()
  const texts: string[] = []
  for (const trigger of triggers) {
    if (trigger.values.every(value => typeof value === 'string')) {
      const text = trigger.values.join('')
      if (text !== '') texts.push(text)
      continue
    }
    const first = trigger.tokenize(model.tokenizer)[0]
    if (first !== undefined && model.isSpecialToken(first)) tokens.add(first)
  }
  return { tokens, texts }
}

/** Sampling options; the penalties look at what was written so far. */
async function evaluateOptions(
  { module, llama, model }: LlamaParts,
  request: LocalGeneration,
): Promise<(written: () => Token[]) => EvaluateOptions> {
  const { form, presencePenalty, frequencyPenalty, seed } = request
  const grammar =
    form.kind === 'text'
      ? null
      : form.schema === null
        ? await module.LlamaGrammar.getFor(llama, 'json')
        : await grammarOf(llama, form.schema)
  const state = grammar && new module.LlamaGrammarEvaluationState({ model, grammar })
  return written => ({
    temperature: request.temperature ?? DEFAULTS.temperature,
    topP: request.topP ?? DEFAULTS.topP,
    topK: DEFAULTS.topK,
    ...(seed === null ? {} : { seed }),
    ...(state === null ? {} : { grammarEvaluationState: state }),
    ...(presencePenalty === 0 && frequencyPenalty === 0
      ? {}
      : {
          repeatPenalty: { punishTokens: written, penalty: 1, presencePenalty, frequencyPenalty },
        }),
  })
}

async function grammarOf(llama: Llama, schema: object): Promise<LlamaGrammar> {
  try {
    return await llama.createGrammarForJsonSchema(schema)
  } catch (cause) {
    throw new UnderstudyError('request-invalid', 'No grammar can be made of the schema.', {
      help: 'Send a simpler JSON Schema.',
      cause,
    })
  }
}

function throwIfAborted(signal: AbortSignal): void {
  if (signal.aborted) throw new UnderstudyError('cancelled', 'The caller left.')
}
