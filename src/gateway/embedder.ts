/** Embeddings by an encoder of this machine. Knows no HTTP and no lead. */
import { UnderstudyError } from '../errors.ts'
import { ENCODER_IDS, type EncoderHandle } from '../models/index.ts'
import {
  type ChatRequest,
  parseEmbeddingsRequest,
  renderEmbeddings,
  type Wire,
} from '../wire/index.ts'

/** What this machine's own models answer; null where the request names none of them. */
export type LocalAnswer = (
  wire: Pick<Wire, 'name'>,
  request: ChatRequest,
  signal: AbortSignal,
) => Promise<Readonly<Record<string, unknown>> | null>

export interface EmbedderOptions {
  /** Names of the encoders that a request may ask for. */
  readonly names: readonly string[]
  /** Null where it is not on this machine. */
  readonly open: (name: string) => Promise<EncoderHandle | null>
}

/**
 * Answers embeddings requests whose model is one of these.
 * @throws request-invalid for what the encoder cannot do; model-unavailable; cancelled
 */
export function createEmbedder({ names, open }: EmbedderOptions): LocalAnswer {
  return async ({ name: wire }, { model, body }, signal) => {
    if (wire !== 'embeddings' || !names.includes(model)) return null
    const encoder = await open(model)
    if (encoder === null) {
      throw new UnderstudyError('model-unavailable', `The encoder ${model} is not ready here.`, {
        help: `Fetch it with \`understudy models pull ${model}\`, then ask again.`,
      })
    }
    const { texts, encoding } = parseEmbeddingsRequest(body, encoder.dimension)
    const embeddings = await encoder.embed(texts, { signal })
    const tokenCount = texts.reduce((sum, text) => sum + lengthOf(encoder, text), 0)
    return renderEmbeddings(embeddings, encoder.dimension, { model, encoding, tokenCount })
  }
}

function lengthOf(encoder: EncoderHandle, text: string): number {
  return encoder.feeds([text])[ENCODER_IDS]?.dims[1] ?? 0
}
