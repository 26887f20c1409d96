/** How rows and columns correspond, both ways. */
import { sha256 } from '../platform/index.ts'
import { clip } from '../util/index.ts'
import type { BulkTable } from './bulk.ts'
import type { Row } from './database.ts'
import type {
  CertificateRow,
  Cursor,
  ProjectionBatch,
  SpecialistRow,
  TaskRow,
  TraceRow,
} from './types.ts'

export const TRACE: BulkTable = {
  table: 'trace',
  columns: {
    id: 'text',
    identity: 'text',
    content_hash: 'text',
    writer: 'text',
    seq: 'bigint',
    segment: 'integer',
    byte_offset: 'bigint',
    hash: 'text',
    time: 'text',
    source: 'text',
    app: 'text',
    endpoint: 'text',
    model: 'text',
    status: 'integer',
    latency_ms: 'double precision',
    prompt_tokens: 'bigint',
    completion_tokens: 'bigint',
    is_complete: 'boolean',
    task: 'text',
    input_hash: 'text',
    served_by: 'text',
    reason: 'text',
    specialist: 'text',
    certificate: 'text',
    confidence: 'double precision',
    is_independent: 'boolean',
  },
  key: ['id'],
  conflict: 'keep',
  where: 'not exists (select from erased_trace e where e.id = r.id)',
}

export const ERASED_TRACE: BulkTable = {
  table: 'erased_trace',
  columns: { id: 'text', identity_hash: 'text' },
  key: ['id'],
  conflict: 'keep',
}

export const TASK: BulkTable = {
  table: 'task',
  columns: { id: 'text', name: 'text', is_declared: 'boolean', key: 'text', place: 'text' },
  key: ['id'],
  conflict: 'earliest',
}

export const SPLIT_ASSIGNMENT: BulkTable = {
  table: 'split_assignment',
  columns: { task: 'text', input_hash: 'text', group_id: 'text', side: 'text', place: 'text' },
  key: ['task', 'input_hash'],
  conflict: 'earliest',
}

export const DROPPED_GROUP: BulkTable = {
  table: 'dropped_group',
  columns: { task: 'text', group_id: 'text' },
  key: ['task', 'group_id'],
  conflict: 'keep',
}

export const SPECIALIST: BulkTable = {
  table: 'specialist',
  columns: {
    hash: 'text',
    task: 'text',
    task_name: 'text',
    tier: 'text',
    manifest: 'text',
    time: 'text',
    place: 'text',
  },
  key: ['hash'],
  conflict: 'earliest',
}

export const CERTIFICATE: BulkTable = {
  table: 'certificate',
  columns: {
    id: 'text',
    task: 'text',
    specialist: 'text',
    certification_set: 'text',
    look: 'integer',
    newest_time: 'text',
    outcome: 'text',
    time: 'text',
    place: 'text',
  },
  key: ['id'],
  conflict: 'earliest',
}

export const TRANSITION: BulkTable = {
  table: 'transition',
  columns: {
    place: 'text',
    task: 'text',
    specialist: 'text',
    from_state: 'text',
    to_state: 'text',
    decided_by: 'text',
    certificate: 'text',
    threshold: 'double precision',
    time: 'text',
  },
  key: ['place'],
  conflict: 'keep',
}

/** Identities are indexed, and an index entry has a limit; a longer one goes by its hash. */
const IDENTITY_LENGTH_MAX = 200
const NAME_LENGTH_MAX = 500

/** The form in which an identity is stored and asked for. */
export function identityKey(identity: string): string {
  return identity.length <= IDENTITY_LENGTH_MAX ? identity : `sha256:${sha256(identity)}`
}

/** A trace as columns. Values that came from outside are brought into the range that the columns take. */
export function traceColumns(row: TraceRow) {
  return {
    id: row.id,
    identity: identityKey(row.identity),
    content_hash: row.contentHash,
    writer: row.position.writer,
    seq: row.position.seq,
    segment: row.position.segment,
    byte_offset: row.position.offset,
    hash: row.position.hash,
    time: row.time,
    source: row.source,
    app: name(row.app),
    endpoint: clip(row.endpoint, NAME_LENGTH_MAX),
    model: name(row.model),
    status: count(row.status, 2 ** 31 - 1) ?? 0,
    latency_ms: row.latencyMs,
    prompt_tokens: count(row.promptTokens),
    completion_tokens: count(row.completionTokens),
    is_complete: row.isComplete,
    task: row.task,
    input_hash: row.inputHash,
    served_by: row.servedBy,
    reason: name(row.reason),
    specialist: row.specialist,
    certificate: row.certificate,
    confidence: row.confidence,
    is_independent: row.isIndependent,
  }
}

function name(value: string | null): string | null {
  return value === null ? null : clip(value, NAME_LENGTH_MAX)
}

function count(value: number | null, max = Number.MAX_SAFE_INTEGER): number | null {
  return value === null || !(value >= 0 && value <= max) ? null : Math.round(value)
}

export function toTrace(row: Row): TraceRow {
  return {
    id: row.id as string,
    identity: row.identity as string,
    contentHash: row.content_hash as string,
    position: {
      writer: row.writer as string,
      seq: Number(row.seq),
      segment: Number(row.segment),
      offset: Number(row.byte_offset),
      hash: row.hash as string,
    },
    time: row.time as string,
    source: row.source as TraceRow['source'],
    app: row.app as string | null,
    endpoint: row.endpoint as string,
    model: row.model as string | null,
    status: Number(row.status),
    latencyMs: numberOrNull(row.latency_ms),
    promptTokens: numberOrNull(row.prompt_tokens),
    completionTokens: numberOrNull(row.completion_tokens),
    isComplete: row.is_complete as boolean,
    task: row.task as string | null,
    inputHash: row.input_hash as string | null,
    servedBy: row.served_by as TraceRow['servedBy'],
    reason: row.reason as string | null,
    specialist: row.specialist as string | null,
    certificate: row.certificate as string | null,
    confidence: numberOrNull(row.confidence),
    isIndependent: row.is_independent as boolean,
  }
}

export function numberOrNull(value: unknown): number | null {
  return value === null ? null : Number(value)
}

export function taskColumns(row: ProjectionBatch['tasks'][number]) {
  return {
    id: row.id,
    name: clip(row.name, NAME_LENGTH_MAX),
    is_declared: row.isDeclared,
    key: JSON.stringify(row.key ?? null),
    place: row.place,
  }
}

export function toTask(row: Row): TaskRow {
  return {
    id: row.id as string,
    name: row.name as string,
    isDeclared: row.is_declared as boolean,
    key: JSON.parse(row.key as string),
    firstTime: row.first_time as string,
  }
}

export function specialistColumns(row: ProjectionBatch['specialists'][number]) {
  return {
    hash: row.hash,
    task: row.task,
    task_name: row.taskName,
    tier: row.tier,
    manifest: JSON.stringify(row.manifest ?? null),
    time: row.time,
    place: row.place,
  }
}

export function toSpecialist(row: Row): SpecialistRow {
  return {
    hash: row.hash as string,
    task: row.task as string,
    taskName: row.task_name as string,
    tier: row.tier as SpecialistRow['tier'],
    manifest: JSON.parse(row.manifest as string),
    time: row.time as string,
    state: row.state as SpecialistRow['state'],
  }
}

export function certificateColumns(row: ProjectionBatch['certificates'][number]) {
  return {
    id: row.id,
    task: row.task,
    specialist: row.specialist,
    certification_set: row.certificationSet,
    look: row.look,
    newest_time: row.newestTime,
    outcome: JSON.stringify(row.outcome ?? null),
    time: row.time,
    place: row.place,
  }
}

export function toCertificate(row: Row): CertificateRow {
  return {
    id: row.id as string,
    task: row.task as string,
    specialist: row.specialist as string,
    certificationSet: row.certification_set as string,
    look: Number(row.look),
    newestTime: row.newest_time as string | null,
    outcome: JSON.parse(row.outcome as string),
    time: row.time as string,
  }
}

export function transitionColumns(row: ProjectionBatch['transitions'][number]) {
  return {
    place: row.place,
    task: row.task,
    specialist: row.specialist,
    from_state: row.from,
    to_state: row.to,
    decided_by: row.by,
    certificate: row.certificate,
    threshold: row.threshold,
    time: row.time,
  }
}

export function toCursor(row: Row): Cursor {
  return {
    writer: row.writer as string,
    segment: Number(row.segment),
    offset: Number(row.byte_offset),
    seq: Number(row.seq),
    hash: row.hash as string,
  }
}
