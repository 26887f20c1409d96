/** The reflex as one opinion among several. Portable. */
import type { Opinion } from './combiner.ts'
import { type Reflex, scoreFeatures } from './reflex.ts'
import { type HashedFeatures, hashFeatures } from './reflex-features.ts'

/** Number of signals in a reflex's opinion. */
export const REFLEX_SIGNAL_COUNT = 2

/** Log-probabilities, and as signals the share of the text's features that fitting had seen, and its log length. */
export function reflexOpinion(reflex: Reflex, features: HashedFeatures): Opinion {
  const { buckets } = features
  let knownCount = 0
  for (const bucket of buckets) if ((reflex.idf[bucket] as number) > 0) knownCount++
  const familiarity = buckets.length === 0 ? 0 : knownCount / buckets.length
  return {
    logProbabilities: scoreFeatures(reflex, features),
    signals: [familiarity, Math.log1p(buckets.length)],
  }
}

/** The same for a text. */
export function reflexOpinionOfText(reflex: Reflex, text: string): Opinion {
  return reflexOpinion(reflex, hashFeatures(text, reflex.bits))
}
