/** Populations of short texts with the lead's answers, made up so that promises about them can be checked exactly. */
import { createRng, type Rng } from '../../src/util/index.ts'

/** One request as the lead answered it. */
export interface Request {
  readonly input: string
  readonly label: string
}

/** The requests of one input group: usually one, several where inputs come back or are nearly the same. */
export interface Family {
  readonly requests: readonly Request[]
}

export interface PopulationOptions {
  /** Distinct inputs. */
  readonly size: number
  readonly labels?: readonly string[]
  /** Each text draws from this range the share of its words that speak for its label; the rest is noise. */
  readonly clarity?: readonly [number, number]
  /** Probability that the lead's answer has nothing to do with the text. */
  readonly noise?: number
  /** What it answers then. */
  readonly noiseLabel?: (rng: Rng) => string
}

const WORDS_PER_TEXT = 5
const WORDS_PER_LABEL = 12
const COMMON_WORDS = 40

/** `size` distinct texts, one request each: some obvious, some ambiguous, some answered at random. */
export function makePopulation(seed: string, options: PopulationOptions): Family[] {
  const { size, labels = ['refund', 'card'], clarity = [0, 0.9], noise = 0.02 } = options
  const { noiseLabel = rng => rng.pick(labels) } = options
  const rng = createRng(`population/${seed}`)
  const words = vocabulary(rng, COMMON_WORDS + labels.length * WORDS_PER_LABEL)
  const common = words.slice(0, COMMON_WORDS)
  const families = new Map<string, Family>()
  while (families.size < size) {
    const number = rng.int(labels.length)
    const from = COMMON_WORDS + number * WORDS_PER_LABEL
    const own = words.slice(from, from + WORDS_PER_LABEL)
    const share = clarity[0] + (clarity[1] - clarity[0]) * rng.next()
    const text = Array.from({ length: WORDS_PER_TEXT }, () =>
      rng.pick(rng.next() < share ? own : common),
    )
    const label = rng.next() < noise ? noiseLabel(rng) : (labels[number] as string)
    const input = text.join(' ')
    families.set(input, { requests: [{ input, label }] })
  }
  return [...families.values()]
}

/** Made-up words, pronounceable and far apart, so that no two texts are near-duplicates by accident. */
function vocabulary(rng: Rng, count: number): string[] {
  const onsets = 'b c d f g h k l m n p r s t v z br dr gl kr pl st tr'.split(' ')
  const nuclei = 'a e i o u ai ea io ou'.split(' ')
  const syllable = () => rng.pick(onsets) + rng.pick(nuclei)
  const words = new Set<string>()
  while (words.size < count) words.add(syllable() + syllable() + syllable())
  return [...words]
}
