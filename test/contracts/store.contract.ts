/** What every database must do for the store. Each test gets a database of its own, and leaves nothing behind. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { SplitPayload } from '../../src/ledger/index.ts'
import { sha256 } from '../../src/platform/index.ts'
import {
  type Database,
  ERASED_CONTENT,
  openStore,
  type ProjectionBatch,
  type Store,
  type TraceRow,
} from '../../src/store/index.ts'

const NOTHING: ProjectionBatch = {
  cursors: [],
  traces: [],
  tasks: [],
  splits: [],
  specialists: [],
  certificates: [],
  transitions: [],
  erasedTraces: [],
}

function batch(part: Partial<ProjectionBatch>): ProjectionBatch {
  return { ...NOTHING, ...part }
}

function row(n: number, change: Partial<TraceRow> = {}): TraceRow {
  const id = `dec_${String(n).padStart(6, '0')}`
  return {
    id,
    identity: `line-${n}`,
    contentHash: `content-${n}`,
    position: { writer: 'wr_1', seq: n, segment: 0, offset: n * 100, hash: `h${n}` },
    time: new Date(Date.UTC(2026, 0, 1) + n * 1000).toISOString(),
    source: 'gateway',
    app: 'desk',
    endpoint: '/v1/chat/completions',
    model: 'big',
    status: 200,
    latencyMs: 12.5,
    promptTokens: 10,
    completionTokens: 2,
    isComplete: true,
    task: 'task_a',
    inputHash: `input-${n % 10}`,
    servedBy: 'lead',
    reason: null,
    specialist: null,
    certificate: null,
    confidence: null,
    isIndependent: n % 2 === 0,
    ...change,
  }
}

const task = (id: string, place = '1') => ({
  id,
  name: `name of ${id}`,
  isDeclared: false,
  key: { app: 'desk', nested: [1, 'ü', null] },
  firstTime: '2026-01-01T00:00:00.000Z',
  place,
})

const cursor = (seq: number, fromSeq: number) => ({
  writer: 'wr_1',
  segment: 0,
  offset: seq * 100,
  seq,
  hash: `h${seq}`,
  fromSeq,
})

/** `make` opens an empty database; its `drop` removes it again. */
export function runStoreContract(
  name: string,
  make: () => Promise<{ database: Database; drop(): Promise<void> }>,
): void {
  describe(`store on ${name}`, () => {
    let database: Database
    let store: Store
    let drop: () => Promise<void>

    beforeAll(async () => {
      const made = await make()
      database = made.database
      drop = made.drop
      store = openStore(database)
      // The embedded database is made when first used, which takes seconds.
      await store.traceCount()
    }, 60_000)
    beforeEach(() => store.reset())
    afterAll(async () => {
      await store?.close()
      await drop?.()
    }, 60_000)

    it('takes thousands of traces at once and gives each back as it was', async () => {
      const traces = Array.from({ length: 3_000 }, (_, n) => row(n))
      await store.apply(batch({ traces, tasks: [task('task_a')] }))
      expect(await store.traceCount()).toBe(3_000)
      expect(await store.trace('dec_002999')).toEqual(traces[2_999])
      expect(await store.trace('dec_999999')).toBeNull()
    })

    it('changes nothing when a batch is applied again, also partly', async () => {
      const traces = [row(1), row(2)]
      const first = batch({ traces, tasks: [task('task_a')], cursors: [cursor(2, 0)] })
      await store.apply(first)
      await store.apply(first)
      await store.apply(batch({ traces: [row(2), row(3)], cursors: [cursor(3, 2)] }))
      expect(await store.traceCount()).toBe(3)
      expect(await store.cursors()).toEqual([expect.objectContaining({ seq: 3, offset: 300 })])
    })

    it('moves a cursor neither back nor over a gap', async () => {
      const seqAfter = async (seq: number, fromSeq: number) => {
        await store.apply(batch({ cursors: [cursor(seq, fromSeq)] }))
        return (await store.cursors())[0]?.seq
      }
      expect(await seqAfter(7, 3)).toBeUndefined()
      expect(await seqAfter(4, 0)).toBe(4)
      expect(await seqAfter(2, 0)).toBe(4)
      expect(await seqAfter(9, 6)).toBe(4)
      expect(await seqAfter(9, 5)).toBe(9)
    })

    it('applies all of a batch or nothing', async () => {
      const bad = { ...row(2), status: 200, isComplete: null as unknown as boolean }
      await expect(
        store.apply(batch({ traces: [row(1), bad], cursors: [cursor(2, 0)] })),
      ).rejects.toMatchObject({ code: 'store-unavailable', details: { sqlState: '23502' } })
      expect(await store.traceCount()).toBe(0)
      expect(await store.cursors()).toEqual([])
    })

    it('takes whatever text people send', async () => {
      const hostile = {
        app: "'; drop table trace; --",
        model: `nul \0 half \ud800 pair 😀 ${'x'.repeat(100_000)}`,
        identity: `long ${'y'.repeat(10_000)}`,
        promptTokens: 1e300,
        completionTokens: -1,
        status: 2 ** 40,
        latencyMs: Number.NaN,
      }
      await store.apply(batch({ traces: [row(1, hostile)] }))
      const back = await store.trace('dec_000001')
      expect(back).toMatchObject({
        app: hostile.app,
        promptTokens: null,
        latencyMs: null,
        status: 0,
      })
      expect(back?.model).toContain('half \uFFFD pair 😀')
      const known = await store.knownIdentities([hostile.identity, 'other'])
      expect([...known]).toEqual([[hostile.identity, 'content-1']])
    })

    it('pages through the traces of a task in order of time, then id', async () => {
      const sameTime = '2026-01-01T00:00:00.000Z'
      const traces = [3, 1, 2, 5, 4].map(n => row(n, n < 4 ? { time: sameTime } : {}))
      await store.apply(batch({ traces: [...traces, row(9, { task: null })] }))
      const ids = async (options: Parameters<Store['tracesOfTask']>[1]) => {
        const found: string[][] = []
        for await (const page of store.tracesOfTask('task_a', options)) {
          found.push(page.map(({ id }) => id.slice(-1)))
        }
        return found
      }
      expect(await ids({ pageSize: 2 })).toEqual([['1', '2'], ['3', '4'], ['5']])
      expect(await ids({ independentOnly: true })).toEqual([['2', '4']])
    })

    it('counts traces and distinct inputs per task', async () => {
      const traces = Array.from({ length: 25 }, (_, n) => row(n))
      const other = row(99, { task: 'task_b', inputHash: 'z' })
      await store.apply(
        batch({ traces: [...traces, other], tasks: [task('task_a'), task('task_b')] }),
      )
      const counts = await store.tasks()
      expect(
        counts.map(({ task: { id }, traceCount, distinctInputCount }) => [
          id,
          traceCount,
          distinctInputCount,
        ]),
      ).toEqual([
        ['task_a', 25, 10],
        ['task_b', 1, 1],
      ])
      expect(await store.task('task_a')).toMatchObject({
        key: { app: 'desk', nested: [1, 'ü', null] },
        firstTime: row(0).time,
      })
      expect(await store.task('task_z')).toBeNull()
    })

    it('keeps the first side of an input, and moves dropped groups to training', async () => {
      const split = (
        place: string,
        assignments: SplitPayload['assignments'],
        droppedGroups: string[] = [],
      ) => ({
        task: 'task_a',
        assignments,
        droppedGroups,
        place,
      })
      const certification = { inputHash: 'i1', group: 'g1', side: 'certification' as const }
      const later = { inputHash: 'i1', group: 'g9', side: 'training' as const }
      const other = { inputHash: 'i2', group: 'g2', side: 'certification' as const }
      // Applied in the wrong order on purpose: the place in the ledger decides.
      await store.apply(batch({ splits: [split('2', [later, other], ['g2'])] }))
      await store.apply(batch({ splits: [split('1', [certification])] }))
      expect(await store.assignments('task_a')).toEqual([
        certification,
        { ...other, side: 'training' },
      ])
    })

    it('derives states and what is live from transitions, whatever order they came in', async () => {
      const specialist = (hash: string, place: string) => ({
        hash,
        task: 'task_a',
        taskName: 'a',
        tier: 'reflex' as const,
        manifest: { parts: [1, 'zwei'] },
        time: '2026-01-01T00:00:00.000Z',
        place,
      })
      const transition = (
        place: string,
        hash: string,
        from: 'candidate' | 'live',
        to: 'live' | 'retired',
      ) => ({
        task: 'task_a',
        specialist: hash,
        from,
        to,
        by: 'operator',
        certificate: 'cert_1',
        threshold: 0.75,
        time: '2026-01-01T00:00:00.000Z',
        place,
      })
      await store.apply(batch({ transitions: [transition('4', 's1', 'live', 'retired')] }))
      await store.apply(
        batch({
          specialists: [specialist('s1', '1'), specialist('s2', '2'), specialist('s3', '3')],
          transitions: [
            transition('3', 's1', 'candidate', 'live'),
            transition('5', 's2', 'candidate', 'live'),
          ],
        }),
      )
      const states = (await store.specialists('task_a')).map(({ hash, state }) => [hash, state])
      expect(states).toEqual([
        ['s1', 'retired'],
        ['s2', 'live'],
        ['s3', 'candidate'],
      ])
      expect(await store.live()).toEqual([
        { task: 'task_a', specialist: 's2', certificate: 'cert_1', threshold: 0.75 },
      ])
      expect((await store.specialist('s2'))?.manifest).toEqual({ parts: [1, 'zwei'] })
      expect(await store.specialist('s9')).toBeNull()
      expect(await store.specialists('task_b')).toEqual([])
    })

    it('keeps certificates with their outcome to the last digit', async () => {
      const certificate = {
        id: 'cert_1',
        task: 'task_a',
        specialist: 's1',
        certificationSet: 'set_1',
        look: 1,
        newestTime: null,
        outcome: { claimed: true, threshold: 0.1 + 0.2, text: 'a\0b' },
        time: '2026-01-01T00:00:00.000Z',
      }
      await store.apply(batch({ certificates: [{ ...certificate, place: '1' }] }))
      expect(await store.certificate('cert_1')).toEqual(certificate)
      expect(await store.certificates()).toEqual([certificate])
    })

    it('forgets erased traces but knows their identity, in either order', async () => {
      await store.apply(batch({ traces: [row(1), row(2)], tasks: [task('task_a')] }))
      const erased = (n: number) => ({ id: row(n).id, identityHash: sha256(row(n).identity) })
      await store.apply(batch({ erasedTraces: [erased(1), erased(3)] }))
      await store.apply(batch({ traces: [row(1), row(3)] }))
      expect(await store.traceCount()).toBe(1)
      const known = await store.knownIdentities(['line-1', 'line-2', 'line-3', 'line-4'])
      expect(Object.fromEntries(known)).toEqual({
        'line-1': ERASED_CONTENT,
        'line-2': 'content-2',
        'line-3': ERASED_CONTENT,
      })
    })

    it('sums what was served since a time', async () => {
      const served = [row(1), row(2), row(3, { servedBy: 'reflex' }), row(4, { source: 'import' })]
      await store.apply(batch({ traces: served }))
      expect(await store.servedSince(row(2).time)).toEqual([
        { servedBy: 'lead', model: 'big', count: 1, promptTokens: 10, completionTokens: 2 },
        { servedBy: 'reflex', model: 'big', count: 1, promptTokens: 10, completionTokens: 2 },
      ])
    })

    it('migrates once when several open it at the same time', async () => {
      const stores = Array.from({ length: 4 }, () => openStore(database))
      await Promise.all(stores.map(each => each.traceCount()))
      const migrations = await database.query('select count(*) as n from migration')
      expect(Number(migrations[0]?.n)).toBe(1)
    })

    it('rolls back a transaction that throws, and keeps others out of it', async () => {
      await database.query('create table if not exists counter (n integer)')
      await database.query('truncate counter')
      const increments = Array.from({ length: 8 }, () =>
        database.transaction(async tx => {
          await tx.query('lock table counter in exclusive mode')
          const [found] = await tx.query('select count(*) as n from counter')
          await tx.query('insert into counter values ($1)', [Number(found?.n)])
        }),
      )
      const failing = database.transaction(async tx => {
        await tx.query('insert into counter values (99)')
        throw new Error('changed my mind')
      })
      await expect(failing).rejects.toThrow('changed my mind')
      await Promise.all(increments)
      const rows = await database.query('select n from counter order by n')
      expect(rows.map(({ n }) => n)).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
      await database.query('drop table counter')
    })
  })
}
