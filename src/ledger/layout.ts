/** Where writers and segments lie: `<ledger>/<node>/<writer>/<segment>`. Knows nothing of records. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { UnderstudyError } from '../errors.ts'

const WRITER = /^wr_[0-9A-Z]{26}$/
const SEGMENT = /^(\d{6})\.ledger$/

/** File beside a writer's segments that holds its signed heads. */
export const HEADS_FILE = 'heads.jsonl'

/** File beside a writer's segments that says which process writes. */
export const OWNER_FILE = 'owner.json'

/** A writer's folder. */
export interface WriterFolder {
  readonly node: string
  readonly writer: string
  readonly path: string
}

/** File name of a segment, counted from 0. */
export function segmentName(segment: number): string {
  return `${String(segment).padStart(6, '0')}.ledger`
}

/**
 * All writers below a ledger folder, oldest first; none where the folder does not exist yet.
 * @throws file-unreadable
 */
export async function listWriters(dir: string): Promise<readonly WriterFolder[]> {
  const folders: WriterFolder[] = []
  for (const node of await folderNames(dir)) {
    for (const writer of await folderNames(join(dir, node))) {
      if (WRITER.test(writer)) folders.push({ node, writer, path: join(dir, node, writer) })
    }
  }
  return folders.sort((a, b) => (a.writer < b.writer ? -1 : 1))
}

/** Folder of a writer, null where there is none. Refuses what is not a writer id, so it cannot leave the ledger. */
export async function findWriter(dir: string, writer: string): Promise<WriterFolder | null> {
  if (!WRITER.test(writer)) return null
  return (await listWriters(dir)).find(folder => folder.writer === writer) ?? null
}

/**
 * Numbers of the segments in a writer's folder, ascending.
 * @throws file-unreadable
 */
export async function listSegments(path: string): Promise<readonly number[]> {
  return (await readFolder(path))
    .flatMap(entry => SEGMENT.exec(entry.name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b)
}

async function folderNames(path: string): Promise<readonly string[]> {
  return (await readFolder(path)).filter(entry => entry.isDirectory()).map(entry => entry.name)
}

async function readFolder(path: string) {
  try {
    return await readdir(path, { withFileTypes: true })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw unreadable(path, error)
  }
}

/** An operating system's refusal, as one of ours. */
export function unreadable(path: string, cause: unknown): UnderstudyError {
  return new UnderstudyError(
    'file-unreadable',
    `cannot read ${path}: ${cause instanceof Error ? cause.message : String(cause)}`,
    { help: 'Check that the file exists and that this user may read it.', cause },
  )
}
