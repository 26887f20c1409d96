/** The encoder's side of a classifier: from a text to the opinions of head and neighbours in one round trip. */
import { assert, UnderstudyError } from '../errors.ts'
import type { Tensor } from '../runtimes/index.ts'
import { newId } from '../util/index.ts'
import type { EncoderPartManifest } from './classifier-manifest.ts'
import type { Opinion } from './combiner.ts'
import type { EncoderHandle } from './encoder.ts'
import { ENCODER_MASK, hiddenOutput } from './encoder-graph.ts'
import {
  HEAD_INPUT,
  HEAD_LOGITS,
  headGraph,
  type LinearHead,
  NEAREST_INDICES,
  NEAREST_SIMILARITIES,
} from './head-graph.ts'
import { type Neighbours, neighboursOpinion } from './neighbours.ts'
import { toLogProbabilities } from './reflex.ts'
import {
  decodeLayers,
  TUNED_INPUT,
  type TunedGraphOptions,
  tunedHeadGraph,
} from './tuned-layers.ts'

/** One of the training rows nearest to an input. */
export interface Neighbour {
  /** Number of the training row. */
  readonly row: number
  readonly label: number
  /** Cosine, in [−1, 1]. */
  readonly similarity: number
}

export interface EncoderOpinions {
  readonly head: Opinion
  readonly neighbours: Opinion
  readonly nearest: readonly Neighbour[]
}

export interface EncoderPart {
  /** @throws cancelled, runtime-failed */
  opinions(text: string, signal: AbortSignal | undefined): Promise<EncoderOpinions>
  close(): Promise<void>
}

export interface EncoderPartBlobs {
  readonly head: LinearHead
  readonly neighbours: Neighbours
  /** The file of the tuned layers; null where the head stands on the frozen embedding. */
  readonly layers: Uint8Array | null
}

/** @throws model-unavailable when the encoder is not the one the head was fitted on; model-corrupt */
export async function openEncoderPart(
  encoder: EncoderHandle,
  manifest: EncoderPartManifest,
  { head, neighbours, layers }: EncoderPartBlobs,
): Promise<EncoderPart> {
  checkEncoder(encoder, manifest)
  const { runtime } = encoder
  const { classCount } = head
  const rule = manifest.vote
  // A name of its own: closing one specialist must not unload the graph of another.
  const session = newId('spec')
  const { tuned } = manifest
  const isTuned = tuned !== null && layers !== null
  await runtime.load(
    session,
    isTuned
      ? tunedHeadGraph(openTuned(encoder, { tuned, layers, head }), neighbours, rule.k)
      : headGraph(head, neighbours, rule.k),
  )
  return {
    async opinions(text, signal) {
      const feeds = encoder.feeds([text])
      const below = isTuned
        ? {
            [TUNED_INPUT]: { fromCall: 0, output: hiddenOutput(tuned.firstLayer) },
            [ENCODER_MASK]: feeds[ENCODER_MASK] as Tensor,
          }
        : {}
      const outputs = await runtime.run(
        [
          { session: encoder.session, feeds },
          {
            session,
            feeds: { [HEAD_INPUT]: { fromCall: 0, output: encoder.output }, ...below },
          },
        ],
        signal ? { signal } : {},
      )
      const logits = floats(outputs[HEAD_LOGITS], classCount)
      const similarities = floats(outputs[NEAREST_SIMILARITIES], rule.k)
      const indices = Int32Array.from(integers(outputs[NEAREST_INDICES], rule.k), Number)
      return {
        head: headOpinion(logits),
        neighbours: neighboursOpinion({ similarities, indices }, neighbours.labels, {
          classCount,
          rule,
        }),
        nearest: Array.from(indices, (index, i) => ({
          row: neighbours.rows[index] as number,
          label: neighbours.labels[index] as number,
          similarity: similarities[i] as number,
        })),
      }
    },
    close: () => runtime.unload(session),
  }
}

/** @throws model-corrupt when the file holds other layers than the encoder has */
function openTuned(
  { base, name }: EncoderHandle,
  {
    tuned,
    layers,
    head,
  }: { tuned: NonNullable<EncoderPartManifest['tuned']>; layers: Uint8Array; head: LinearHead },
): TunedGraphOptions {
  const { firstLayer, scale } = tuned
  assert(base !== null, `${name} has layers`)
  const { config } = base
  if (firstLayer >= config.layerCount) {
    throw new UnderstudyError(
      'model-corrupt',
      `The specialist tunes layer ${firstLayer}, and the encoder has ${config.layerCount}.`,
      { help: 'Learn the task again.' },
    )
  }
  const own = { firstLayer, scale, layers: decodeLayers(layers, config, firstLayer) }
  return { config, tuned: own, head }
}

/** Number of signals in a head's opinion. */
export const HEAD_SIGNAL_COUNT = 0

/** Logits as an opinion; the head has no signals of its own. */
export function headOpinion(logits: Float32Array): Opinion {
  return { logProbabilities: toLogProbabilities(Float64Array.from(logits)), signals: [] }
}

function checkEncoder(encoder: EncoderHandle, manifest: EncoderPartManifest): void {
  if (encoder.weightsHash === manifest.weightsHash && encoder.dimension === manifest.dimension) {
    return
  }
  throw new UnderstudyError(
    'model-unavailable',
    `The specialist needs the encoder ${manifest.name} with weights ${manifest.weightsHash}, not ${encoder.name} with ${encoder.weightsHash}.`,
    { help: `Pull the model it was fitted on: understudy models pull ${manifest.name}` },
  )
}

function floats(tensor: Tensor | undefined, length: number): Float32Array {
  if (tensor?.type === 'float32' && tensor.data.length === length) {
    return tensor.data as Float32Array
  }
  throw new UnderstudyError('runtime-failed', 'The head gave no result of the right size.')
}

function integers(tensor: Tensor | undefined, length: number): BigInt64Array {
  if (tensor?.type === 'int64' && tensor.data.length === length) {
    return tensor.data as BigInt64Array
  }
  throw new UnderstudyError('runtime-failed', 'The head gave no neighbours.')
}
