/** Adds up the deltas of a stream into the value they describe, fields that nobody has heard of included. Knows no API. */
import { isObject } from './json.ts'

/** Fields that repeat or replace rather than continue: labels, never texts. */
const LABELS: ReadonlySet<string> = new Set([
  'id',
  'type',
  'role',
  'index',
  'object',
  'format',
  'finish_reason',
])

/** Longest list of items whose index may be given: an index beyond it is taken for a lie. */
const MAX_INDEX = 4096

/**
 * Adds a delta to what came before, in place: texts continue, lists grow (an item with an `index` continues the item of
 * that index), objects are added field by field, all else replaces. Null adds nothing.
 */
export function addDelta(total: Record<string, unknown>, delta: Readonly<Record<string, unknown>>) {
  for (const [name, value] of Object.entries(delta)) {
    if (name === '__proto__') continue
    const before = Object.hasOwn(total, name) ? total[name] : undefined
    if (value === null || value === undefined) total[name] = before ?? null
    else if (LABELS.has(name)) total[name] = value
    else total[name] = sum(before, value)
  }
}

function sum(before: unknown, value: unknown): unknown {
  if (typeof value === 'string') return typeof before === 'string' ? before + value : value
  if (Array.isArray(value)) return addItems(Array.isArray(before) ? before : [], value)
  if (isObject(value)) {
    const total = isObject(before) ? (before as Record<string, unknown>) : {}
    addDelta(total, value)
    return total
  }
  return value
}

function addItems(items: unknown[], more: readonly unknown[]): unknown[] {
  for (const [position, item] of more.entries()) {
    const at = isObject(item) ? indexOf(item, position) : null
    if (at === null) {
      items.push(item)
      continue
    }
    const known = items.find(one => isObject(one) && one.index === at)
    const total = (known ?? { index: at }) as Record<string, unknown>
    addDelta(total, item as Readonly<Record<string, unknown>>)
    if (known === undefined) items.push(total)
  }
  return items
}

/** The index that an item continues: its own; its place where it is a tool call, which some servers do not number. */
function indexOf(item: Readonly<Record<string, unknown>>, position: number): number | null {
  const { index } = item
  if (Number.isInteger(index) && (index as number) >= 0 && (index as number) <= MAX_INDEX) {
    return index as number
  }
  return index === undefined && isObject(item.function) ? position : null
}

/** A list in the order of its items' indexes, and without them. */
export function withoutIndexes(items: unknown): unknown {
  if (!Array.isArray(items) || !items.every(item => isObject(item) && 'index' in item)) return items
  return [...items]
    .sort((a, b) => Number(a.index) - Number(b.index))
    .map(({ index: _, ...rest }: Record<string, unknown>) => rest)
}
