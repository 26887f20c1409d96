/** The rows of the projection and what one may ask of it. The SQL behind it stays in this folder. */
import type {
  CertificationPayload,
  RecordPosition,
  ServedBy,
  SpecialistPayload,
  SplitAssignment,
  SplitPayload,
  TransitionPayload,
} from '../ledger/index.ts'

/** Metadata of one trace; the bodies stay in the ledger at (writer, segment, offset). */
export interface TraceRow {
  readonly id: string
  readonly identity: string
  readonly contentHash: string
  readonly position: RecordPosition
  /** ISO 8601. */
  readonly time: string
  readonly source: 'import' | 'gateway'
  readonly app: string | null
  readonly endpoint: string
  readonly model: string | null
  readonly status: number
  readonly latencyMs: number | null
  readonly promptTokens: number | null
  readonly completionTokens: number | null
  readonly isComplete: boolean
  /** Task this request belongs to by its hard key or declaration, whether or not it was ever learned; null: none. */
  readonly task: string | null
  /** SHA-256 of the normalised input slot. */
  readonly inputHash: string | null
  readonly servedBy: ServedBy | null
  readonly reason: string | null
  readonly specialist: string | null
  readonly certificate: string | null
  readonly confidence: number | null
  /** True where the lead's answer is here and was obtained independently of any specialist's score. */
  readonly isIndependent: boolean
}

/** What a task is, as seen in the traffic: kept from its first trace. */
export interface TaskRow {
  readonly id: string
  readonly name: string
  readonly isDeclared: boolean
  /** The parts of the hard key, for people and for matching. */
  readonly key: unknown
  readonly firstTime: string
}

export interface SpecialistRow extends SpecialistPayload {
  readonly time: string
  readonly state: TransitionPayload['to']
}

export interface CertificateRow extends CertificationPayload {
  readonly time: string
}

export interface LiveRow {
  readonly task: string
  readonly specialist: string
  readonly certificate: string | null
  readonly threshold: number | null
}

/** How far the projection has followed a writer: the last record of it that the projection holds. */
export interface Cursor {
  readonly writer: string
  readonly segment: number
  readonly offset: number
  readonly seq: number
  readonly hash: string
}

/** A step of a cursor. It is taken only where it continues what is there, so that nothing is ever skipped. */
export interface CursorStep extends Cursor {
  /** First record of the batch; the batch covers everything up to `seq`. */
  readonly fromSeq: number
}

/** Where in the ledger something was said, as text that sorts: of two claims about one thing the earlier holds. */
export interface Placed {
  readonly place: string
}

/**
 * Everything one batch of ledger records adds to the projection; applied in one transaction together with its cursor.
 * The outcome does not depend on the order in which batches of different writers are applied.
 */
export interface ProjectionBatch {
  readonly cursors: readonly CursorStep[]
  readonly traces: readonly TraceRow[]
  readonly tasks: readonly (TaskRow & Placed)[]
  readonly splits: readonly (SplitPayload & Placed)[]
  readonly specialists: readonly (SpecialistPayload & { readonly time: string } & Placed)[]
  readonly certificates: readonly (CertificateRow & Placed)[]
  readonly transitions: readonly (TransitionPayload & { readonly time: string } & Placed)[]
  /** Traces whose payload was erased, with the SHA-256 of their identity. */
  readonly erasedTraces: readonly { readonly id: string; readonly identityHash: string | null }[]
}

/** What `knownIdentities` says of a trace that was erased: known, to be skipped, content gone. */
export const ERASED_CONTENT = 'erased'

export interface TaskCount {
  readonly task: TaskRow
  readonly traceCount: number
  readonly distinctInputCount: number
  readonly newestTime: string
}

export interface Store {
  /** Applies a batch; replaying one that was applied changes nothing. */
  apply(batch: ProjectionBatch): Promise<void>
  cursors(): Promise<readonly Cursor[]>
  /** identity → content hash, for those known; `ERASED_CONTENT` where the trace was erased. */
  knownIdentities(identities: readonly string[]): Promise<ReadonlyMap<string, string>>
  trace(id: string): Promise<TraceRow | null>
  /** Traces of a task in order of time then id, in pages, for streaming reads. */
  tracesOfTask(
    task: string,
    options?: { independentOnly?: boolean; pageSize?: number },
  ): AsyncIterable<readonly TraceRow[]>
  traceCount(): Promise<number>
  tasks(): Promise<readonly TaskCount[]>
  task(id: string): Promise<TaskRow | null>
  assignments(task: string): Promise<readonly SplitAssignment[]>
  specialists(task?: string): Promise<readonly SpecialistRow[]>
  specialist(hash: string): Promise<SpecialistRow | null>
  certificates(task?: string): Promise<readonly CertificateRow[]>
  certificate(id: string): Promise<CertificateRow | null>
  live(): Promise<readonly LiveRow[]>
  /** Sums for the status page: requests, tokens, latency per tier since a time. */
  servedSince(time: string): Promise<
    readonly {
      servedBy: ServedBy
      model: string | null
      count: number
      promptTokens: number
      completionTokens: number
    }[]
  >
  /** Forgets everything, so that the ledger can be replayed. */
  reset(): Promise<void>
  close(): Promise<void>
}
