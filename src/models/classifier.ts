/** A fitted closed-set classifier: loads manifest and blobs, answers with a class number and a score. Knows no labels by name. */
import type { TrainingRuntime } from '../engine/index.ts'
import { UnderstudyError } from '../errors.ts'
import { sha256 } from '../platform/index.ts'
import type { InferenceRuntime } from '../runtimes/index.ts'
import { type ClassifierManifest, parseClassifierManifest } from './classifier-manifest.ts'
import { confidenceFeatures, decideVerdict, type Opinion } from './combiner.ts'
import type { EncoderHandle } from './encoder.ts'
import {
  type EncoderPart,
  HEAD_SIGNAL_COUNT,
  type Neighbour,
  openEncoderPart,
} from './encoder-part.ts'
import { decodeHead, decodeNeighbours } from './head-file.ts'
import { NEIGHBOUR_SIGNAL_COUNT } from './neighbours.ts'
import { decodeReflex } from './reflex.ts'
import { REFLEX_SIGNAL_COUNT, reflexOpinionOfText } from './reflex-part.ts'

/** What backs one prediction. */
export interface PredictionDetails {
  /** Pooled probabilities, best first, at most five. */
  readonly candidates: readonly { readonly label: number; readonly probability: number }[]
  /** Nearest training rows by embedding; empty without an encoder. */
  readonly neighbours: readonly Neighbour[]
  /** Each part's own probability of the answer. */
  readonly parts: Readonly<Record<string, number>>
}

export interface Predictions {
  /** Class of each text. */
  readonly labels: Int32Array
  /** Confidence in [0, 1] that it is right. */
  readonly scores: Float64Array
  /** @throws bug when `row` is not one of the texts */
  details(row: number): PredictionDetails
}

export interface Classifier {
  readonly manifest: ClassifierManifest
  /**
   * Every text is scored on its own, in a batch too, so that the numbers are the same bit by bit whatever else was asked.
   * @throws cancelled, runtime-failed
   */
  predict(
    texts: readonly string[],
    options?: {
      signal?: AbortSignal | undefined
      onProgress?: ((doneCount: number) => void) | undefined
    },
  ): Promise<Predictions>
  close(): Promise<void>
}

export interface ClassifierParts {
  readonly encoder: EncoderHandle | null
  readonly runtime: InferenceRuntime | null
  /** What fine-tuning runs on; without it encoders stay as they are. */
  readonly training?: TrainingRuntime | null
}

/** Texts that the reflex scores before the event loop gets a turn. */
const REFLEX_CHUNK = 64
/** Texts asked of the runtime at once, so that its workers never wait for this thread. */
const IN_FLIGHT = 8
const CANDIDATE_COUNT = 5

/**
 * Opens a classifier.
 * @throws model-corrupt when manifest or blobs are damaged; model-unavailable when it needs an encoder that is not given
 */
export async function loadClassifier(
  value: unknown,
  blobs: ReadonlyMap<string, Uint8Array>,
  { encoder }: ClassifierParts,
): Promise<Classifier> {
  const manifest = parseClassifierManifest(value)
  const { classCount, combiner } = manifest
  const { bits, blob } = manifest.reflex
  const reflex = decodeReflex(blobOf(blobs, blob), bits, classCount)
  checkWidth(manifest)
  const part = await openPart(manifest, blobs, encoder)

  async function predictRow(text: string, signal: AbortSignal | undefined): Promise<PredictedRow> {
    if (part === null) {
      return row({ reflex: reflexOpinionOfText(reflex, text) }, [])
    }
    const { head, neighbours, nearest } = await part.opinions(text, signal)
    return row({ reflex: reflexOpinionOfText(reflex, text), head, neighbours }, nearest)
  }

  function row(
    opinions: Readonly<Record<string, Opinion>>,
    neighbours: readonly Neighbour[],
  ): PredictedRow {
    return { ...decideVerdict(combiner, Object.values(opinions)), opinions, neighbours }
  }

  return {
    manifest,
    async predict(texts, { signal, onProgress } = {}) {
      const rows: PredictedRow[] = []
      const width = part === null ? REFLEX_CHUNK : IN_FLIGHT
      for (let at = 0; at < texts.length; at += width) {
        if (at > 0) await nextTurn()
        throwIfCancelled(signal)
        const chunk = texts.slice(at, at + width)
        rows.push(...(await Promise.all(chunk.map(text => predictRow(text, signal)))))
        onProgress?.(rows.length)
      }
      return toPredictions(rows)
    },
    close: async () => part?.close(),
  }
}

async function openPart(
  { encoder: manifest, classCount }: ClassifierManifest,
  blobs: ReadonlyMap<string, Uint8Array>,
  encoder: EncoderHandle | null,
): Promise<EncoderPart | null> {
  if (manifest === null) return null
  if (encoder === null) {
    throw new UnderstudyError(
      'model-unavailable',
      `The specialist needs the encoder ${manifest.name}, which is not loaded.`,
      { help: `Pull it: understudy models pull ${manifest.name}` },
    )
  }
  const { dimension, neighbourCount: count } = manifest
  const head = decodeHead(blobOf(blobs, manifest.headBlob), { dimension, classCount })
  const neighbours = decodeNeighbours(blobOf(blobs, manifest.neighboursBlob), {
    dimension,
    count,
    classCount,
  })
  const { tuned } = manifest
  const layers = tuned === null ? null : blobOf(blobs, tuned.layersBlob)
  return openEncoderPart(encoder, manifest, { head, neighbours, layers })
}

/** One row with all that its details need. */
interface PredictedRow {
  readonly label: number
  readonly score: number
  readonly logProbabilities: Float64Array
  readonly opinions: Readonly<Record<string, Opinion>>
  readonly neighbours: readonly Neighbour[]
}

function toPredictions(rows: readonly PredictedRow[]): Predictions {
  return {
    labels: Int32Array.from(rows, row => row.label),
    scores: Float64Array.from(rows, row => row.score),
    details(at) {
      const row = rows[at]
      if (row === undefined) throw new UnderstudyError('bug', `no prediction for text ${at}`)
      const { label, logProbabilities, opinions, neighbours } = row
      const order = [...logProbabilities.keys()].sort(
        (a, b) => (logProbabilities[b] as number) - (logProbabilities[a] as number) || a - b,
      )
      return {
        candidates: order.slice(0, CANDIDATE_COUNT).map(candidate => ({
          label: candidate,
          probability: Math.exp(logProbabilities[candidate] as number),
        })),
        neighbours,
        parts: Object.fromEntries(
          Object.entries(opinions).map(([name, opinion]) => [
            name,
            Math.exp(opinion.logProbabilities[label] as number),
          ]),
        ),
      }
    },
  }
}

function blobOf(blobs: ReadonlyMap<string, Uint8Array>, hash: string): Uint8Array {
  const bytes = blobs.get(hash)
  if (bytes === undefined || sha256(bytes) !== hash) {
    const what = bytes === undefined ? 'is missing' : 'does not match its hash'
    throw new UnderstudyError('model-corrupt', `Blob ${hash} of the classifier ${what}.`, {
      help: 'Learn the task again, or restore the data folder from a backup.',
    })
  }
  return bytes
}

/** The combiner must have been fitted for exactly these parts. */
function checkWidth({ combiner, encoder }: ClassifierManifest): void {
  const signals =
    encoder === null
      ? [REFLEX_SIGNAL_COUNT]
      : [REFLEX_SIGNAL_COUNT, HEAD_SIGNAL_COUNT, NEIGHBOUR_SIGNAL_COUNT]
  const opinions = signals.map(count => ({
    logProbabilities: new Float64Array(1),
    signals: new Array<number>(count).fill(0),
  }))
  const width = confidenceFeatures(new Float64Array(1), opinions).length
  if (combiner.poolWeights.length !== opinions.length || combiner.coefficients.length !== width) {
    throw new UnderstudyError('model-corrupt', 'The combiner was fitted for other parts.', {
      help: 'Learn the task again.',
    })
  }
}

const nextTurn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

function throwIfCancelled(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new UnderstudyError('cancelled', 'Predicting was cancelled.')
}
