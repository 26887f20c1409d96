/** Rows of text and label by what compressing uses them for. Knows no model. */
import { UnderstudyError } from '../errors.ts'
import { splitInputs } from '../tasks/index.ts'
import type { LabelledRows } from '../train/index.ts'
import { isObject } from '../wire/index.ts'
import { type Columns, findColumns } from './columns.ts'
import { openSource, readSource } from './import/source.ts'
import { checkEncoding, missingColumns, noRows } from './train-data.ts'

export interface Row {
  readonly text: string
  readonly label: string
}

export interface CompressRoles {
  readonly training: LabelledRows
  /** Null where the training rows are to be split for it. */
  readonly selection: LabelledRows | null
  /** One row of each group of near-duplicates, so that the look is at distinct inputs. */
  readonly certification: LabelledRows
}

/** Of rows held out one part in this many selects, the rest certifies. */
const SELECTION_PART = 3
const NAMES_HELP =
  'Name its columns text and label: in the header of CSV, or in one JSON object per line.'

/** @throws file-unreadable; request-invalid where no record has a text and a label, or for another encoding than UTF-8 */
export async function readRows(path: string): Promise<{ rows: Row[]; brokenCount: number }> {
  const rows: Row[] = []
  const source = await openSource(path)
  let columns: Columns | null = null
  let first: Readonly<Record<string, unknown>> | null = null
  let unreadable: { line: number; reason: string } | null = null
  let brokenCount = 0
  for await (const items of readSource(source)) {
    for (const item of items) {
      const record = 'reason' in item || !isObject(item.value) ? null : item.value
      if (record === null) unreadable ??= { reason: 'not an object', ...item }
      first ??= record
      if (record !== null) columns ??= columnsOf(record)
      const row = record === null || columns === null ? null : rowOf(record, columns)
      if (row === null) brokenCount++
      else rows.push(row)
    }
  }
  const replaced = rows.filter(({ text }) => text.includes('\ufffd')).length
  checkEncoding(path, { replaced, rowCount: rows.length })
  if (rows.length > 0) return { rows, brokenCount }
  if (first === null) throw noRows(source, unreadable)
  if (columns === null) {
    const { missing } = findColumns('label', first)
    throw missingColumns(path, { missing, record: first }, NAMES_HELP)
  }
  throw new UnderstudyError('request-invalid', `${path} has no record with a text and a label.`, {
    help: 'Give a file with a text and a label in every row.',
  })
}

/** As `train` finds them; null where they are not all there. */
function columnsOf(record: Readonly<Record<string, unknown>>): Columns | null {
  const { columns, missing } = findColumns('label', record)
  return missing.length === 0 ? columns : null
}

function rowOf(record: Readonly<Record<string, unknown>>, columns: Columns): Row | null {
  const cell = (column: 'text' | 'label'): string => {
    const value = record[columns.get(column) as string]
    const isPlain = ['string', 'number', 'boolean'].includes(typeof value)
    return isPlain ? String(value) : ''
  }
  const [text, label] = [cell('text'), cell('label').trim()]
  return text.trim() === '' || label === '' ? null : { text, label }
}

/**
 * Without rows held out a fifth of the groups certifies. With them they select and certify, those left out that are
 * near-duplicates of a training row.
 */
export function splitRoles(
  rows: readonly Row[],
  heldOut: readonly Row[] | null,
  { labels, seed }: { readonly labels: readonly string[]; readonly seed: number },
): CompressRoles {
  const all = [...rows, ...(heldOut ?? [])]
  const { ofInput } = splitInputs({ inputs: all.map(row => row.text), salt: `${seed}` })
  const groups = new Map<string, number>()
  const roles = {
    training: [] as number[],
    selection: [] as number[],
    certification: [] as number[],
  }
  for (const [i, { group, side }] of ofInput.entries()) {
    const isNew = !groups.has(group)
    if (isNew) groups.set(group, groups.size)
    const isTraining = heldOut === null ? side === 'training' : i < rows.length
    if (isTraining) roles.training.push(i)
    else if (isNew) {
      const selects = heldOut !== null && (groups.get(group) as number) % SELECTION_PART === 0
      roles[selects ? 'selection' : 'certification'].push(i)
    }
  }
  const classes = new Map(labels.map((label, i) => [label, i]))
  const pick = (list: readonly number[]): LabelledRows => ({
    inputs: list.map(i => (all[i] as Row).text),
    labels: Int32Array.from(list, i => classes.get((all[i] as Row).label) as number),
    groups: Int32Array.from(list, i => groups.get(ofInput[i]?.group as string) as number),
  })
  return {
    training: pick(roles.training),
    selection: heldOut === null ? null : pick(roles.selection),
    certification: pick(roles.certification),
  }
}
