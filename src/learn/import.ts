/** Imports log files into a workspace: streaming, in batches, idempotent. Knows no format (wire) and no SQL (store). */
import { UnderstudyError } from '../errors.ts'
import type { TracePayload } from '../ledger/index.ts'
import { sha256 } from '../platform/index.ts'
import { type Clock, canonicalJson, newId, systemClock } from '../util/index.ts'
import {
  CHAT_PATH,
  detectLogFormat,
  isObject,
  type LogEntry,
  type LogFormat,
  parseLogLine,
} from '../wire/index.ts'
import type { Workspace } from '../workspace/index.ts'
import { type BatchIndex, indexBatches } from './import/batch.ts'
import { createOccurrenceCounter, type OccurrenceCounter } from './import/occurrences.ts'
import { createTally, type FileReport, type ImportReport, type Tally } from './import/report.ts'
import { openSource, readSource, type SourceFile, type SourceItem } from './import/source.ts'

export type { FileReport, ImportReport } from './import/report.ts'

/** What importing needs of a workspace. */
export type ImportTarget = Pick<Workspace, 'appendAndProject'> & {
  readonly store: Pick<Workspace['store'], 'knownIdentities'>
}

export interface ImportOptions {
  /** Found by looking at the first lines of each file where not given. */
  readonly format?: LogFormat | undefined
  /** Binds everything imported to this declared task. */
  readonly task?: string | undefined
  /** The app of lines that name none. */
  readonly app?: string | undefined
  readonly signal: AbortSignal
  readonly onProgress?: (event: ImportProgress) => void
  readonly clock?: Clock
  /** For tests. Default 64 MiB. */
  readonly maxLineBytes?: number
}

/** How far all files together are. */
export interface ImportProgress {
  readonly stage: 'import'
  readonly done: number
  readonly total: number
  readonly note: string
  readonly unit: 'bytes'
}

const BATCH_LINES = 500
/** Fat lines make smaller batches, so that memory stays flat. */
const BATCH_BYTES = 8 * 2 ** 20
/** As many records as are looked at before a file counts as unknown. */
const DETECTION_RECORDS = 100
const MAX_NAME_LENGTH = 100

interface PlannedFile extends SourceFile {
  readonly format: LogFormat | null
}

/**
 * Imports files one after the other; importing them again changes nothing.
 * @throws file-unreadable before anything is imported, where a file is missing or in no known format; usage-invalid for
 * labelled files without a task; cancelled between batches, keeping what was imported; ledger-unwritable
 */
export async function importFiles(
  target: ImportTarget,
  paths: readonly string[],
  options: ImportOptions,
): Promise<ImportReport> {
  checkName('task', options.task)
  checkName('app', options.app)
  const files: PlannedFile[] = []
  for (const path of paths) files.push(await planFile(path, options))
  const batches = await indexBatches(
    files.filter(file => file.format === 'openai-batch'),
    options.signal,
  )
  try {
    if (batches.isOneSided) {
      throw new UnderstudyError(
        'file-unreadable',
        'The batch files hold requests without answers.',
        {
          help: "Give the batch's output file as well.",
        },
      )
    }
    const reports: FileReport[] = []
    const totalBytes = files.reduce((sum, file) => sum + file.byteLength, 0)
    let doneBytes = 0
    for (const file of files) {
      const progress = progressOf(doneBytes, totalBytes, options)
      reports.push(await importFile({ target, file, batches, options, progress }))
      doneBytes += file.byteLength
    }
    return { files: reports }
  } finally {
    await batches.close()
  }
}

function checkName(option: 'task' | 'app', name: string | undefined): void {
  if (name === undefined) return
  if (name.trim() !== '' && name.length <= MAX_NAME_LENGTH && !/\p{Cc}/u.test(name)) return
  throw new UnderstudyError('usage-invalid', `'${name}' is no name for --${option}.`, {
    help: `Use 1 to ${MAX_NAME_LENGTH} printable characters.`,
  })
}

/** Looks at the beginning of a file, so that mistakes show before anything is imported. */
async function planFile(path: string, options: ImportOptions): Promise<PlannedFile> {
  const file = await openSource(path)
  const looked = options.format ?? (await detect(file))
  const isEmpty = looked === 'empty'
  if (looked === 'labelled' && options.task === undefined) {
    throw new UnderstudyError(
      'usage-invalid',
      `${path} holds texts with labels, but no task is named.`,
      {
        help: 'Add --task NAME; the task serves where the configuration or a header names it.',
      },
    )
  }
  return { ...file, format: isEmpty ? null : looked }
}

async function detect(file: SourceFile): Promise<LogFormat | 'empty'> {
  let count = 0
  let sample: SourceItem | null = null
  search: for await (const items of readSource(file)) {
    for (const item of items) {
      sample ??= item
      const format = 'reason' in item ? null : detectLogFormat(item.value)
      if (format !== null) return format
      if (++count >= DETECTION_RECORDS) break search
    }
  }
  if (sample === null) return 'empty'
  throw new UnderstudyError(
    'file-unreadable',
    `${file.path} is in no known format: ${sampleText(sample)}.`,
    {
      help: 'Give --format NAME (see `understudy import --help`), or write one object a line with request and response.',
    },
  )
}

function sampleText(item: SourceItem): string {
  if ('reason' in item) return `line ${item.line} is ${item.reason}`
  if (!isObject(item.value)) return `line ${item.line} is no JSON object`
  const names = Object.keys(item.value)
  return `line ${item.line} has the fields ${names.slice(0, 8).join(', ')}${names.length > 8 ? ', …' : ''}`
}

function progressOf(
  doneBytes: number,
  total: number,
  { onProgress }: ImportOptions,
): (fileBytes: number, lineCount: number) => void {
  return (fileBytes, lineCount) =>
    onProgress?.({
      stage: 'import',
      done: Math.min(total, doneBytes + fileBytes),
      total,
      note: `${lineCount.toLocaleString('en')} lines`,
      unit: 'bytes',
    })
}

interface FileImport {
  readonly target: ImportTarget
  readonly file: PlannedFile
  readonly batches: BatchIndex
  readonly options: ImportOptions
  readonly progress: (fileBytes: number, lineCount: number) => void
}

/** A trace ready to be appended, with the line that it came from. */
interface Pending {
  readonly line: number
  readonly payload: TracePayload
}

async function importFile(run: FileImport): Promise<FileReport> {
  const { target, file, options, progress } = run
  const tally = createTally(file.path, file.format)
  const occurrences = createOccurrenceCounter()
  let pending: Pending[] = []
  let pendingBytes = 0
  let lineCount = 0
  let fileBytes = 0
  const flush = async (): Promise<void> => {
    stopWhenCancelled(options.signal)
    await appendNew(target, pending, tally)
    pending = []
    pendingBytes = 0
    progress(fileBytes, lineCount)
  }
  const read = readSource(file, {
    ...(options.maxLineBytes === undefined ? {} : { maxLineBytes: options.maxLineBytes }),
    onBytes: byteCount => {
      fileBytes = byteCount
    },
  })
  for await (const items of read) {
    stopWhenCancelled(options.signal)
    for (const item of items) {
      lineCount++
      tally.line()
      const made = await traceOf(item, run, tally, occurrences)
      if (made === null) continue
      pending.push(made)
      pendingBytes += 'text' in item ? item.text.length : 0
      if (pending.length >= BATCH_LINES || pendingBytes >= BATCH_BYTES) await flush()
    }
  }
  await flush()
  return tally.report()
}

function stopWhenCancelled(signal: AbortSignal): void {
  if (!signal.aborted) return
  throw new UnderstudyError(
    'cancelled',
    'The import was stopped; what was imported so far stays.',
    {
      help: 'Run it again to import the rest.',
    },
  )
}

/** The trace of a record, null where it was counted as something else. */
async function traceOf(
  item: SourceItem,
  { file, batches, options }: FileImport,
  tally: Tally,
  occurrences: OccurrenceCounter,
): Promise<Pending | null> {
  if ('reason' in item) {
    tally.reject(item.line, item.reason)
    return null
  }
  // A file with lines is never planned without a format.
  const half = parseLogLine(file.format ?? 'native', item.value)
  const parsed = half.kind === 'batch-response' ? await batches.pair(half) : half
  if (parsed.kind === 'batch-request') tally.request()
  else if (parsed.kind === 'rejected') tally.reject(item.line, parsed.reason)
  if (parsed.kind !== 'entry') return null
  const identity = parsed.entry.id ?? lineIdentity(item.text, occurrences)
  return { line: item.line, payload: payloadOf(parsed.entry, identity, options) }
}

/** Without an id, a line is itself: its hash, and how often it came before in this file. */
function lineIdentity(text: string, occurrences: OccurrenceCounter): string {
  const hash = sha256(text)
  return `sha256:${hash}#${occurrences.next(hash)}`
}

function payloadOf(entry: LogEntry, identity: string, options: ImportOptions): TracePayload {
  const { request, response } = entry
  const time = entry.time ?? new Date((options.clock ?? systemClock).now()).toISOString()
  return {
    id: newId('dec'),
    identity,
    contentHash: sha256(canonicalJson({ request, response })),
    source: 'import',
    time,
    app: entry.app ?? options.app ?? null,
    endpoint: CHAT_PATH,
    request,
    response,
    status: entry.status,
    latencyMs: entry.latencyMs,
    isStream: request.stream === true,
    isComplete: true,
    declaredTask: options.task ?? null,
    decision: null,
  }
}

/** Appends what is neither known nor twice in this batch; an id with other content is reported instead. */
async function appendNew(
  target: ImportTarget,
  pending: readonly Pending[],
  tally: Tally,
): Promise<void> {
  if (pending.length === 0) return
  const known = new Map(
    await target.store.knownIdentities(pending.map(({ payload }) => payload.identity)),
  )
  const fresh: TracePayload[] = []
  for (const { line, payload } of pending) {
    const before = known.get(payload.identity)
    if (before === undefined) {
      known.set(payload.identity, payload.contentHash)
      fresh.push(payload)
    } else if (before === payload.contentHash) {
      tally.duplicate()
    } else {
      tally.conflict(payload.identity, line)
    }
  }
  if (fresh.length > 0)
    await target.appendAndProject(fresh.map(payload => ({ kind: 'trace', payload })))
  tally.imported(fresh.length)
}
