/** Files as Node sees them: atomic writes and hashes. Knows nothing of what is in them. */
import { createHash, hash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { type FileHandle, mkdir, open, rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { randomHex } from '../util/index.ts'

/** SHA-256 of bytes or UTF-8 text, lower-case hexadecimal. */
export function sha256(data: string | Uint8Array): string {
  return hash('sha256', data, 'hex')
}

/** SHA-256 of texts one after another, which together may be longer than a string can be. */
export function sha256Joined(parts: Iterable<string>): string {
  const sum = createHash('sha256')
  for (const part of parts) sum.update(part)
  return sum.digest('hex')
}

/** SHA-256 of a file, read as a stream. */
export async function sha256File(path: string): Promise<string> {
  const sum = createHash('sha256')
  for await (const chunk of createReadStream(path)) sum.update(chunk as Buffer)
  return sum.digest('hex')
}

/**
 * Writes a file so that readers see the old content or the new, never half of it, also after a crash. Parts are written one
 * after another, so that what is too large for one array can be written too; they must not change meanwhile.
 * @throws the file system's own error, with nothing left behind
 */
export async function writeFileAtomic(
  path: string,
  data: string | Uint8Array | readonly Uint8Array[],
): Promise<void> {
  await makeFolder(dirname(path))
  const temporary = `${path}.${randomHex(6)}.tmp`
  try {
    const file = await open(temporary, 'wx')
    try {
      for (const part of Array.isArray(data) ? data : [data]) await file.writeFile(part)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
}

/** What one read asks for at most: the system gives no more than 2 GiB at once, and Node refuses to ask for that. */
const READ_BYTES = 1 << 26

/**
 * Fills an array with a file's bytes from `position` on.
 * @returns how many there were: fewer than asked for where the file ends
 * @throws the file system's own error
 */
export async function readRange(
  file: FileHandle,
  into: Uint8Array,
  { position, chunkBytes = READ_BYTES }: { position: number; chunkBytes?: number | undefined },
): Promise<number> {
  let at = 0
  while (at < into.byteLength) {
    const part = into.subarray(at, at + chunkBytes)
    const { bytesRead } = await file.read(part, 0, part.byteLength, position + at)
    if (bytesRead === 0) break
    at += bytesRead
  }
  return at
}

/**
 * Makes a folder with its parents; one that is there already is fine. Node's own recursive `mkdir` never returns where the
 * system denies with "no such file", as below /proc.
 * `mode` is that of the last folder.
 * @throws the file system's own error
 */
export async function makeFolder(path: string, mode?: number): Promise<void> {
  try {
    await mkdir(path, { mode })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') return
    const parent = dirname(path)
    if (code !== 'ENOENT' || parent === path || (await stat(parent).catch(() => null)) !== null)
      throw error
    await makeFolder(parent)
    await mkdir(path, { mode }).catch((again: NodeJS.ErrnoException) => {
      if (again.code !== 'EEXIST') throw again
    })
  }
}
