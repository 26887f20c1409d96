/** Few-shot fitting, in which rows are compared with each other as well (Khosla et al. 2020): when it can be done. */
import { UnderstudyError } from '../../errors.ts'
import type { EncoderConfig } from '../../models/index.ts'
import { classesOf, type TrainingRows } from '../model/training-rows.ts'

/** @throws request-invalid where rows of a class cannot be compared: says why, and what to use instead */
export function checkComparable(rows: TrainingRows, { pooling }: EncoderConfig): void {
  const wrong = (what: string, help: string) =>
    new UnderstudyError('request-invalid', `These rows cannot be compared: ${what}.`, { help })
  if ((rows.kind ?? 'single-label') !== 'single-label') {
    throw wrong('they have several labels or label tokens', 'Use the method full or lora.')
  }
  if (pooling === 'pooler') {
    throw wrong('this encoder ends in a pooler', 'Use a sentence encoder, or the method full.')
  }
  const subset = rows.subset ?? [...rows.sequences.keys()]
  const classes = classesOf(rows, subset)
  if (new Set(classes).size === classes.length) {
    throw wrong('no two of them have the same label', 'Give two rows of at least one label.')
  }
}
