/** One growing file that either takes a whole batch or is put back as it was. Knows bytes, not records. */
import { write } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { dirname } from 'node:path'

/** The system calls that may fail; replaced in tests to make them fail. */
export interface SegmentIo {
  write(handle: FileHandle, bytes: Buffer, position: number): Promise<number>
  truncate(handle: FileHandle, length: number): Promise<void>
  sync(handle: FileHandle): Promise<void>
}

/** The real ones. */
export const systemIo: SegmentIo = {
  // Straight to the descriptor: this is on the path of every answer, and a handle's own write takes several promises.
  write: ({ fd }, bytes, position) =>
    new Promise((resolve, reject) => {
      write(fd, bytes, 0, bytes.length, position, (error, count) =>
        error === null ? resolve(count) : reject(error),
      )
    }),
  truncate: (handle, length) => handle.truncate(length),
  sync: handle => handle.datasync(),
}

/** An open segment. `size` counts only whole batches. */
export interface SegmentFile {
  readonly size: number
  /** Writes all or nothing. @throws the file system's own error */
  append(bytes: Buffer): Promise<void>
  /** Takes back everything behind `size` bytes. @throws the file system's own error */
  cutTo(size: number): Promise<void>
  sync(): Promise<void>
  close(): Promise<void>
}

/** Creates a segment, and makes its name durable. */
export async function createSegment(path: string, io: SegmentIo): Promise<SegmentFile> {
  const handle = await open(path, 'wx')
  await syncFolder(dirname(path))
  let size = 0
  // A failed write whose remains could not be cut off yet; nothing is appended behind them.
  let isDirty = false

  const cut = async (length: number): Promise<void> => {
    isDirty = true
    // At once: where this fails as well, what comes next must still know where the whole batches end.
    size = length
    await io.truncate(handle, length)
    isDirty = false
  }
  return {
    get size() {
      return size
    },
    async append(bytes) {
      if (isDirty) await cut(size)
      try {
        let done = 0
        while (done < bytes.length) {
          const count = await io.write(handle, bytes.subarray(done), size + done)
          if (count <= 0) throw new Error('the file system took no bytes')
          done += count
        }
      } catch (error) {
        await cut(size).catch(() => undefined)
        throw error
      }
      size += bytes.length
    },
    cutTo: cut,
    sync: () => io.sync(handle),
    async close() {
      if (isDirty) await cut(size).catch(() => undefined)
      await handle.close()
    },
  }
}

/** Best effort: some file systems refuse to sync a folder. */
async function syncFolder(path: string): Promise<void> {
  try {
    const handle = await open(path, 'r')
    await handle.sync().finally(() => handle.close())
  } catch {}
}
