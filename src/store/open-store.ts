/** The questions one may ask of the projection, in SQL. Knows no ledger files and no driver. */
import type { ServedBy } from '../ledger/index.ts'
import { sha256 } from '../platform/index.ts'
import { insertRows } from './bulk.ts'
import type { Database, Queryable, Row, Value } from './database.ts'
import { migrate, PROJECTED_TABLES } from './migrations.ts'
import {
  CERTIFICATE,
  certificateColumns,
  DROPPED_GROUP,
  ERASED_TRACE,
  identityKey,
  numberOrNull,
  SPECIALIST,
  SPLIT_ASSIGNMENT,
  specialistColumns,
  TASK,
  TRACE,
  TRANSITION,
  taskColumns,
  toCertificate,
  toCursor,
  toSpecialist,
  toTask,
  toTrace,
  traceColumns,
  transitionColumns,
} from './tables.ts'
import {
  type CursorStep,
  ERASED_CONTENT,
  type LiveRow,
  type ProjectionBatch,
  type Store,
  type TaskCount,
} from './types.ts'

const LATEST_STATE = `(select distinct on (specialist) specialist, task, to_state, certificate, threshold, place
  from transition order by specialist, place desc)`

const SPECIALIST_ROWS = `select s.*, coalesce(l.to_state, 'candidate') as state
  from specialist s left join ${LATEST_STATE} l on l.specialist = s.hash`

const TASK_ROWS = `select t.*, min(r.time) as first_time, max(r.time) as newest_time,
  count(*) as trace_count, count(distinct r.input_hash) as distinct_input_count
  from task t join trace r on r.task = t.id`

/**
 * The store on a database. Brings the tables up to date when first used, and tries again while the database is away.
 * @throws nothing here; every call throws store-unavailable while the database is away
 */
export function openStore(database: Database): Store {
  let migrated: Promise<void> | null = null

  const ready = (): Promise<void> => {
    migrated ??= migrate(database).catch(error => {
      migrated = null
      throw error
    })
    return migrated
  }
  const ask = async (sql: string, values: readonly Value[] = []): Promise<readonly Row[]> => {
    await ready()
    return database.query(sql, values)
  }
  const one = async <T>(sql: string, id: string, map: (row: Row) => T): Promise<T | null> => {
    const [row] = await ask(sql, [id])
    return row === undefined ? null : map(row)
  }

  return {
    async apply(batch) {
      await ready()
      await database.transaction(tx => applyBatch(tx, batch))
    },
    cursors: async () => (await ask('select * from ledger_cursor order by writer')).map(toCursor),
    knownIdentities: identities => knownIdentities(ask, identities),
    trace: id => one('select * from trace where id = $1', id, toTrace),
    async *tracesOfTask(task, { independentOnly = false, pageSize = 1000 } = {}) {
      let after: readonly [string, string] = ['', '']
      for (;;) {
        const rows = await ask(
          `select * from trace where task = $1 and (time, id) > ($2, $3)
           and (is_independent or not $4) order by time, id limit $5`,
          [task, ...after, independentOnly, pageSize],
        )
        const page = rows.map(toTrace)
        const last = page.at(-1)
        if (last === undefined) return
        yield page
        if (page.length < pageSize) return
        after = [last.time, last.id]
      }
    },
    traceCount: async () => Number((await ask('select count(*) as n from trace'))[0]?.n),
    async tasks() {
      const rows = await ask(`${TASK_ROWS} group by t.id order by trace_count desc, t.id`)
      return rows.map(toTaskCount)
    },
    task: id => one(`${TASK_ROWS} where t.id = $1 group by t.id`, id, toTask),
    async assignments(task) {
      const rows = await ask(
        `select a.input_hash, a.group_id,
           case when d.group_id is null then a.side else 'training' end as side
         from split_assignment a
         left join dropped_group d on d.task = a.task and d.group_id = a.group_id
         where a.task = $1 order by a.place, a.input_hash`,
        [task],
      )
      return rows.map(row => ({
        inputHash: row.input_hash as string,
        group: row.group_id as string,
        side: row.side as 'training' | 'certification',
      }))
    },
    async specialists(task) {
      const rows = await ask(
        `${SPECIALIST_ROWS} where $1::text is null or s.task = $1 order by s.place`,
        [task ?? null],
      )
      return rows.map(toSpecialist)
    },
    specialist: hash => one(`${SPECIALIST_ROWS} where s.hash = $1`, hash, toSpecialist),
    async certificates(task) {
      const rows = await ask(
        'select * from certificate where $1::text is null or task = $1 order by place',
        [task ?? null],
      )
      return rows.map(toCertificate)
    },
    certificate: id => one('select * from certificate where id = $1', id, toCertificate),
    async live() {
      const rows = await ask(
        `select distinct on (task) task, specialist, certificate, threshold
         from ${LATEST_STATE} l where to_state = 'live' order by task, place desc`,
      )
      return rows.map(toLive)
    },
    async servedSince(time) {
      const rows = await ask(
        `select served_by, model, count(*) as n, coalesce(sum(prompt_tokens), 0) as prompt_tokens,
           coalesce(sum(completion_tokens), 0) as completion_tokens
         from trace where served_by is not null and source = 'gateway' and time >= $1
         group by served_by, model order by served_by, model`,
        [time],
      )
      return rows.map(row => ({
        servedBy: row.served_by as ServedBy,
        model: row.model as string | null,
        count: Number(row.n),
        promptTokens: Number(row.prompt_tokens),
        completionTokens: Number(row.completion_tokens),
      }))
    },
    async reset() {
      await ready()
      await database.query(`truncate ${PROJECTED_TABLES.join(', ')}`)
    },
    close: () => database.close(),
  }
}

async function applyBatch(tx: Queryable, batch: ProjectionBatch): Promise<void> {
  const { splits, erasedTraces } = batch
  const erased = erasedTraces.map(({ id, identityHash }) => ({ id, identity_hash: identityHash }))
  await insertRows(tx, ERASED_TRACE, erased)
  await insertRows(tx, TRACE, batch.traces.map(traceColumns))
  await insertRows(tx, TASK, batch.tasks.map(taskColumns))
  await insertRows(
    tx,
    SPLIT_ASSIGNMENT,
    splits.flatMap(({ task, assignments, place }) =>
      assignments.map(({ inputHash, group, side }) => ({
        task,
        input_hash: inputHash,
        group_id: group,
        side,
        place,
      })),
    ),
  )
  await insertRows(
    tx,
    DROPPED_GROUP,
    splits.flatMap(({ task, droppedGroups }) =>
      droppedGroups.map(group => ({ task, group_id: group })),
    ),
  )
  await insertRows(tx, SPECIALIST, batch.specialists.map(specialistColumns))
  await insertRows(tx, CERTIFICATE, batch.certificates.map(certificateColumns))
  await insertRows(tx, TRANSITION, batch.transitions.map(transitionColumns))
  if (erased.length > 0) {
    await tx.query(
      `delete from trace where id in (select value from json_array_elements_text($1::json))`,
      [JSON.stringify(erased.map(({ id }) => id))],
    )
  }
  for (const cursor of batch.cursors) await moveCursor(tx, cursor)
}

/** Forward only, and only from where it stands: a batch that leaves a gap behind must be read again from the ledger. */
async function moveCursor(tx: Queryable, step: CursorStep): Promise<void> {
  const { writer, segment, offset, seq, hash, fromSeq } = step
  const values = [writer, segment, offset, seq, hash]
  if (fromSeq <= 0) {
    await tx.query(
      `insert into ledger_cursor (writer, segment, byte_offset, seq, hash)
       values ($1, $2, $3, $4, $5) on conflict (writer) do nothing`,
      values,
    )
  }
  await tx.query(
    `update ledger_cursor set segment = $2, byte_offset = $3, seq = $4, hash = $5
     where writer = $1 and seq < $4 and seq >= $6`,
    [...values, fromSeq - 1],
  )
}

async function knownIdentities(
  ask: (sql: string, values: readonly Value[]) => Promise<readonly Row[]>,
  identities: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  const known = new Map<string, string>()
  if (identities.length === 0) return known
  const byKey = new Map(identities.map(identity => [identityKey(identity), identity]))
  const byHash = new Map(identities.map(identity => [sha256(identity), identity]))
  const erased = await ask(
    `select identity_hash from erased_trace
     where identity_hash in (select value from json_array_elements_text($1::json))`,
    [JSON.stringify([...byHash.keys()])],
  )
  for (const row of erased) {
    const identity = byHash.get(row.identity_hash as string)
    if (identity !== undefined) known.set(identity, ERASED_CONTENT)
  }
  const rows = await ask(
    `select identity, content_hash from trace
     where identity in (select value from json_array_elements_text($1::json)) order by time desc, id desc`,
    [JSON.stringify([...byKey.keys()])],
  )
  for (const row of rows) {
    const identity = byKey.get(row.identity as string)
    if (identity !== undefined) known.set(identity, row.content_hash as string)
  }
  return known
}

function toTaskCount(row: Row): TaskCount {
  return {
    task: toTask(row),
    traceCount: Number(row.trace_count),
    distinctInputCount: Number(row.distinct_input_count),
    newestTime: row.newest_time as string,
  }
}

function toLive(row: Row): LiveRow {
  return {
    task: row.task as string,
    specialist: row.specialist as string,
    certificate: row.certificate as string | null,
    threshold: numberOrNull(row.threshold),
  }
}
