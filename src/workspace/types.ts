/** One data folder, opened: the ledger to write, the projection to ask, the blobs to load. */
import type { LedgerRecord, RecordKind, RecordPosition, TracePayload } from '../ledger/index.ts'
import type { MessageChannel, Store, TaskRow } from '../store/index.ts'

/** What the projection should know of a trace; computed by a layer that knows tasks. Pure. */
export interface TraceDescription {
  readonly model: string | null
  readonly promptTokens: number | null
  readonly completionTokens: number | null
  readonly task: Omit<TaskRow, 'firstTime'> | null
  readonly inputHash: string | null
  readonly isIndependent: boolean
}

export type DescribeTrace = (trace: TracePayload) => TraceDescription

/** Content-addressed bytes: `artifacts/sha256/ab/cdef…`. */
export interface BlobStore {
  /** Stores bytes under their SHA-256 and returns it; storing the same bytes twice is a no-op. */
  put(bytes: Uint8Array): Promise<string>
  /** @throws not-found; file-corrupt when the bytes no longer match their name */
  get(hash: string): Promise<Uint8Array>
  has(hash: string): Promise<boolean>
}

export interface LedgerEntry {
  readonly kind: RecordKind
  readonly payload: object
}

export interface Workspace {
  readonly dataDir: string
  readonly node: string
  readonly store: Store
  readonly blobs: BlobStore
  /**
   * Hands one record to the kernel (batched per tick); the projection follows by itself, soon.
   * @throws ledger-unwritable
   */
  append(entry: LedgerEntry): Promise<RecordPosition>
  /** The same for many, and waits until the projection has them (imports, learning). */
  appendAndProject(entries: readonly LedgerEntry[]): Promise<readonly RecordPosition[]>
  /** Reads one record back. @throws not-found, ledger-corrupt */
  read(position: Pick<RecordPosition, 'writer' | 'segment' | 'offset'>): Promise<LedgerRecord>
  /** Waits until the projection holds everything appended here so far. */
  settle(): Promise<void>
  /** Projects what every writer has beyond its cursor, also of children that crashed. @throws store-unavailable */
  catchUp(): Promise<void>
  /** Erases the payload of a trace for good, in the ledger and the projection. @throws not-found, ledger-unwritable */
  erase(traceId: string): Promise<void>
  /** State of recording, for the status page and the gateway. */
  health(): WorkspaceHealth
  /** Writes what waits, signs the ledger's head, gives the folder back. */
  close(): Promise<void>
}

export interface WorkspaceHealth {
  readonly ledger: 'ok' | 'failing'
  readonly store: 'ok' | 'failing'
  /** Records that the ledger refused since this workspace was opened. */
  readonly unrecordedCount: number
  /** Records that the database refused for their content; the ledger has them. */
  readonly unprojectedCount: number
  /** Bytes that wait to be written to the ledger. */
  readonly queuedBytes: number
  /** Records of this process that the database does not have yet. */
  readonly lagCount: number
  /** Why, where something fails. */
  readonly error: string | null
}

/** The workspace of the process that owns the data folder. */
export interface OwnedWorkspace extends Workspace {
  /** Tells other processes where this one's HTTP server listens. */
  setAddress(address: string | null): Promise<void>
  /**
   * Lets a child process or worker on this channel use the database; when the channel closes, what the child left
   * behind is projected.
   */
  serveChild(channel: MessageChannel): void
  /** Empties the projection and replays the whole ledger into it. @throws store-unavailable */
  rebuild(): Promise<void>
}
