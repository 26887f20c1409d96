/** A fitted closed-set classifier: loads manifest and blobs, answers with a class number and a score. Knows no labels by name. */
import { UnderstudyError } from '../errors.ts'
import { sha256 } from '../platform/index.ts'
import type { InferenceRuntime } from '../runtimes/index.ts'
import { type ClassifierManifest, parseClassifierManifest } from './classifier-manifest.ts'
import { type Combiner, confidenceFeatures, decideVerdict, type Opinion } from './combiner.ts'
import type { EncoderHandle } from './encoder.ts'
import { decodeReflex, type Reflex } from './reflex.ts'
import { reflexOpinionOfText } from './reflex-part.ts'

/** What backs one prediction. */
export interface PredictionDetails {
  /** Pooled probabilities, best first, at most five. */
  readonly candidates: readonly { readonly label: number; readonly probability: number }[]
  /** Nearest training rows by embedding; empty without an encoder. */
  readonly neighbours: readonly Neighbour[]
  /** Each part's own probability of the answer. */
  readonly parts: Readonly<Record<string, number>>
}

export interface Neighbour {
  /** Number of the training row. */
  readonly row: number
  readonly label: number
  /** Cosine, in [−1, 1]. */
  readonly similarity: number
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
}

/** Texts scored before the event loop gets a turn. */
const CHUNK = 64
const CANDIDATE_COUNT = 5

/**
 * Opens a classifier.
 * @throws model-corrupt when manifest or blobs are damaged; model-unavailable when it needs an encoder that is not given
 */
export async function loadClassifier(
  value: unknown,
  blobs: ReadonlyMap<string, Uint8Array>,
  _parts: ClassifierParts,
): Promise<Classifier> {
  const manifest = parseClassifierManifest(value)
  const { classCount, combiner } = manifest
  const reflex = decodeReflex(blobOf(blobs, manifest.reflex.blob), manifest.reflex.bits, classCount)
  checkWidth(combiner, [reflexOpinionOfText(reflex, '')])
  return {
    manifest,
    predict: (texts, options) => predictReflexOnly({ reflex, combiner, texts }, options),
    close: async () => {},
  }
}

interface ReflexJob {
  readonly reflex: Reflex
  readonly combiner: Combiner
  readonly texts: readonly string[]
}

async function predictReflexOnly(
  { reflex, combiner, texts }: ReflexJob,
  { signal, onProgress }: Parameters<Classifier['predict']>[1] = {},
): Promise<Predictions> {
  const rows: PredictedRow[] = []
  for (const text of texts) {
    throwIfCancelled(signal)
    rows.push(predictRow(combiner, { reflex: reflexOpinionOfText(reflex, text) }, []))
    if (rows.length % CHUNK === 0 && rows.length < texts.length) {
      onProgress?.(rows.length)
      await new Promise(resolve => setImmediate(resolve))
    }
  }
  onProgress?.(rows.length)
  return toPredictions(rows)
}

/** One row with all that its details need. */
export interface PredictedRow {
  readonly label: number
  readonly score: number
  readonly logProbabilities: Float64Array
  readonly opinions: Readonly<Record<string, Opinion>>
  readonly neighbours: readonly Neighbour[]
}

function predictRow(
  combiner: Combiner,
  opinions: Readonly<Record<string, Opinion>>,
  neighbours: readonly Neighbour[],
): PredictedRow {
  return { ...decideVerdict(combiner, Object.values(opinions)), opinions, neighbours }
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
function checkWidth(combiner: Combiner, opinions: readonly Opinion[]): void {
  const width = confidenceFeatures((opinions[0] as Opinion).logProbabilities, opinions).length
  if (combiner.poolWeights.length !== opinions.length || combiner.coefficients.length !== width) {
    throw new UnderstudyError('model-corrupt', 'The combiner was fitted for other parts.', {
      help: 'Learn the task again.',
    })
  }
}

function throwIfCancelled(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new UnderstudyError('cancelled', 'Predicting was cancelled.')
}
