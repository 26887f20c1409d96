/**
 * What a new writer must know of the ones before it: repairs the tails of dead ones and collects their heads, so that
 * the new chain commits to them and a missing writer is noticed.
 */
import { open, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { isProcessIdentity, processLiveness } from '../platform/index.ts'
import type { Clock } from '../util/index.ts'
import { isCount, isHash, parseObject } from './format.ts'
import { appendHead, type Head, type HeadSigner, isHeadSigned, lastHead } from './heads.ts'
import { listSegments, listWriters, OWNER_FILE, segmentName, type WriterFolder } from './layout.ts'
import { type ScanCursor, START, scanFolder } from './scan.ts'

/** Version of the ledger's format, written into each writer's first record. */
export const LEDGER_VERSION = 1

/** Another writer's newest record, as seen when a writer began. */
export interface WriterHead {
  readonly writer: string
  readonly seq: number
  readonly hash: string
}

/** A torn last record that was cut off. */
export interface Repair {
  readonly writer: string
  readonly segment: number
  readonly offset: number
  readonly byteCount: number
}

/** Payload of a `genesis` record. */
export interface GenesisPayload {
  readonly node: string
  readonly writer: string
  readonly version: number
  /** Newest records of this node's other writers, without those that another listed writer's genesis commits to. */
  readonly heads: readonly WriterHead[]
  readonly repairs: readonly Repair[]
}

/** The earlier writers of a node. */
export interface Predecessors {
  readonly heads: readonly WriterHead[]
  readonly repairs: readonly Repair[]
}

/**
 * Repairs dead writers of this node and returns the heads to commit to.
 * @throws file-unreadable
 */
export async function recoverWriters({
  dir,
  node,
  signer,
  clock,
}: {
  dir: string
  node: string
  signer: HeadSigner
  clock: Clock
}): Promise<Predecessors> {
  const heads: WriterHead[] = []
  const repairs: Repair[] = []
  const committed = new Set<string>()
  for (const folder of (await listWriters(dir)).filter(each => each.node === node)) {
    const found = await recoverWriter(folder, signer, clock)
    if (found.head !== null) heads.push(found.head)
    if (found.repair !== null) repairs.push(found.repair)
    for (const { hash } of await committedHeads(folder.path)) committed.add(hash)
  }
  return { heads: heads.filter(head => !committed.has(head.hash)), repairs }
}

interface Found {
  readonly head: WriterHead | null
  readonly repair: Repair | null
}

async function recoverWriter(
  folder: WriterFolder,
  signer: HeadSigner,
  clock: Clock,
): Promise<Found> {
  const { path, writer } = folder
  const newest = await lastHead(path)
  const signed = newest !== null && isHeadSigned(newest) ? newest : null
  if (signed?.isFinal) {
    return { head: { writer, seq: signed.seq, hash: signed.hash }, repair: null }
  }
  const tail = await findTail(path, writer, signed)
  const isOurs = tail.isReadable && !(await isWriterAlive(path))
  const repair = isOurs && tail.tornByteCount > 0 ? await cutTail(folder, tail) : null
  const { seq, hash, segment, offset } = tail.cursor
  if (seq < 0) return { head: null, repair }
  if (isOurs) {
    const head: Head = {
      writer,
      seq,
      hash,
      segment,
      offset,
      time: new Date(clock.now()).toISOString(),
      isFinal: true,
      repairedByteCount: repair?.byteCount ?? 0,
    }
    await appendHead(path, signer.sign(head))
    await rm(join(path, OWNER_FILE), { force: true })
  }
  return { head: { writer, seq, hash }, repair }
}

interface Tail {
  readonly cursor: ScanCursor
  readonly tornByteCount: number
  /** False where damage, not a crash, ends the chain: then nothing is cut, so that `verify` can show it. */
  readonly isReadable: boolean
}

async function findTail(path: string, writer: string, from: ScanCursor | null): Promise<Tail> {
  const last = (await listSegments(path)).at(-1) ?? 0
  let cursor = from !== null && from.segment <= last ? from : { ...START, segment: last }
  for await (const item of scanFolder(path, writer, cursor, () => false)) {
    if (item.type === 'record') cursor = item.next
    else if (item.type === 'broken') return { cursor, tornByteCount: 0, isReadable: false }
    else return { cursor, tornByteCount: item.byteCount, isReadable: true }
  }
  return { cursor, tornByteCount: 0, isReadable: true }
}

async function cutTail({ path, writer }: WriterFolder, tail: Tail): Promise<Repair> {
  const { segment, offset } = tail.cursor
  const handle = await open(join(path, segmentName(segment)), 'r+')
  try {
    await handle.truncate(offset)
    await handle.sync()
  } finally {
    await handle.close()
  }
  return { writer, segment, offset, byteCount: tail.tornByteCount }
}

/** Whether the process that writes here still runs; unknown (another container) counts as alive. */
export async function isWriterAlive(path: string): Promise<boolean> {
  const text = await readFile(join(path, OWNER_FILE), 'utf8').catch(() => '')
  const owner = parseObject(text)
  return isProcessIdentity(owner) && processLiveness(owner) !== 'dead'
}

/** What a writer's genesis commits to; nothing where it cannot be read. */
export async function committedHeads(path: string): Promise<readonly WriterHead[]> {
  for await (const item of scanFolder(path, '', START, kind => kind === 'genesis')) {
    return item.type === 'record' ? genesisHeads(item.record.payload) : []
  }
  return []
}

function genesisHeads(payload: unknown): readonly WriterHead[] {
  const heads = (payload as Partial<GenesisPayload> | null)?.heads
  return Array.isArray(heads) ? heads.filter(isWriterHead) : []
}

function isWriterHead(value: unknown): value is WriterHead {
  const { writer, seq, hash } = (value ?? {}) as Record<string, unknown>
  return typeof writer === 'string' && isCount(seq) && isHash(hash)
}
