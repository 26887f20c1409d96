/** Inserts many rows in one statement. Knows columns and conflicts, not what the tables mean. */
import type { Queryable } from './database.ts'

/** How rows of one table are written. */
export interface BulkTable {
  readonly table: string
  /** Column → SQL type. */
  readonly columns: Readonly<Record<string, string>>
  readonly key: readonly string[]
  /** `keep`: the row that is there stays; `earliest`: the one with the smaller `place` does. */
  readonly conflict: 'keep' | 'earliest'
  /** Condition on the incoming row `r`. */
  readonly where?: string
}

type BulkRow = Readonly<Record<string, string | number | boolean | null>>

/** Inserts rows; within one call and against the table, the conflict rule decides. */
export async function insertRows(
  tx: Queryable,
  table: BulkTable,
  rows: readonly BulkRow[],
): Promise<void> {
  if (rows.length === 0) return
  await tx.query(insertSql(table), [storableJson(rows)])
}

function insertSql({ table, columns, key, conflict, where = 'true' }: BulkTable): string {
  const names = Object.keys(columns)
  const types = names.map(name => `${name} ${columns[name]}`)
  const order = conflict === 'earliest' ? [...key, 'place collate "C"'] : key
  const updates = names
    .filter(name => !key.includes(name))
    .map(name => `${name} = excluded.${name}`)
  const onConflict =
    conflict === 'keep'
      ? 'do nothing'
      : `do update set ${updates.join(', ')} where excluded.place < ${table}.place`
  return `insert into ${table} (${names.join(', ')})
    select distinct on (${key.join(', ')}) ${names.join(', ')}
    from json_to_recordset($1::json) as r(${types.join(', ')}) where ${where}
    order by ${order.join(', ')}
    on conflict (${key.join(', ')}) ${onConflict}`
}

/** What JSON makes of NUL and of half a surrogate pair, and of texts that spell it out. */
const MAYBE_UNSTORABLE = /\\u(?:0000|d[89a-f])/u

/** Only rows that need it pay for a call for each of their values. */
function storableJson(rows: readonly BulkRow[]): string {
  const text = JSON.stringify(rows)
  return MAYBE_UNSTORABLE.test(text) ? JSON.stringify(rows, storable) : text
}

/** Postgres takes neither NUL nor half a surrogate pair in text. */
function storable(_key: string, value: unknown): unknown {
  if (typeof value !== 'string') return value
  return value
    .replaceAll('\0', '\uFFFD')
    .replace(/[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/g, '\uFFFD')
}
