/** Content-addressed bytes in a folder. Knows nothing of what they mean. */
import { mkdir, readFile, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { UnderstudyError } from '../errors.ts'
import { sha256, writeFileAtomic } from '../platform/index.ts'
import { why } from './node-file.ts'
import type { BlobStore } from './types.ts'

/** Blobs below `<data folder>/artifacts`. */
export function openBlobStore(dataDir: string): BlobStore {
  const pathOf = (hash: string): string => {
    if (!/^[0-9a-f]{64}$/.test(hash)) {
      throw new UnderstudyError('not-found', `"${hash}" is not the hash of an artefact`, {
        help: 'An artefact is named by its SHA-256 in 64 hexadecimal digits.',
      })
    }
    return join(dataDir, 'artifacts', 'sha256', hash.slice(0, 2), hash.slice(2))
  }
  const has = async (hash: string): Promise<boolean> =>
    (await stat(pathOf(hash)).catch(() => null))?.isFile() ?? false
  const get = async (hash: string): Promise<Uint8Array> => {
    const path = pathOf(hash)
    const bytes = await readFile(path).catch(error => {
      throw unreadable(path, hash, error)
    })
    if (sha256(bytes) === hash) return bytes
    throw new UnderstudyError('file-corrupt', `artefact ${path} is not what its name says`, {
      help: 'Restore the file from a backup, or delete it and learn again.',
    })
  }
  return {
    has,
    get,
    async put(bytes) {
      const hash = sha256(bytes)
      const path = pathOf(hash)
      try {
        if (await has(hash)) {
          // A damaged file is replaced rather than kept.
          if (await get(hash).catch(() => null)) return hash
          await rm(path)
        }
        await mkdir(dirname(path), { recursive: true })
        await writeFileAtomic(path, bytes)
        return hash
      } catch (error) {
        throw new UnderstudyError(
          'file-unreadable',
          `cannot write artefact ${path}: ${why(error)}`,
          {
            help: 'Check free space and permissions of the data folder.',
            cause: error,
          },
        )
      }
    },
  }
}

function unreadable(path: string, hash: string, error: NodeJS.ErrnoException): UnderstudyError {
  return error.code === 'ENOENT'
    ? new UnderstudyError('not-found', `there is no artefact ${hash}`, {
        help: 'Restore it from a backup, or learn again.',
      })
    : new UnderstudyError('file-unreadable', `cannot read artefact ${path}: ${why(error)}`, {
        help: 'Check the permissions of the data folder.',
        cause: error,
      })
}
