/** Folders in which a broken-off training keeps what it needs to go on. */
import { mkdir, readFile } from 'node:fs/promises'
import { UnderstudyError } from '../errors.ts'
import { writeFileAtomic } from '../platform/index.ts'

/** @throws file-unreadable when the folder cannot be made */
export async function makeStateFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true })
  } catch (cause) {
    throw unwritable(folder, cause)
  }
}

/** Atomic: what was written before stays where it fails. @throws file-unreadable, for a full disk most of the time */
export async function writeState(
  path: string,
  data: Parameters<typeof writeFileAtomic>[1],
): Promise<void> {
  try {
    await writeFileAtomic(path, data)
  } catch (cause) {
    throw unwritable(path, cause)
  }
}

/** Null where there is no file. @throws file-unreadable where there is one that cannot be read */
export async function readState(path: string): Promise<Buffer | null> {
  return await readFile(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null
    throw unreadable(path, error)
  })
}

function unwritable(path: string, cause: unknown): UnderstudyError {
  const { code } = cause as NodeJS.ErrnoException
  return new UnderstudyError(
    'file-unreadable',
    `${path} cannot be written: ${code ?? 'unknown'}.`,
    {
      help: 'Check free space and permissions of the data folder, and run the same again: it goes on from there.',
      cause,
    },
  )
}

/** What a file of such a folder is where it is there and cannot be read: going on without it would write over it. */
export function unreadable(path: string, cause: unknown): UnderstudyError {
  return new UnderstudyError('file-unreadable', `${path} cannot be read.`, {
    help: 'Check the disk and its permissions, or delete the file’s folder to start this training from its beginning.',
    cause,
  })
}
