/**
 * Carries ledger records into the store, behind the appends: in batches, with retries, in bounded memory. What does not
 * fit in memory, or was lost on the way, is read again from the ledger by cursor.
 */
import { isUnderstudyError, UnderstudyError } from '../errors.ts'
import {
  type ErasurePayload,
  type LedgerRecord,
  listWriters,
  overwritePayload,
  type RecordPosition,
  START,
  scanFolder,
  type WriterFolder,
} from '../ledger/index.ts'
import type { Cursor, Store } from '../store/index.ts'
import { emptyBatch, type MutableBatch, merged, projectRecord } from './projection.ts'
import type { DescribeTrace } from './types.ts'

export interface Projector {
  /** Notes what the own writer just appended, in the order of its numbers. Never waits, never throws. */
  note(record: LedgerRecord): void
  /** Carries over what every writer has beyond its cursor. @throws store-unavailable */
  catchUp(): Promise<void>
  /** Empties the store and carries everything over again. @throws store-unavailable */
  rebuild(): Promise<void>
  /** Resolves when all noted so far is in the store. @throws store-unavailable when that does not succeed */
  settle(): Promise<void>
  health(): ProjectorHealth
  /** Gives up what waits; the ledger has it. */
  close(): Promise<void>
}

export interface ProjectorHealth {
  readonly state: 'ok' | 'failing'
  /** Why the last attempt failed. */
  readonly error: string | null
  /** Records that the database refused for their content; the ledger has them. */
  readonly skippedCount: number
  /** Number of the own writer's newest record that the store has; -1 before the first. */
  readonly lastSeq: number
}

export interface ProjectorOptions {
  readonly ledgerDir: string
  /** The own writer. */
  readonly writer: string
  readonly store: Store
  readonly describe: DescribeTrace
  /** Rows kept in memory while the store is busy or away. */
  readonly waitingMax?: number
}

const BATCH_RECORDS = 2_000
/** Lets requests come together: a transaction of one row costs as much of this thread as one of fifty (2026-11-23). */
const GATHER_MS = 1_000
const RETRY_MS_MIN = 100
const RETRY_MS_MAX = 5_000
const SETTLE_TRIES = 4

interface Noted {
  readonly rows: MutableBatch
  readonly position: RecordPosition
}

/** Begins by reading the own writer's first record; `catchUp` brings what others wrote before. */
export function createProjector(options: ProjectorOptions): Projector {
  return new LedgerProjector(options)
}

class LedgerProjector implements Projector {
  readonly #options: ProjectorOptions
  readonly #waitingMax: number
  /** Noted in this turn of the event loop. */
  #noted: LedgerRecord[] = []
  #waiting: Noted[] = []
  /** Writers to be read from their cursor on: notes were dropped, or never made here. */
  #behind: 'nobody' | 'own' | 'everybody' = 'own'
  #error: string | null = null
  #skippedCount = 0
  #lastSeq = -1
  #retryMs = RETRY_MS_MIN
  #timer: NodeJS.Timeout | null = null
  #work: Promise<void> = Promise.resolve()
  #isClosed = false

  constructor(options: ProjectorOptions) {
    this.#options = options
    this.#waitingMax = options.waitingMax ?? 20_000
  }

  note(record: LedgerRecord): void {
    // Its row is made when what waits for the record has gone on.
    if (this.#noted.push(record) === 1) setImmediate(() => this.#takeIn())
  }

  #takeIn(): void {
    for (const record of this.#noted.splice(0)) this.#queue(record)
  }

  #queue(record: LedgerRecord): void {
    if (this.#isClosed) return
    if (this.#waiting.length >= this.#waitingMax) {
      this.#waiting = []
      this.#behind = this.#behind === 'everybody' ? 'everybody' : 'own'
    }
    this.#waiting.push(this.#project(record))
    this.#schedule(GATHER_MS)
  }

  async catchUp(): Promise<void> {
    this.#behind = 'everybody'
    await this.settle()
  }

  async rebuild(): Promise<void> {
    await this.#exclusively(async () => {
      await this.#options.store.reset()
      this.#behind = 'everybody'
    })
    await this.settle()
  }

  async settle(): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.#exclusively(() => this.#carry())
      } catch (error) {
        if (tries === SETTLE_TRIES || this.#isClosed) throw error
        await new Promise(resolve => setTimeout(resolve, RETRY_MS_MIN * 2 ** (tries - 1)))
      }
    }
  }

  health(): ProjectorHealth {
    const error = this.#error
    return {
      state: error === null ? 'ok' : 'failing',
      error,
      skippedCount: this.#skippedCount,
      lastSeq: this.#lastSeq,
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true
    if (this.#timer !== null) clearTimeout(this.#timer)
    await this.#work.catch(() => undefined)
  }

  #schedule(delayMs: number): void {
    if (this.#isClosed) return
    this.#timer ??= setTimeout(() => {
      this.#timer = null
      this.#exclusively(() => this.#carry()).catch(() => this.#schedule(this.#retryMs))
    }, delayMs).unref()
  }

  /** One after the other: carrying over, catching up and rebuilding do not overlap. */
  #exclusively(task: () => Promise<void>): Promise<void> {
    const next = this.#work
      .catch(() => undefined)
      .then(async () => {
        try {
          await task()
          this.#error = null
          this.#retryMs = RETRY_MS_MIN
        } catch (error) {
          this.#error = error instanceof Error ? error.message : String(error)
          this.#retryMs = Math.min(2 * this.#retryMs, RETRY_MS_MAX)
          throw error
        }
      })
    this.#work = next
    next.catch(() => undefined)
    return next
  }

  async #carry(): Promise<void> {
    this.#takeIn()
    while (this.#behind !== 'nobody' || this.#waiting.length > 0) {
      if (this.#isClosed) throw closed()
      if (this.#behind !== 'nobody') {
        await this.#readAgain(this.#behind)
        continue
      }
      const notes = this.#waiting.splice(0, BATCH_RECORDS)
      try {
        await this.#apply(notes, (notes[0] as Noted).position.seq)
      } catch (error) {
        // The ledger has them: cheaper than keeping order among those that came meanwhile.
        if (this.#behind === 'nobody') this.#behind = 'own'
        throw error
      }
    }
  }

  async #readAgain(who: 'own' | 'everybody'): Promise<void> {
    this.#behind = 'nobody'
    this.#waiting = []
    try {
      const { ledgerDir, store, writer } = this.#options
      const cursors = new Map((await store.cursors()).map(cursor => [cursor.writer, cursor]))
      for (const folder of await listWriters(ledgerDir)) {
        if (who === 'own' && folder.writer !== writer) continue
        await this.#readWriter(folder, cursors.get(folder.writer) ?? null)
      }
    } catch (error) {
      this.#behind = who
      throw error
    }
  }

  async #readWriter(folder: WriterFolder, cursor: Cursor | null): Promise<void> {
    const from = cursor === null ? START : { ...cursor, seq: cursor.seq - 1 }
    let lastSeq = from.seq
    let fromSeq = lastSeq + 1
    let isCursorFound = cursor === null
    let notes: Noted[] = []
    for await (const item of scanFolder(folder.path, folder.writer, from)) {
      if (item.type !== 'record') continue
      const { position } = item.record
      if (!isCursorFound) {
        // Another ledger than the one that was followed: begin again.
        if (position.hash !== cursor?.hash) return this.#readWriter(folder, null)
        isCursorFound = true
        lastSeq = position.seq
        fromSeq = lastSeq + 1
        continue
      }
      if (item.record.kind === 'erasure') await this.#finishErasure(item.record.payload)
      notes.push(this.#project(item.record))
      lastSeq = position.seq
      if (notes.length < BATCH_RECORDS) continue
      await this.#apply(notes, fromSeq)
      fromSeq = lastSeq + 1
      notes = []
      if (this.#isClosed) throw closed()
    }
    if (notes.length > 0) await this.#apply(notes, fromSeq)
  }

  /** A crash may have come between the erasure's record and the overwriting. */
  async #finishErasure(payload: unknown): Promise<void> {
    const { target } = (payload ?? {}) as Partial<ErasurePayload>
    if (target) await overwritePayload(this.#options.ledgerDir, target).catch(() => undefined)
  }

  #project(record: LedgerRecord): Noted {
    return { rows: projectRecord(record, this.#options.describe), position: record.position }
  }

  /** One transaction; where the database refuses the content, halves, down to the record that it refuses. */
  async #apply(notes: readonly Noted[], fromSeq: number): Promise<void> {
    const batch = merged(notes.map(({ rows }) => rows))
    const last = (notes.at(-1) as Noted).position
    const cursor = { ...last, fromSeq }
    try {
      await this.#options.store.apply({ ...batch, cursors: [cursor] })
      if (last.writer === this.#options.writer) this.#lastSeq = Math.max(this.#lastSeq, last.seq)
    } catch (error) {
      if (!isRefusal(error)) throw error
      if (notes.length === 1) {
        this.#skippedCount++
        return this.#options.store.apply({ ...emptyBatch(), cursors: [cursor] })
      }
      const half = notes.length >> 1
      await this.#apply(notes.slice(0, half), fromSeq)
      await this.#apply(notes.slice(half), (notes[half - 1] as Noted).position.seq + 1)
    }
  }
}

/** A payload without the fields it should have, or an SQLSTATE of a class that speaks of the data. */
function isRefusal(error: unknown): boolean {
  if (!isUnderstudyError(error)) return true
  const { sqlState } = error.details
  return typeof sqlState === 'string' && ['21', '22', '23', '54'].includes(sqlState.slice(0, 2))
}

function closed(): UnderstudyError {
  return new UnderstudyError('store-unavailable', 'the data folder was closed', {
    help: 'Open it again; nothing is lost.',
  })
}
