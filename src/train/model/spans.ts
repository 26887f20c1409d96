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
  for (const { start, end, label } of ordered) {
    const index = labels.indexOf(label)
    const touched = words.flatMap((word, i) => (word.start < end && word.end > start ? [i] : []))
    if (index < 0 || touched.some(i => bio[i] !== 0)) continue
    touched.forEach((word, i) => {
      bio[word] = 1 + 2 * index + (i === 0 ? 0 : 1)
    })
  }
  return bio
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
