/** Between marked spans of a text and labels of its words, in the scheme BIO. Knows no model. */
import type { Span } from './labelled-rows.ts'

/** A word or a punctuation mark, and where it stands, in UTF-16 code units. */
export interface Word {
  readonly text: string
  readonly start: number
  readonly end: number
}

/**
 * Cut where every tokenizer of the BERT family cuts at least: white space, punctuation, symbols and East Asian characters, so
 * that words give the same tokens one by one as together.
 */
const WORD =
  /[\p{P}\p{S}]|[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}]|[^\s\p{P}\p{S}\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}]+/gu

export function splitWords(text: string): Word[] {
  return Array.from(text.matchAll(WORD), match => ({
    text: match[0],
    start: match.index,
    end: match.index + match[0].length,
  }))
}

/** Names of the outputs for some labels: `O`, then `B-x` and `I-x` of each. */
export function bioLabels(labels: readonly string[]): string[] {
  return ['O', ...labels.flatMap(label => [`B-${label}`, `I-${label}`])]
}

/**
 * For each word the number of its output in `bioLabels`. A span takes every word that it touches, so that marks that begin or
 * end inside a word still count; of overlapping spans the one that begins first, and of those the longer, takes the words.
 */
export function spansToBio(
  words: readonly Word[],
  spans: readonly Span[],
  labels: readonly string[],
): Int32Array {
  const bio = new Int32Array(words.length)
  const ordered = [...spans].sort((a, b) => a.start - b.start || b.end - a.end)
  const indexOf = new Map(labels.map((label, i) => [label, i]))
  for (const span of ordered) {
    const index = indexOf.get(span.label)
    const { first, after } = touchedWords(words, span)
    // Spans come by their beginnings: where the first word is free, so are all after it.
    if (index === undefined || bio[first] !== 0) continue
    for (let word = first; word < after; word++) bio[word] = 1 + 2 * index + (word > first ? 1 : 0)
  }
  return bio
}

/** Numbers of the words that a span touches, from `first` to before `after`; equal where it touches none. */
export function touchedWords(
  words: readonly Word[],
  { start, end }: Pick<Span, 'start' | 'end'>,
): { readonly first: number; readonly after: number } {
  const first = countWhile(words, word => word.end <= start)
  return {
    first,
    after: Math.max(
      first,
      countWhile(words, word => word.start < end),
    ),
  }
}

/** How many items at the beginning have a property that none has after the first without it. */
function countWhile<T>(items: readonly T[], has: (item: T) => boolean): number {
  let [low, high] = [0, items.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (has(items[middle] as T)) low = middle + 1
    else high = middle
  }
  return low
}

/** The spans that labels of words say. An `I` that follows no word of its label begins a span, as in conlleval. */
export function bioToSpans(
  words: readonly Word[],
  bio: ArrayLike<number>,
  labels: readonly string[],
): Span[] {
  const spans: { start: number; end: number; label: string }[] = []
  let open = -1
  for (const [i, word] of words.entries()) {
    const value = bio[i] ?? 0
    const index = value === 0 ? -1 : Math.floor((value - 1) / 2)
    const continues = index >= 0 && value % 2 === 0 && index === open
    if (continues) (spans.at(-1) as { end: number }).end = word.end
    else if (index >= 0)
      spans.push({ start: word.start, end: word.end, label: labels[index] as string })
    open = index
  }
  return spans
}
