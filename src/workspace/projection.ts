/** What one ledger record means to the projection. Pure; knows neither files nor SQL. */
import type {
  CertificationPayload,
  Decision,
  ErasurePayload,
  LedgerRecord,
  SpecialistPayload,
  SplitPayload,
  TracePayload,
  TransitionPayload,
} from '../ledger/index.ts'
import type { ProjectionBatch } from '../store/index.ts'
import { mergeBy } from '../util/index.ts'
import type { DescribeTrace, TraceDescription } from './types.ts'

/** A batch being filled. */
export type MutableBatch = { -readonly [K in keyof ProjectionBatch]: ProjectionBatch[K][number][] }

export function emptyBatch(): MutableBatch {
  return {
    cursors: [],
    traces: [],
    tasks: [],
    splits: [],
    specialists: [],
    certificates: [],
    transitions: [],
    erasedTraces: [],
  }
}

/** A batch without a cursor: what a single record adds. */
export function projectRecord(record: LedgerRecord, describe: DescribeTrace): MutableBatch {
  const batch = emptyBatch()
  const { kind, time, payload, position } = record
  if (typeof payload !== 'object' || payload === null) return batch
  const place = `${time}/${position.writer}/${String(position.seq).padStart(15, '0')}`
  switch (kind) {
    case 'trace':
      addTrace(batch, record, payload as TracePayload, describe)
      break
    case 'split':
      batch.splits.push({ ...(payload as SplitPayload), place })
      break
    case 'specialist':
      batch.specialists.push({ ...(payload as SpecialistPayload), time, place })
      break
    case 'certification':
      batch.certificates.push({ ...(payload as CertificationPayload), time, place })
      break
    case 'transition':
      batch.transitions.push({ ...(payload as TransitionPayload), time, place })
      break
    case 'erasure':
      addErasure(batch, payload as ErasurePayload)
      break
    case 'genesis':
      break
  }
  return batch
}

/** What all parts hold. Each trace names its task; one row a task is enough, the one with the earliest place. */
export function merged(parts: readonly MutableBatch[]): MutableBatch {
  const batch = emptyBatch()
  for (const part of parts) {
    for (const key of Object.keys(part) as (keyof MutableBatch)[]) {
      for (const row of part[key]) (batch[key] as unknown[]).push(row)
    }
  }
  batch.tasks = mergeBy(
    batch.tasks,
    ({ id }) => id,
    (known, task) => (task.place < known.place ? task : known),
  )
  return batch
}

function addErasure(batch: MutableBatch, { trace, identityHash }: ErasurePayload): void {
  if (trace !== null) batch.erasedTraces.push({ id: trace, identityHash })
}

const NOTHING_KNOWN: TraceDescription = {
  model: null,
  promptTokens: null,
  completionTokens: null,
  task: null,
  inputHash: null,
  isIndependent: false,
}

function addTrace(
  batch: MutableBatch,
  { position, time: recordTime }: LedgerRecord,
  trace: TracePayload,
  describe: DescribeTrace,
): void {
  const described = safely(() => describe(trace)) ?? NOTHING_KNOWN
  const { task, ...description } = described
  const decision: Partial<Decision> = trace.decision ?? {}
  const time = sortableTime(trace.time) ?? recordTime
  const { specialist, certificate, servedBy, reason, tiers } = decision
  batch.traces.push({
    id: trace.id,
    identity: trace.identity,
    contentHash: trace.contentHash,
    position,
    time,
    source: trace.source,
    app: trace.app ?? null,
    endpoint: trace.endpoint,
    status: trace.status,
    latencyMs: trace.latencyMs ?? null,
    isComplete: trace.isComplete,
    ...description,
    task: task?.id ?? null,
    servedBy: servedBy ?? null,
    reason: reason ?? null,
    specialist: specialist ?? null,
    certificate: certificate ?? null,
    confidence: tiers?.at(-1)?.confidence ?? null,
  })
  if (task !== null) {
    batch.tasks.push({ ...task, firstTime: time, place: `${time}/${trace.id}` })
  }
}

/** A description that fails on hostile content costs the trace its task, not the projection. */
function safely<T>(work: () => T): T | null {
  try {
    return work()
  } catch {
    return null
  }
}

/** ISO 8601 in UTC with a four-digit year, so that text order is time order. */
function sortableTime(time: unknown): string | null {
  const ms = typeof time === 'string' ? Date.parse(time) : Number.NaN
  if (Number.isNaN(ms)) return null
  const text = new Date(ms).toISOString()
  return text.length === 24 ? text : null
}
