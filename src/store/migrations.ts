/** The tables, as steps that are each taken once. A published step is never edited; a new one is added. */
import type { Database } from './database.ts'

/** `place` says where in the ledger a row comes from; of two rows with one key, the earlier place wins. */
const MIGRATIONS: readonly (readonly string[])[] = [
  [
    `create table trace (
      id text primary key, identity text not null, content_hash text not null,
      writer text not null, seq bigint not null, segment integer not null, byte_offset bigint not null,
      hash text not null, time text collate "C" not null, source text not null, app text, endpoint text not null,
      model text, status integer not null, latency_ms double precision, prompt_tokens bigint,
      completion_tokens bigint, is_complete boolean not null, task text, input_hash text, served_by text,
      reason text, specialist text, certificate text, confidence double precision,
      is_independent boolean not null)`,
    'create index trace_identity on trace (identity)',
    'create index trace_task on trace (task, time, id) where task is not null',
    'create index trace_served on trace (time) where served_by is not null',
    `create table erased_trace (id text primary key, identity_hash text)`,
    'create index erased_identity on erased_trace (identity_hash)',
    `create table task (
      id text primary key, name text not null, is_declared boolean not null, key text not null,
      place text collate "C" not null)`,
    `create table split_assignment (
      task text, input_hash text, group_id text not null, side text not null,
      place text collate "C" not null, primary key (task, input_hash))`,
    'create table dropped_group (task text, group_id text, primary key (task, group_id))',
    `create table specialist (
      hash text primary key, task text not null, task_name text not null, tier text not null,
      manifest text not null, time text collate "C" not null, place text collate "C" not null)`,
    `create table certificate (
      id text primary key, task text not null, specialist text not null, certification_set text not null,
      look integer not null, newest_time text, outcome text not null, time text collate "C" not null,
      place text collate "C" not null)`,
    `create table transition (
      place text collate "C" primary key, task text not null, specialist text not null, from_state text not null,
      to_state text not null, decided_by text not null, certificate text, threshold double precision,
      time text collate "C" not null)`,
    `create table ledger_cursor (
      writer text primary key, segment integer not null, byte_offset bigint not null, seq bigint not null,
      hash text not null)`,
  ],
]

/** Tables that the ledger can fill again. */
export const PROJECTED_TABLES = [
  'trace',
  'erased_trace',
  'task',
  'split_assignment',
  'dropped_group',
  'specialist',
  'certificate',
  'transition',
  'ledger_cursor',
] as const

/** Any number, the same for every process that migrates. */
const LOCK = 7_203_114

/**
 * Takes the steps that this database has not taken yet; several processes may call it at once.
 * @throws store-unavailable
 */
export async function migrate(database: Database): Promise<void> {
  await database.transaction(async tx => {
    await tx.query(`select pg_advisory_xact_lock(${LOCK})`)
    await tx.query('create table if not exists migration (id integer primary key)')
    const taken = new Set((await tx.query('select id from migration')).map(row => row.id))
    for (const [id, statements] of MIGRATIONS.entries()) {
      if (taken.has(id)) continue
      for (const statement of statements) await tx.query(statement)
      await tx.query('insert into migration (id) values ($1)', [id])
    }
  })
}
