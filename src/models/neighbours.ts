/** Nearest neighbours as one opinion among several: votes by similarity. Portable; knows neither texts nor a runtime. */
import type { Opinion } from './combiner.ts'
import type { NeighbourVectors } from './head-graph.ts'

/** Training rows to compare with. */
export interface Neighbours extends NeighbourVectors {
  /** Class of each vector, ≥ 0. */
  readonly labels: Int32Array
  /** Number of the training row that each vector stands for. */
  readonly rows: Int32Array
}

/** How neighbours vote; part of the manifest, so that a change of these defaults changes no specialist. */
export interface VoteRule {
  /** Nearest rows that vote. */
  readonly k: number
  /** A vote weighs exp(sharpness · (similarity − 1)). */
  readonly sharpness: number
  /** Share of the probability that all classes split evenly. */
  readonly smoothing: number
}

/** The nearest rows of one input, nearest first. */
export interface Nearest {
  readonly similarities: Float32Array
  /** Positions among the vectors. */
  readonly indices: Int32Array
}

/** Number of signals in a neighbours' opinion. */
export const NEIGHBOUR_SIGNAL_COUNT = 2

/** Below any cosine: a row that fitting shut out, not a neighbour. */
const SHUT_OUT = -1.5

/**
 * Votes as log-probabilities, uniform without a neighbour; signals: similarity of the nearest, and the votes' share of
 * the strongest class.
 */
export function neighboursOpinion(
  { similarities, indices }: Nearest,
  labels: Int32Array,
  { classCount, rule }: { classCount: number; rule: VoteRule },
): Opinion {
  const votes = new Float64Array(classCount)
  const nearest = Math.max(-1, similarities[0] as number)
  let sum = 0
  for (let i = 0; i < indices.length; i++) {
    const similarity = similarities[i] as number
    if (similarity < SHUT_OUT) break
    const vote = Math.exp(rule.sharpness * (similarity - nearest))
    const label = labels[indices[i] as number] as number
    votes[label] = (votes[label] as number) + vote
    sum += vote
  }
  let strongest = 0
  for (const vote of votes) strongest = Math.max(strongest, vote)
  const smoothing = sum === 0 ? 1 : rule.smoothing
  const scale = (1 - smoothing) / Math.max(sum, Number.MIN_VALUE)
  const logProbabilities = votes.map(vote => Math.log(scale * vote + smoothing / classCount))
  return { logProbabilities, signals: [nearest, sum === 0 ? 0 : strongest / sum] }
}
