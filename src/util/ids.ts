/** Identifiers: a prefix that names the kind, then a ULID, so that ids sort by time. */
import { monotonicFactory } from 'ulid'
import { randomUnit } from './rng.ts'

// Its own source asks the system once per character.
const ulid = monotonicFactory(randomUnit)

/** What an id may name; the prefix is part of the id. */
export type IdPrefix = 'dec' | 'req' | 'job' | 'task' | 'cert' | 'spec' | 'wr' | 'set'

/** A new id such as `dec_01J…`; unique, sortable by creation within a process. */
export function newId(prefix: IdPrefix): string {
  return `${prefix}_${ulid()}`
}
