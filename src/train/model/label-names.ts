/** Names of labels as texts to learn from: `card_arrival` says what its rows are about. Knows no tokens. */
import type { LabelledRow } from './labelled-rows.ts'

/** Three letters in a row: below that it is a number or a code. */
const A_WORD = /\p{L}{3}/u

/** A row for each label that holds a word; the words apart, however they were joined. */
export function labelNameRows(labels: readonly string[]): LabelledRow[] {
  return labels
    .map(label => ({ label, text: wordsOf(label) }))
    .filter(({ text }) => A_WORD.test(text))
}

/** @example wordsOf('cardArrival/lost_card') // 'card Arrival lost card' */
function wordsOf(label: string): string {
  return label
    .replace(/(\p{Ll})(\p{Lu})/gu, '$1 $2')
    .split(/[\s_./:|-]+/u)
    .filter(part => part !== '')
    .join(' ')
}
