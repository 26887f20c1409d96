/** Who this data folder is: an id that it keeps for ever, written on first use. */
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { UnderstudyError } from '../errors.ts'
import { makeFolder, writeFileAtomic } from '../platform/index.ts'
import { randomHex } from '../util/index.ts'

const NODE = /^[A-Za-z0-9_-]{1,64}$/

/**
 * Makes sure that the path is a folder.
 * @throws file-unreadable
 */
export async function ensureFolder(dataDir: string): Promise<void> {
  try {
    // What is recorded is what was sent: nobody else on this machine may read it.
    await makeFolder(dataDir, 0o700)
    if (!(await stat(dataDir)).isDirectory()) throw new Error('it is not a folder')
  } catch (error) {
    throw new UnderstudyError(
      'file-unreadable',
      `cannot use ${dataDir} as data folder: ${why(error)}`,
      {
        help: 'Name a folder that this user may write, with --data DIR.',
        cause: error,
      },
    )
  }
}

/**
 * The node id of a data folder.
 * @throws file-corrupt when `node.json` is there but says nothing usable; file-unreadable
 */
export async function nodeOf(dataDir: string): Promise<string> {
  const path = join(dataDir, 'node.json')
  const text = await readFile(path, 'utf8').catch(error => {
    if (error.code === 'ENOENT') return null
    throw new UnderstudyError('file-unreadable', `cannot read ${path}: ${why(error)}`, {
      help: 'Check the permissions of the data folder.',
      cause: error,
    })
  })
  if (text !== null) return parseNode(path, text)
  const node = randomHex(8)
  try {
    await writeFileAtomic(path, `${JSON.stringify({ node, version: 1 })}\n`)
  } catch (error) {
    throw new UnderstudyError('file-unreadable', `cannot write ${path}: ${why(error)}`, {
      help: 'Check free space and permissions of the data folder.',
      cause: error,
    })
  }
  return node
}

function parseNode(path: string, text: string): string {
  try {
    const { node } = JSON.parse(text) as { node?: unknown }
    if (typeof node === 'string' && NODE.test(node)) return node
  } catch {}
  throw new UnderstudyError('file-corrupt', `${path} does not name a node`, {
    help: 'Restore it from a backup, or write {"node": NAME} with the name of the folder below ledger/.',
  })
}

/** A thrown value in words. */
export function why(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
