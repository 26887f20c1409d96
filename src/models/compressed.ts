/** A model made smaller: its graph for a way of storing weights, and the encoder that runs it. Knows no disk and no accuracy. */
import { UnderstudyError } from '../errors.ts'
import { sha256 } from '../platform/index.ts'
import type { InferenceRuntime } from '../runtimes/index.ts'
import { type EncoderHandle, encoderOver, type LoadedEncoder } from './encoder.ts'
import type { EncoderConfig } from './encoder-config.ts'
import { CLASSIFIER_LOGITS, encoderGraph, type GraphClassifier } from './encoder-graph.ts'
import type { EncoderWeights } from './encoder-weights.ts'
import { type QuantizeKind, quantizedModules } from './quantize.ts'
import { servingGraph } from './serving-graph.ts'
import { createTokenizer } from './tokenizer.ts'

/** How weights are stored and multiplied. */
export type Precision = 'float32' | QuantizeKind

/**
 * The graph of an encoder in a precision: `embedding` out, as `encoderGraph` has it, and with a classifier `logits`.
 * @throws usage-invalid for `int4` of sizes that do not fit
 */
export function compressedGraph(
  { config, weights }: { readonly config: EncoderConfig; readonly weights: EncoderWeights },
  {
    precision,
    classifier,
  }: { readonly precision: Precision; readonly classifier?: GraphClassifier | undefined },
): Uint8Array<ArrayBuffer> {
  if (precision === 'float32') return encoderGraph(config, weights, classifier)
  const modules = quantizedModules(config, weights, { kind: precision })
  return servingGraph(config, modules, classifier)
}

export interface CompressedEncoderOptions {
  readonly name: string
  /** As `compressedGraph` gives it. */
  readonly graph: Uint8Array
  readonly precision: Precision
  readonly config: EncoderConfig
  /** Texts of `tokenizer.json` and, where there is one, `tokenizer_config.json`. */
  readonly tokenizer: string
  readonly tokenizerConfig?: string | undefined
  /** What the encoder is named by; the graph's SHA-256 without. */
  readonly weightsHash?: string
  /** Stays open when the encoder is closed. */
  readonly runtime: InferenceRuntime
}

/** int8 shares one range among all texts of a batch, so only one text at a time gives the same vector every time. */
const BUDGETS = {
  float32: { tokenBudget: 2048, maxBatch: 64 },
  int4: { tokenBudget: 2048, maxBatch: 64 },
  int8: { tokenBudget: 1, maxBatch: 1 },
} as const satisfies Record<Precision, unknown>

/** @throws model-corrupt when tokenizer or graph cannot be used; runtime-missing */
export async function openCompressedEncoder(
  options: CompressedEncoderOptions,
): Promise<EncoderHandle> {
  return encoderOver({ ...(await load(options)), dimension: options.config.hiddenSize })
}

/** A graph with a classifier, opened: texts to logits. */
export interface CompressedClassifierHandle {
  /** Row-major [texts.length, classCount]. @throws cancelled, runtime-failed */
  logits(
    texts: readonly string[],
    options?: { readonly signal?: AbortSignal },
  ): Promise<Float32Array>
  close(): Promise<void>
}

/** @throws model-corrupt when tokenizer or graph cannot be used; runtime-missing */
export async function openCompressedClassifier({
  classCount,
  ...options
}: CompressedEncoderOptions & {
  readonly classCount: number
}): Promise<CompressedClassifierHandle> {
  const loaded = await load(options)
  const { embed, close } = encoderOver({
    ...loaded,
    dimension: classCount,
    output: CLASSIFIER_LOGITS,
  })
  return { logits: embed, close }
}

async function load(options: CompressedEncoderOptions): Promise<Omit<LoadedEncoder, 'dimension'>> {
  const { name, graph, precision, config, runtime } = options
  const tokenizer = createTokenizer({
    tokenizer: options.tokenizer,
    config: options.tokenizerConfig,
    maxTokens: config.maxTokens,
  })
  if (tokenizer.maxId >= config.vocabularySize) {
    throw new UnderstudyError(
      'model-corrupt',
      `tokenizer.json numbers tokens up to ${tokenizer.maxId}, the model has ${config.vocabularySize}`,
      { help: 'Compress the model again.' },
    )
  }
  const weightsHash = options.weightsHash ?? sha256(graph)
  const session = `encoder/${name}/${weightsHash}`
  await runtime.load(session, graph)
  const budget = BUDGETS[precision]
  return { name, weightsHash, runtime, session, tokenizer, base: null, budget }
}
