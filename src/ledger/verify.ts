/** Checks a whole ledger from its files alone, in memory for one record. The outcome is a value, never an exception. */

import type { ErasurePayload } from './erase.ts'
import { isHeadSigned, readHeads } from './heads.ts'
import { listWriters, type WriterFolder } from './layout.ts'
import { committedHeads, isWriterAlive, type Repair, type WriterHead } from './recover.ts'
import { type ScanItem, START, scanFolder } from './scan.ts'

/** One record that is not what the chain, a signature or another writer says. */
export interface AlteredRecord {
  readonly writer: string
  readonly seq: number
  readonly segment: number
  readonly offset: number
  /** What is wrong, one sentence part for people. */
  readonly fault: string
}

export interface VerifyReport {
  /** Nothing altered, nothing missing, every given head found, no signature invalid. */
  readonly ok: boolean
  readonly writerCount: number
  readonly recordCount: number
  /** Payloads erased with a matching `erasure` record. */
  readonly erasedCount: number
  /** Erasures on record whose payload is still there (a crash came between); the next start finishes them. */
  readonly pendingErasureCount: number
  /** Incomplete last records of writers that no longer run; the next start cuts them off. */
  readonly tornTails: readonly Repair[]
  /** First altered record: oldest writer first, then by number; null: none. */
  readonly firstAltered: AlteredRecord | null
  /** All of them, at most 100. */
  readonly altered: readonly AlteredRecord[]
  /** Newest records that no other writer commits to: note them down to detect truncation later. */
  readonly heads: readonly WriterHead[]
  /** The heads asked for, and whether a record has that hash. */
  readonly asked: readonly { readonly hash: string; readonly isFound: boolean }[]
  readonly signatures: {
    readonly validCount: number
    readonly invalidCount: number
    /** Valid, but by another key than the one given. */
    readonly foreignCount: number
    /** Records after the last valid signature of their writer. */
    readonly unsignedRecordCount: number
    /** Keys that signed, base64. */
    readonly keys: readonly string[]
  }
}

const ALTERED_MAX = 100

/**
 * Reads every record and every signed head. Works while a writer is at work.
 * @throws file-unreadable when the operating system refuses
 */
export async function verifyLedger(
  dir: string,
  {
    heads = [],
    publicKey,
    onProgress,
    signal,
  }: {
    /** Hashes that must be there: heads noted down earlier. */
    heads?: readonly string[]
    /** Base64; signatures by any other key then count as a failure. */
    publicKey?: string
    onProgress?: (recordCount: number) => void
    signal?: AbortSignal
  } = {},
): Promise<VerifyReport> {
  const check = new Check(heads, publicKey)
  const folders = await listWriters(dir)
  // Everything that must be found is collected before the scan: what is written meanwhile is then no concern.
  for (const folder of folders) await check.expect(folder)
  for (const folder of folders) await check.scan(folder, onProgress, signal)
  check.missingWriters(new Set(folders.map(({ writer }) => writer)))
  return check.report(folders.length)
}

interface Expectation {
  readonly hash: string
  readonly source: string
}

class Check {
  readonly #publicKey: string | undefined
  readonly #asked: Map<string, boolean>
  /** writer → seq → what must stand there. */
  readonly #expected = new Map<string, Map<number, Expectation[]>>()
  readonly #committed = new Set<string>()
  readonly #erasures = new Map<string, 'pending' | 'done'>()
  readonly #fillers: { key: string; altered: AlteredRecord }[] = []
  readonly #altered: AlteredRecord[] = []
  readonly #torn: Repair[] = []
  readonly #heads: WriterHead[] = []
  readonly #keys = new Set<string>()
  readonly #signedSeq = new Map<string, number>()
  #recordCount = 0
  #valid = 0
  #invalid = 0
  #foreign = 0
  #unsigned = 0

  constructor(asked: readonly string[], publicKey: string | undefined) {
    this.#publicKey = publicKey
    this.#asked = new Map(asked.map(hash => [hash, false]))
  }

  async expect({ path, writer }: WriterFolder): Promise<void> {
    for (const head of await committedHeads(path)) {
      this.#committed.add(head.hash)
      this.#require(head, `the first record of ${writer}`)
    }
    for await (const head of readHeads(path)) {
      if (head === null || head.writer !== writer || !isHeadSigned(head)) {
        this.#invalid++
        continue
      }
      this.#keys.add(head.key)
      if (this.#publicKey !== undefined && head.key !== this.#publicKey) {
        this.#foreign++
        continue
      }
      this.#valid++
      this.#require(head, 'a signed head')
      this.#signedSeq.set(writer, Math.max(head.seq, this.#signedSeq.get(writer) ?? -1))
    }
  }

  #require({ writer, seq, hash }: WriterHead, source: string): void {
    const bySeq = this.#expected.get(writer) ?? new Map<number, Expectation[]>()
    this.#expected.set(writer, bySeq)
    bySeq.set(seq, [...(bySeq.get(seq) ?? []), { hash, source }])
  }

  async scan(
    folder: WriterFolder,
    onProgress?: (recordCount: number) => void,
    signal?: AbortSignal,
  ): Promise<void> {
    const { path, writer } = folder
    let head: WriterHead | null = null
    let end = { segment: 0, offset: 0 }
    for await (const item of scanFolder(path, writer, START, kind => kind === 'erasure')) {
      if (item.type === 'record') {
        head = item.record.position
        end = item.next
        this.#record(item)
        if (this.#recordCount % 10_000 === 0) {
          onProgress?.(this.#recordCount)
          signal?.throwIfAborted()
        }
      } else if (item.type === 'broken') {
        this.#alter({ ...item, writer })
      } else if (!(await isWriterAlive(path))) {
        this.#torn.push({ ...item, writer })
      }
    }
    this.#endOf(writer, head?.seq ?? -1, end)
    if (head !== null && !this.#committed.has(head.hash)) {
      this.#heads.push({ writer, seq: head.seq, hash: head.hash })
    }
  }

  #record({ record, payload, fault }: Extract<ScanItem, { type: 'record' }>): void {
    const { position, kind } = record
    const key = keyOf(position)
    this.#recordCount++
    if (this.#asked.has(position.hash)) this.#asked.set(position.hash, true)
    if (fault !== null) this.#alter({ ...position, fault })
    for (const { hash, source } of this.#expected.get(position.writer)?.get(position.seq) ?? []) {
      if (hash !== position.hash) {
        this.#alter({ ...position, fault: `it was rewritten: ${source} names another hash` })
      }
    }
    if (payload === 'filler') {
      const overwritten = 'the payload was overwritten without an erasure record'
      this.#fillers.push({ key, altered: { ...position, fault: overwritten } })
    }
    const target = kind === 'erasure' ? (record.payload as ErasurePayload | null)?.target : null
    if (target) this.#erasures.set(keyOf(target), 'pending')
  }

  /** Whatever should stand behind the end was cut off. */
  #endOf(writer: string, lastSeq: number, end: { segment: number; offset: number }): void {
    this.#unsigned += Math.max(0, lastSeq - (this.#signedSeq.get(writer) ?? -1))
    for (const [seq, expectations] of this.#expected.get(writer) ?? []) {
      if (seq <= lastSeq) continue
      const source = expectations[0]?.source
      this.#alter({ ...end, writer, seq, fault: `it is missing: ${source} names it` })
    }
  }

  missingWriters(present: ReadonlySet<string>): void {
    for (const [writer, bySeq] of this.#expected) {
      if (present.has(writer)) continue
      const source = [...bySeq.values()][0]?.[0]?.source
      const fault = `the whole writer is missing: ${source} names it`
      this.#alter({ writer, seq: 0, segment: 0, offset: 0, fault })
    }
  }

  #alter({ writer, seq, segment, offset, fault }: AlteredRecord): void {
    this.#altered.push({ writer, seq, segment, offset, fault })
    // Sorted before it is cut, so that the first one is never lost.
    if (this.#altered.length > 10 * ALTERED_MAX) {
      this.#altered.sort(byPlace).splice(ALTERED_MAX)
    }
  }

  report(writerCount: number): VerifyReport {
    for (const { key, altered } of this.#fillers) {
      if (this.#erasures.has(key)) this.#erasures.set(key, 'done')
      else this.#alter(altered)
    }
    const altered = this.#altered.sort(byPlace).slice(0, ALTERED_MAX)
    const asked = [...this.#asked].map(([hash, isFound]) => ({ hash, isFound }))
    const states = [...this.#erasures.values()]
    const isSound = altered.length === 0 && this.#invalid === 0 && this.#foreign === 0
    return {
      ok: isSound && asked.every(({ isFound }) => isFound),
      writerCount,
      recordCount: this.#recordCount,
      erasedCount: states.filter(state => state === 'done').length,
      pendingErasureCount: states.filter(state => state === 'pending').length,
      tornTails: this.#torn,
      firstAltered: altered[0] ?? null,
      altered,
      heads: this.#heads,
      asked,
      signatures: {
        validCount: this.#valid,
        invalidCount: this.#invalid,
        foreignCount: this.#foreign,
        unsignedRecordCount: this.#unsigned,
        keys: [...this.#keys],
      },
    }
  }
}

function keyOf({ writer, seq, hash }: WriterHead): string {
  return `${writer}/${seq}/${hash}`
}

function byPlace(a: AlteredRecord, b: AlteredRecord): number {
  return a.writer === b.writer ? a.seq - b.seq : a.writer < b.writer ? -1 : 1
}
