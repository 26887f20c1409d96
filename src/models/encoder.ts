/** A frozen sentence encoder: tokenizer, graph and runtime put together. Knows no task. */
import { UnderstudyError } from '../errors.ts'
import { readSafetensors } from '../formats/index.ts'
import { sha256 } from '../platform/index.ts'
import type { InferenceRuntime, Tensor } from '../runtimes/index.ts'
import { batchByLength, padBatch } from './encoder-batches.ts'
import { type EncoderConfig, parseEncoderConfig } from './encoder-config.ts'
import { type EncoderFiles, readEncoderFiles } from './encoder-files.ts'
import { ENCODER_IDS, ENCODER_MASK, ENCODER_OUTPUT, encoderGraph } from './encoder-graph.ts'
import { type EncoderWeights, readEncoderWeights } from './encoder-weights.ts'
import { createTokenizer, type Tokenizer } from './tokenizer.ts'
import type { Encoder } from './types.ts'

/** An encoder's parts, for building other graphs of them. */
export interface EncoderBase {
  readonly config: EncoderConfig
  readonly weights: EncoderWeights
  /** Token numbers of a text, special ones included. */
  encode(text: string): number[]
}

/** An encoder that can be chained with other graphs in one `InferenceRuntime.run`. */
export interface EncoderHandle extends Encoder {
  readonly runtime: InferenceRuntime
  /** Name of the encoder's graph in `runtime`. */
  readonly session: string
  /** Name of the graph's output, float32 `[batch, dimension]`. */
  readonly output: string
  /** What fine-tuning starts from; null for a stand-in that only embeds. */
  readonly base: EncoderBase | null
  /** What to feed for these texts, in their order, padded to the longest. Meant for one or a few. */
  feeds(texts: readonly string[]): Readonly<Record<string, Tensor>>
}

export interface EncoderOptions {
  /** Catalog name, or any other. */
  readonly name: string
  /** A folder in the layout of sentence-transformers, or its files. */
  readonly source: string | EncoderFiles
  /** Stays open when the encoder is closed. */
  readonly runtime: InferenceRuntime
  /** The weights' SHA-256 where it is known already; saves hashing them. */
  readonly weightsHash?: string
}

/** Tokens of one batch, padding included: measured, see docs/log.md. */
const BUDGET = { tokenBudget: 2048, maxBatch: 64 }
/** Batches under way at once: keeps two workers busy, or one without a gap between batches. */
const LANE_COUNT = 2
/** Texts tokenised before the event loop gets a turn. */
const TOKENISE_CHUNK = 64

/** @throws model-corrupt, model-unavailable, runtime-missing */
export async function createEncoder(options: EncoderOptions): Promise<EncoderHandle> {
  const { name, source, runtime } = options
  const files = typeof source === 'string' ? await readEncoderFiles(source) : source
  const config = parseEncoderConfig(files)
  const weightsHash = options.weightsHash ?? sha256(files.weights)
  const session = `encoder/${name}/${weightsHash}`
  const { maxTokens, hiddenSize: dimension } = config
  const tokenizer = createTokenizer({
    tokenizer: files.tokenizer,
    config: files.tokenizerConfig,
    maxTokens,
  })
  if (tokenizer.maxId >= config.vocabularySize) {
    throw new UnderstudyError(
      'model-corrupt',
      `tokenizer.json numbers tokens up to ${tokenizer.maxId}, config.json has ${config.vocabularySize}`,
      { help: 'Use the tokenizer, the weights and the configuration of the same model.' },
    )
  }
  const weights = readEncoderWeights(readSafetensors(files.weights), config)
  await runtime.load(session, encoderGraph(config, weights))
  return encoderOver({
    name,
    weightsHash,
    dimension,
    runtime,
    session,
    tokenizer,
    base: { config, weights, encode: tokenizer.encode },
    budget: BUDGET,
  })
}

/** What an encoder is made of once its graph is loaded in the runtime. */
export interface LoadedEncoder
  extends Pick<
    EncoderHandle,
    'name' | 'weightsHash' | 'dimension' | 'runtime' | 'session' | 'base'
  > {
  readonly tokenizer: Tokenizer
  /** Name of the graph's output where it is not the embedding: `[batch, dimension]`. */
  readonly output?: string
  /** Most tokens, padding included, and most texts of one batch. */
  readonly budget: { readonly tokenBudget: number; readonly maxBatch: number }
}

/** The handle of a graph that is loaded; closing it unloads the graph. */
export function encoderOver({
  tokenizer,
  budget,
  output = ENCODER_OUTPUT,
  ...encoder
}: LoadedEncoder): EncoderHandle {
  const { runtime, session, dimension } = encoder

  function pad(sequences: readonly (readonly number[])[]): Record<string, Tensor> {
    const { ids, mask } = padBatch(sequences, tokenizer.padId)
    return { [ENCODER_IDS]: ids, [ENCODER_MASK]: mask }
  }

  return {
    ...encoder,
    output,
    feeds: texts => pad(texts.map(tokenizer.encode)),
    async embed(texts, { signal, onProgress } = {}) {
      const sequences = await tokenise(texts, tokenizer.encode, signal)
      const embeddings = new Float32Array(texts.length * dimension)
      const lengths = sequences.map(one => one.length)
      let doneCount = 0
      await inLanes(batchByLength(lengths, budget), signal, async rows => {
        const feeds = pad(rows.map(row => sequences[row] as number[]))
        const outputs = await runtime.run([{ session, feeds }], {
          ...(signal && { signal }),
          outputs: [output],
        })
        throwIfCancelled(signal)
        scatterRows(outputs[output], rows, dimension, embeddings)
        doneCount += rows.length
        onProgress?.(doneCount)
      })
      return embeddings
    },
    close: () => runtime.unload(session),
  }
}

/** Tokenises in chunks: ten thousand texts take seconds, and the event loop must not wait for them. */
async function tokenise(
  texts: readonly string[],
  encode: (text: string) => number[],
  signal: AbortSignal | undefined,
): Promise<number[][]> {
  const sequences: number[][] = []
  for (let at = 0; at < texts.length; at += TOKENISE_CHUNK) {
    throwIfCancelled(signal)
    for (const text of texts.slice(at, at + TOKENISE_CHUNK)) sequences.push(encode(text))
    if (at + TOKENISE_CHUNK < texts.length) await new Promise(resolve => setImmediate(resolve))
  }
  return sequences
}

/** Works through items in order, a few at once; the first failure stops all. */
async function inLanes<Item>(
  items: readonly Item[],
  signal: AbortSignal | undefined,
  work: (item: Item) => Promise<void>,
): Promise<void> {
  const rest = items.values()
  let hasFailed = false
  const lane = async () => {
    for (let next = rest.next(); !next.done && !hasFailed; next = rest.next()) {
      try {
        throwIfCancelled(signal)
        await work(next.value)
      } catch (error) {
        hasFailed = true
        throw error
      }
    }
  }
  await Promise.all(Array.from({ length: LANE_COUNT }, lane))
}

function throwIfCancelled(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new UnderstudyError('cancelled', 'Embedding was cancelled')
}

function scatterRows(
  from: Tensor | undefined,
  rows: readonly number[],
  dimension: number,
  to: Float32Array,
): void {
  if (from?.type !== 'float32' || from.data.length !== rows.length * dimension) {
    throw new UnderstudyError('runtime-failed', 'The encoder gave no embedding of the right size')
  }
  const values = from.data as Float32Array
  rows.forEach((row, i) => {
    to.set(values.subarray(i * dimension, (i + 1) * dimension), row * dimension)
  })
}
