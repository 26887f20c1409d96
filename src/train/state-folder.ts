/** Folders in which a broken-off training keeps what it needs to go on. */
import { mkdir } from 'node:fs/promises'
import { UnderstudyError } from '../errors.ts'

/** @throws file-unreadable when the folder cannot be made */
export async function makeStateFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true })
  } catch (cause) {
    throw new UnderstudyError('file-unreadable', `${folder} cannot be written.`, {
      help: 'Check free space and permissions of the data folder.',
      cause,
    })
  }
}
