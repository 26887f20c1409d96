/** One writer's end of the ledger: batches appends, keeps the chain whole when the disk does not. */
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isUnderstudyError, UnderstudyError } from '../errors.ts'
import { currentProcess } from '../platform/index.ts'
import { type Clock, newId, systemClock } from '../util/index.ts'
import { encodeHeader, NO_HASH, type SealedPayload, sealPayload } from './format.ts'
import {
  appendHead,
  defaultSigningKeyPath,
  type Head,
  type HeadSigner,
  openHeadSigner,
} from './heads.ts'
import { OWNER_FILE, segmentName } from './layout.ts'
import type { RecordKind, RecordPosition } from './records.ts'
import {
  type GenesisPayload,
  LEDGER_VERSION,
  type Predecessors,
  recoverWriters,
} from './recover.ts'
import { createSegment, type SegmentFile, type SegmentIo, systemIo } from './segment-file.ts'

/** `group`: fsync within 50 ms after the append resolved; `sync`: before it resolves. */
export type Durability = 'group' | 'sync'

export interface LedgerWriterOptions {
  /** The ledger folder: `<data folder>/ledger`. */
  readonly dir: string
  readonly node: string
  readonly durability?: Durability
  /** A segment that has reached this size is followed by a new one. */
  readonly segmentBytes?: number
  /** Bytes waiting to be written beyond which appends are refused. */
  readonly queueBytesMax?: number
  readonly clock?: Clock
  readonly signingKeyPath?: string
  readonly io?: SegmentIo
}

export interface NewRecord {
  readonly kind: RecordKind
  readonly payload: object
}

/** What became of a record: where it lies, and the time in its header. */
export interface WrittenRecord {
  readonly position: RecordPosition
  /** ISO 8601. */
  readonly time: string
}

export interface LedgerWriter {
  readonly writer: string
  /** What was found and repaired of earlier writers when this one began. */
  readonly recovered: Predecessors['repairs']
  /** Resolves when the kernel has the record (`sync`: the disk). @throws ledger-unwritable */
  append(record: NewRecord): Promise<WrittenRecord>
  /** All of them, in order; each batch written whole or not at all. @throws ledger-unwritable */
  appendMany(records: readonly NewRecord[]): Promise<readonly WrittenRecord[]>
  /** The newest record. */
  head(): Head
  health(): LedgerHealth
  /** Writes what waits, signs the head. */
  close(): Promise<void>
}

export interface LedgerHealth {
  readonly state: 'ok' | 'failing'
  /** Why the last write or sync failed; null when it did not. */
  readonly error: string | null
  /** Records refused since the writer was opened. */
  readonly refusedCount: number
  /** Bytes of payloads that wait to be written. */
  readonly queuedBytes: number
  /** Number of the newest record that was written; the first has 0. */
  readonly lastSeq: number
}

/** A batch is written when this much has come together, at the latest. */
const BATCH_BYTES = 4 * 1024 * 1024
const SYNC_WITHIN_MS = 50
const SIGN_WITHIN_MS = 10_000
const LINE_BREAK = Buffer.from('\n')
const DISK_HELP =
  'Check free space and permissions of the data folder; recording resumes by itself.'

interface Waiting {
  readonly kind: RecordKind
  readonly sealed: SealedPayload
  readonly resolve: (written: WrittenRecord) => void
  readonly reject: (error: unknown) => void
}

/**
 * Begins a new writer: repairs what dead ones left behind, and commits to all earlier chains in its first record.
 * @throws ledger-unwritable when the folder cannot be written; config-invalid for a bad signing key
 */
export async function openLedgerWriter(options: LedgerWriterOptions): Promise<LedgerWriter> {
  const { dir, node, clock = systemClock, signingKeyPath = defaultSigningKeyPath() } = options
  const signer = await openHeadSigner(signingKeyPath)
  const writer = newId('wr')
  const path = join(dir, node, writer)
  try {
    const before = await recoverWriters({ dir, node, signer, clock })
    await mkdir(path, { recursive: true })
    await writeFile(join(path, OWNER_FILE), JSON.stringify(currentProcess()))
    const io = options.io ?? systemIo
    const segment = await createSegment(join(path, segmentName(0)), io)
    const chain = new Chain({ ...options, clock, io, path, writer, signer, segment, before })
    const { heads, repairs } = before
    await chain.append({
      kind: 'genesis',
      payload: { node, writer, version: LEDGER_VERSION, heads, repairs } satisfies GenesisPayload,
    })
    return chain
  } catch (error) {
    throw isUnderstudyError(error) ? error : unwritable(error)
  }
}

function unwritable(cause: unknown): UnderstudyError {
  const why = cause instanceof Error ? cause.message : String(cause)
  return new UnderstudyError('ledger-unwritable', `the ledger cannot be written: ${why}`, {
    help: DISK_HELP,
    cause,
  })
}

interface ChainParts extends LedgerWriterOptions {
  readonly clock: Clock
  readonly io: SegmentIo
  readonly path: string
  readonly writer: string
  readonly signer: HeadSigner
  readonly segment: SegmentFile
  readonly before: Predecessors
}

class Chain implements LedgerWriter {
  readonly writer: string
  readonly recovered: Predecessors['repairs']
  readonly #parts: ChainParts
  readonly #durability: Durability
  readonly #segmentBytes: number
  readonly #queueBytesMax: number
  #segment: SegmentFile
  #segmentNumber = 0
  #seq = -1
  #hash = NO_HASH
  /** Behind record `#seq`. The segment may be longer already: a batch that is being synced is not acknowledged yet. */
  #offset = 0
  #queue: Waiting[] = []
  #queueBytes = 0
  #flushing: Promise<void> | null = null
  #isScheduled = false
  #isClosed = false
  #syncTimer: NodeJS.Timeout | null = null
  #signTimer: NodeJS.Timeout | null = null
  /** Syncs and signatures follow each other. */
  #background: Promise<void> = Promise.resolve()
  #signedSeq = -1
  #writeError: string | null = null
  #syncError: string | null = null
  #refusedCount = 0

  constructor(parts: ChainParts) {
    this.#parts = parts
    this.writer = parts.writer
    this.recovered = parts.before.repairs
    this.#segment = parts.segment
    this.#durability = parts.durability ?? 'group'
    this.#segmentBytes = parts.segmentBytes ?? 64 * 1024 * 1024
    this.#queueBytesMax = parts.queueBytesMax ?? 128 * 1024 * 1024
  }

  append(record: NewRecord): Promise<WrittenRecord> {
    return new Promise((resolve, reject) => {
      try {
        this.#enqueue(record, resolve, reject)
      } catch (error) {
        this.#refusedCount++
        reject(isUnderstudyError(error) ? error : unwritable(error))
      }
    })
  }

  async appendMany(records: readonly NewRecord[]): Promise<readonly WrittenRecord[]> {
    return Promise.all(records.map(record => this.append(record)))
  }

  head(): Head {
    return {
      writer: this.writer,
      seq: this.#seq,
      hash: this.#hash,
      segment: this.#segmentNumber,
      offset: this.#offset,
      time: this.#now(),
      isFinal: this.#isClosed,
      repairedByteCount: 0,
    }
  }

  health(): LedgerHealth {
    const error = this.#writeError ?? this.#syncError
    return {
      state: error === null ? 'ok' : 'failing',
      error,
      refusedCount: this.#refusedCount,
      queuedBytes: this.#queueBytes,
      lastSeq: this.#seq,
    }
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    while (this.#queue.length > 0 || this.#flushing !== null) await this.#flush()
    if (this.#syncTimer !== null) clearTimeout(this.#syncTimer)
    if (this.#signTimer !== null) clearTimeout(this.#signTimer)
    await this.#inBackground(() => this.#sign())
    await this.#segment.close()
    await rm(join(this.#parts.path, OWNER_FILE), { force: true })
  }

  #enqueue(record: NewRecord, resolve: Waiting['resolve'], reject: Waiting['reject']): void {
    if (this.#isClosed) {
      throw new UnderstudyError('ledger-unwritable', 'the ledger was closed', {
        help: 'Open the data folder again.',
      })
    }
    const sealed = sealPayload(record.payload)
    if (this.#queueBytes + sealed.line.length > this.#queueBytesMax) {
      throw new UnderstudyError(
        'ledger-unwritable',
        `the disk does not keep up: ${this.#queueBytes} bytes wait to be written`,
        { help: DISK_HELP },
      )
    }
    this.#queue.push({ kind: record.kind, sealed, resolve, reject })
    this.#queueBytes += sealed.line.length
    this.#schedule()
  }

  /** Everything appended in this tick goes out together; during a write the next batch gathers. */
  #schedule(): void {
    if (this.#isScheduled || this.#flushing !== null) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      void this.#flush()
    })
  }

  #flush(): Promise<void> {
    this.#flushing ??= this.#writeBatch().finally(() => {
      this.#flushing = null
      if (this.#queue.length > 0) this.#schedule()
    })
    return this.#flushing
  }

  async #writeBatch(): Promise<void> {
    const batch = this.#takeBatch()
    if (batch.length === 0) return
    try {
      if (this.#segment.size >= this.#segmentBytes) await this.#roll()
      const time = this.#now()
      const { bytes, positions } = this.#frame(batch, time)
      await this.#write(bytes)
      const last = positions.at(-1) as RecordPosition
      this.#seq = last.seq
      this.#hash = last.hash
      this.#offset = this.#segment.size
      this.#writeError = null
      batch.forEach((waiting, i) => {
        waiting.resolve({ position: positions[i] as RecordPosition, time })
      })
      this.#afterwards()
    } catch (error) {
      const refusal = unwritable(error)
      this.#writeError = refusal.message
      this.#refusedCount += batch.length
      for (const waiting of batch) waiting.reject(refusal)
    }
  }

  #takeBatch(): readonly Waiting[] {
    let count = 0
    let bytes = 0
    while (count < this.#queue.length && (count === 0 || bytes < BATCH_BYTES)) {
      bytes += (this.#queue[count] as Waiting).sealed.line.length
      count++
    }
    this.#queueBytes -= bytes
    return this.#queue.splice(0, count)
  }

  /** Headers are made only now: a batch that failed leaves no gap in the chain. */
  #frame(
    batch: readonly Waiting[],
    time: string,
  ): { bytes: Buffer; positions: readonly RecordPosition[] } {
    const parts: Buffer[] = []
    const positions: RecordPosition[] = []
    let offset = this.#segment.size
    let [seq, prev] = [this.#seq, this.#hash]
    for (const { kind, sealed } of batch) {
      const { commitment, line: payload } = sealed
      const length = payload.length
      const { line, hash } = encodeHeader({ seq: ++seq, kind, time, prev, commitment, length })
      const header = Buffer.from(line)
      parts.push(header, payload, LINE_BREAK)
      positions.push({ writer: this.writer, seq, segment: this.#segmentNumber, offset, hash })
      offset += header.length + length + 1
      prev = hash
    }
    return { bytes: Buffer.concat(parts), positions }
  }

  async #write(bytes: Buffer): Promise<void> {
    const { size } = this.#segment
    await this.#segment.append(bytes)
    if (this.#durability !== 'sync') return
    try {
      await this.#segment.sync()
    } catch (error) {
      await this.#segment.cutTo(size).catch(() => undefined)
      throw error
    }
  }

  async #roll(): Promise<void> {
    await this.#inBackground(() => this.#sign())
    const name = segmentName(this.#segmentNumber + 1)
    const next = await createSegment(join(this.#parts.path, name), this.#parts.io)
    const full = this.#segment
    this.#segment = next
    this.#segmentNumber++
    this.#offset = 0
    // A file that cannot be closed has been synced, and must not keep its successor from being written.
    await full.close().catch(error => {
      this.#syncError = unwritable(error).message
    })
  }

  #afterwards(): void {
    if (this.#durability === 'group') {
      this.#syncTimer ??= setTimeout(() => {
        this.#syncTimer = null
        void this.#inBackground(() => this.#segment.sync())
      }, SYNC_WITHIN_MS)
    }
    this.#signTimer ??= setTimeout(() => {
      this.#signTimer = null
      void this.#inBackground(() => this.#sign())
    }, SIGN_WITHIN_MS).unref()
  }

  /** A signed head must be on the disk before its signature: a power cut must not look like a truncation. */
  async #sign(): Promise<void> {
    const head = this.head()
    await this.#segment.sync()
    if (head.seq === this.#signedSeq && !head.isFinal) return
    await appendHead(this.#parts.path, this.#parts.signer.sign(head))
    this.#signedSeq = head.seq
  }

  #inBackground(work: () => Promise<void>): Promise<void> {
    this.#background = this.#background.then(work).then(
      () => {
        this.#syncError = null
      },
      error => {
        this.#syncError = unwritable(error).message
      },
    )
    return this.#background
  }

  #now(): string {
    return new Date(this.#parts.clock.now()).toISOString()
  }
}
