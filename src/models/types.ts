/** What a model is to the layers above: something that embeds, or something that answers with a score. */
import type { Tier } from '../ledger/index.ts'

/** A frozen sentence encoder. */
export interface Encoder {
  /** Catalog name, e.g. `all-minilm-l6-v2`. */
  readonly name: string
  /** SHA-256 of the weights file. */
  readonly weightsHash: string
  readonly dimension: number
  /**
   * Unit-length sentence embeddings, row-major `[texts.length, dimension]`. Batches by length itself.
   * @throws cancelled when the signal fires
   */
  embed(
    texts: readonly string[],
    options?: { signal?: AbortSignal; onProgress?: (doneCount: number) => void },
  ): Promise<Float32Array>
  close(): Promise<void>
}

/** What backs an answer: shown to people, never read by the certificate. */
export interface Evidence {
  /** Probability of the best outputs, best first. */
  readonly candidates?: readonly { readonly output: unknown; readonly probability: number }[]
  /** Nearest training examples: similarity in [−1, 1] and what the lead answered there. */
  readonly neighbours?: readonly {
    readonly id: string
    readonly similarity: number
    readonly output: unknown
  }[]
  /** Score of each part (reflex, head, neighbours) before they were combined. */
  readonly parts?: Readonly<Record<string, number>>
}

/** One answer of a specialist. `output` null: it abstains, whatever the threshold. */
export interface SpecialistAnswer<Output> {
  readonly output: Output | null
  /** Confidence in [0, 1]; the caller compares it with the threshold. */
  readonly score: number
  readonly evidence: Evidence
}

/** A model that answers one task. Streams where it can: `onPartial` gets growing prefixes of the output. */
export interface Specialist<Output> {
  /** SHA-256 of the manifest of its artefacts. */
  readonly hash: string
  readonly tier: Tier
  /** @throws cancelled when the signal fires; runtime-failed when the model cannot run */
  answer(
    input: string,
    signal?: AbortSignal,
    onPartial?: (partial: Output) => void,
  ): Promise<SpecialistAnswer<Output>>
  /** The same for many inputs; equal results, faster. */
  answerBatch(
    inputs: readonly string[],
    options?: { signal?: AbortSignal; onProgress?: (doneCount: number) => void },
  ): Promise<SpecialistAnswer<Output>[]>
  close(): Promise<void>
}
