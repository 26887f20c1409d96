/** Turns a text into hashed word and character n-grams; portable, and knows nothing of classes or weights. */

/** Sparse features of one text: bucket numbers, ascending and distinct, and how often each occurred. */
export interface HashedFeatures {
  readonly buckets: Int32Array
  /** Number of leading entries of `buckets` that come from words; the rest come from characters. */
  readonly wordCount: number
  readonly counts: Float32Array
}

/** What is read of a text at most, so that 50 kB inputs cost no more than a page. */
const MAX_WORD_CHARS = 4096
const MAX_CHAR_CHARS = 1536
const SHORTEST_GRAM = 3
const LONGEST_GRAM = 5

const TOKEN = /[\p{L}\p{M}\p{N}_]+|[^\s\p{L}\p{M}\p{N}_]/gu
/** Scripts written without blanks, where one or two characters already are a word. */
const DENSE_SCRIPT =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]/u

function finalise(hash: number): number {
  let h = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

function hashText(text: string, seed: number): number {
  let h = seed
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193)
  return h
}

/** The tokens of a text, lower-cased in NFKC: runs of letters and digits, and single marks of punctuation. */
export function tokenise(text: string): string[] {
  const head = text.slice(0, MAX_WORD_CHARS).normalize('NFKC').toLowerCase()
  return head.slice(0, MAX_WORD_CHARS).match(TOKEN) ?? []
}

function wordHashes(tokens: readonly string[]): number[] {
  const hashes: number[] = []
  let previous = hashText('^', 0x811c9dc5)
  for (const token of tokens) {
    const own = hashText(token, 0x811c9dc5)
    hashes.push(finalise(own), finalise(Math.imul(previous, 0x01000193) ^ own))
    previous = own
  }
  return hashes
}

function gramHashes(tokens: readonly string[]): number[] {
  const hashes: number[] = []
  let charsLeft = MAX_CHAR_CHARS
  for (const token of tokens) {
    if (charsLeft <= 0) break
    const padded = ` ${token.slice(0, charsLeft)} `
    charsLeft -= token.length
    const shortest = DENSE_SCRIPT.test(token) ? 1 : SHORTEST_GRAM
    for (let start = 0; start < padded.length; start++) {
      let h = 0x2f0b4a27
      const end = Math.min(start + LONGEST_GRAM, padded.length)
      for (let i = start; i < end; i++) {
        h = Math.imul(h ^ padded.charCodeAt(i), 0x01000193)
        if (i - start + 1 >= shortest) hashes.push(finalise(h))
      }
    }
  }
  return hashes
}

function sortedBuckets(hashes: readonly number[], mask: number, offset: number): Int32Array {
  const buckets = new Int32Array(hashes.length)
  for (let i = 0; i < hashes.length; i++) buckets[i] = ((hashes[i] as number) & mask) + offset
  return buckets.sort()
}

/**
 * Features of a text in `2 ** bits` buckets: the lower half holds words and word pairs, the upper half the
 * character 3- to 5-grams of each token (from single characters on in scripts without blanks).
 */
export function hashFeatures(text: string, bits: number): HashedFeatures {
  const tokens = tokenise(text)
  const half = 2 ** (bits - 1)
  const words = sortedBuckets(wordHashes(tokens), half - 1, 0)
  const grams = sortedBuckets(gramHashes(tokens), half - 1, half)
  const buckets = new Int32Array(words.length + grams.length)
  const counts = new Float32Array(buckets.length)
  let length = 0
  let wordCount = 0
  for (const side of [words, grams]) {
    for (const bucket of side) {
      if (length > 0 && buckets[length - 1] === bucket) {
        counts[length - 1] = (counts[length - 1] as number) + 1
      } else {
        buckets[length] = bucket
        counts[length++] = 1
      }
    }
    if (side === words) wordCount = length
  }
  return { buckets: buckets.slice(0, length), wordCount, counts: counts.slice(0, length) }
}

/**
 * Weights of the features: (1 + ln count) · idf, words and characters each scaled to length √½, so that neither
 * side drowns the other. Buckets with idf 0 (never seen in fitting) weigh nothing.
 */
export function weighFeatures(features: HashedFeatures, idf: Float32Array): Float32Array {
  const { buckets, counts, wordCount } = features
  const values = new Float32Array(buckets.length)
  const weigh = (from: number, to: number): void => {
    let squares = 0
    for (let i = from; i < to; i++) {
      const value = (1 + Math.log(counts[i] as number)) * (idf[buckets[i] as number] as number)
      values[i] = value
      squares += value * value
    }
    if (squares === 0) return
    const scale = Math.SQRT1_2 / Math.sqrt(squares)
    for (let i = from; i < to; i++) values[i] = (values[i] as number) * scale
  }
  weigh(0, wordCount)
  weigh(wordCount, buckets.length)
  return values
}
