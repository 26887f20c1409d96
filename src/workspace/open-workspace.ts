/** Puts a data folder together: lock, ledger, projection, blobs. Knows no tasks and no HTTP. */
import { join } from 'node:path'
import { UnderstudyError } from '../errors.ts'
import {
  type Durability,
  type ErasurePayload,
  eraseRecord,
  type LedgerWriter,
  openLedgerReader,
  openLedgerWriter,
  type RecordPosition,
  type SegmentIo,
  type TracePayload,
} from '../ledger/index.ts'
import { sha256 } from '../platform/index.ts'
import {
  connectDatabase,
  type Database,
  type MessageChannel,
  openPglite,
  openPostgres,
  openStore,
  serveDatabase,
} from '../store/index.ts'
import { type Clock, settledWithin, systemClock } from '../util/index.ts'
import { openBlobStore } from './blob-store.ts'
import { ensureFolder, nodeOf } from './node-file.ts'
import { acquireLock } from './owner-lock.ts'
import { createProjector, type Projector } from './projector.ts'
import type {
  DescribeTrace,
  LedgerEntry,
  OwnedWorkspace,
  Workspace,
  WorkspaceHealth,
} from './types.ts'

interface CommonOptions {
  readonly dataDir: string
  readonly describe: DescribeTrace
  readonly durability?: Durability
  readonly clock?: Clock
  /** Default: `understudy/ledger-key.pem` in the user's configuration folder. */
  readonly signingKeyPath?: string
  /** For tests: makes writes fail. */
  readonly ledgerIo?: SegmentIo
  readonly segmentBytes?: number
}

export interface OpenWorkspaceOptions extends CommonOptions {
  /** A Postgres server; without it the embedded one in `<data folder>/db`. */
  readonly databaseUrl?: string
  /** Where this process's HTTP server listens, if it is known already. */
  readonly address?: string
  /** What others are told about this process. */
  readonly command?: string
}

export interface OpenChildWorkspaceOptions extends CommonOptions {
  /** To the process that owns the folder and calls `serveChild`. */
  readonly channel: MessageChannel
}

/** How long opening waits for the projection; what takes longer goes on behind. */
const CATCH_UP_WITHIN_MS = 1_500
/** How long closing waits for the projection; the next start does the rest. */
const SETTLE_WITHIN_MS = 5_000

/**
 * Opens a data folder as its owner. Works while the database is away: `health` says so, the ledger records. Call
 * `settle` before relying on what the store knows of earlier runs.
 * @throws data-folder-busy, file-unreadable, file-corrupt, ledger-unwritable, config-invalid
 */
export async function openWorkspace(options: OpenWorkspaceOptions): Promise<OwnedWorkspace> {
  const { dataDir, databaseUrl, address = null, clock = systemClock } = options
  const command = options.command ?? `understudy ${process.argv.slice(2, 3).join('')}`.trim()
  await ensureFolder(dataDir)
  const node = await nodeOf(dataDir)
  const lock = await acquireLock(dataDir, { command, address, clock })
  try {
    const database = databaseUrl === undefined ? openPglite(dataDir) : openPostgres(databaseUrl)
    // It starts on its own thread while the ledger is looked through; what fails here is met again.
    database.query('select 1').catch(() => undefined)
    const { workspace, projector } = await assemble(options, node, database)
    const children = new Set<() => void>()
    await settledWithin(projector.catchUp(), CATCH_UP_WITHIN_MS)
    return {
      ...workspace,
      setAddress: lock.setAddress,
      serveChild(channel) {
        const stop = serveDatabase(database, channel)
        children.add(stop)
        channel.onClose(() => {
          children.delete(stop)
          projector.catchUp().catch(() => undefined)
        })
      },
      rebuild: () => projector.rebuild(),
      async close() {
        for (const stop of children) stop()
        await workspace.close()
        await lock.release()
      },
    }
  } catch (error) {
    await lock.release()
    throw error
  }
}

/**
 * Opens the data folder in a child of its owner: with a ledger writer of its own and the owner's database.
 * @throws file-unreadable, file-corrupt, ledger-unwritable, config-invalid
 */
export async function openChildWorkspace(options: OpenChildWorkspaceOptions): Promise<Workspace> {
  const node = await nodeOf(options.dataDir)
  const { workspace } = await assemble(options, node, connectDatabase(options.channel))
  return workspace
}

async function assemble(
  options: CommonOptions,
  node: string,
  database: Database,
): Promise<{ workspace: Workspace; projector: Projector }> {
  const { dataDir, describe, durability, clock, signingKeyPath, ledgerIo, segmentBytes } = options
  const ledgerDir = join(dataDir, 'ledger')
  const writer = await openLedgerWriter({
    dir: ledgerDir,
    node,
    ...(durability && { durability }),
    ...(clock && { clock }),
    ...(signingKeyPath && { signingKeyPath }),
    ...(ledgerIo && { io: ledgerIo }),
    ...(segmentBytes && { segmentBytes }),
  })
  const store = openStore(database)
  const reader = openLedgerReader(ledgerDir)
  const projector = createProjector({ ledgerDir, writer: writer.writer, store, describe })
  const append = appender(writer, projector)

  const workspace: Workspace = {
    dataDir,
    node,
    store,
    blobs: openBlobStore(dataDir),
    append,
    async appendAndProject(entries) {
      const positions = await Promise.all(entries.map(append))
      await projector.settle()
      return positions
    },
    read: reader.read,
    settle: () => projector.settle(),
    catchUp: () => projector.catchUp(),
    erase: id => eraseTrace(id, workspace, { ledgerDir, writer, projector }),
    health: () => healthOf(writer, projector),
    async close() {
      // What was appended is in the ledger; a store that is away must not hold up the end.
      if (projector.health().state === 'ok') {
        await settledWithin(projector.settle(), SETTLE_WITHIN_MS)
      }
      await writer.close()
      await settledWithin(projector.close(), SETTLE_WITHIN_MS)
      await reader.close()
      await store.close()
    },
  }
  return { workspace, projector }
}

function appender(writer: LedgerWriter, projector: Projector) {
  return (entry: LedgerEntry): Promise<RecordPosition> =>
    writer.append(entry).then(written => {
      projector.note({ ...entry, ...written })
      return written.position
    })
}

/** The trace's row says where it lies; a trace that was erased before has none. */
async function eraseTrace(
  id: string,
  { store, read }: Pick<Workspace, 'store' | 'read'>,
  {
    ledgerDir,
    writer,
    projector,
  }: { ledgerDir: string; writer: LedgerWriter; projector: Projector },
): Promise<void> {
  await projector.settle()
  const row = await store.trace(id)
  if (row === null) {
    throw new UnderstudyError('not-found', `there is no trace ${id}, or it was erased before`, {
      help: 'Check the decision id; it begins with dec_.',
    })
  }
  const { position, payload } = await read(row.position)
  const identity = (payload as Partial<TracePayload> | null)?.identity
  const erasure: ErasurePayload = {
    target: position,
    trace: id,
    identityHash: identity === undefined ? null : sha256(identity),
  }
  projector.note({
    kind: 'erasure',
    payload: erasure,
    ...(await eraseRecord(ledgerDir, writer, erasure)),
  })
  await projector.settle()
}

function healthOf(writer: LedgerWriter, projector: Projector): WorkspaceHealth {
  const ledger = writer.health()
  const projection = projector.health()
  return {
    ledger: ledger.state,
    store: projection.state,
    unrecordedCount: ledger.refusedCount,
    unprojectedCount: projection.skippedCount,
    queuedBytes: ledger.queuedBytes,
    lagCount: Math.max(0, ledger.lastSeq - projection.lastSeq),
    error: ledger.error ?? projection.error,
  }
}
