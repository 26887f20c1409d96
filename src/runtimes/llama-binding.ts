/** The part of node-llama-cpp that is used here, as types. The package is installed at run time, not a dependency. */

export type Token = number

export interface LlamaText {
  readonly values: readonly unknown[]
  tokenize(tokenizer: LlamaTokenizer): Token[]
}

/** Opaque to us: passed from the model to texts. */
export type LlamaTokenizer = object

export type ChatItem =
  | { readonly type: 'system'; readonly text: string }
  | { readonly type: 'user'; readonly text: string }
  | { readonly type: 'model'; readonly response: readonly string[] }

export interface ChatWrapper {
  generateContextState(options: { chatHistory: readonly ChatItem[] }): {
    readonly contextText: LlamaText
    readonly stopGenerationTriggers: readonly LlamaText[]
  }
}

export interface LlamaGrammar {
  readonly grammar: string
}

export interface EvaluateOptions {
  temperature: number
  topP: number
  topK: number
  seed?: number
  grammarEvaluationState?: object
  repeatPenalty?: {
    punishTokens: () => Token[]
    penalty: number
    presencePenalty: number
    frequencyPenalty: number
  }
}

export interface LlamaSequence {
  readonly nextTokenIndex: number
  clearHistory(): Promise<void>
  eraseContextTokenRanges(ranges: { start: number; end: number }[]): Promise<void>
  evaluateWithoutGeneratingNewTokens(tokens: Token[]): Promise<void>
  evaluate(tokens: Token[], options: EvaluateOptions): AsyncGenerator<Token, void, undefined>
}

export interface LlamaContext {
  readonly contextSize: number
  getSequence(): LlamaSequence
}

export interface LlamaModel {
  readonly tokenizer: LlamaTokenizer
  readonly trainContextSize: number
  readonly fileInfo: {
    readonly metadata: { readonly tokenizer?: { readonly chat_template?: unknown } }
  }
  detokenize(tokens: readonly Token[], specialTokens: boolean, lastTokens: readonly Token[]): string
  isSpecialToken(token: Token): boolean
  createContext(options: {
    contextSize: number
    batchSize: number
    threads: number
  }): Promise<LlamaContext>
}

export interface Llama {
  /** Physical cores, as far as they do arithmetic well. */
  readonly cpuMathCores: number
  loadModel(options: {
    modelPath: string
    onLoadProgress: (share: number) => void
  }): Promise<LlamaModel>
  createGrammarForJsonSchema(schema: object): Promise<LlamaGrammar>
}

export interface LlamaModule {
  getLlama(options: {
    gpu: 'metal' | false
    build: 'never'
    skipDownload: true
    progressLogs: false
    logLevel: 'error'
    maxThreads: number
  }): Promise<Llama>
  resolveChatWrapper(model: LlamaModel, options: { warningLogs: false }): ChatWrapper
  readonly JinjaTemplateChatWrapper: new (options: {
    template: string
    tokenizer: LlamaTokenizer
  }) => ChatWrapper
  readonly LlamaGrammar: {
    getFor(llama: Llama, type: 'json'): Promise<LlamaGrammar>
  }
  readonly LlamaGrammarEvaluationState: new (options: {
    model: LlamaModel
    grammar: LlamaGrammar
  }) => object
  readonly InsufficientMemoryError: new () => Error
}

/** Metal is the only prebuilt binary for Apple silicon; everywhere else the CPU build was installed. */
export function computeLayer(platform: string, arch: string): 'metal' | false {
  return platform === 'darwin' && arch === 'arm64' ? 'metal' : false
}
