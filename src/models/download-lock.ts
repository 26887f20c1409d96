/** One process at a time per model folder. Knows processes of this machine, no models. */
import { open, readFile, rm } from 'node:fs/promises'
import { hostname } from 'node:os'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { isUnderstudyError, UnderstudyError } from '../errors.ts'
import { makeFolder } from '../platform/index.ts'

const POLL_MS = 200

/**
 * Runs `action` while holding the lock file. Waits for its owner as long as that lives; a lock whose owner
 * died on this machine is taken over. Two that take over at the same instant may both run: that costs a
 * second download and no more, since only verified files get their final name.
 * @throws cancelled when the signal fires while waiting
 */
export async function withLock<Result>(
  path: string,
  signal: AbortSignal | undefined,
  action: () => Promise<Result>,
): Promise<Result> {
  await makeFolder(dirname(path))
  while (!(await take(path))) {
    if (await isAbandoned(path)) await rm(path, { force: true })
    else await pause(signal)
  }
  try {
    return await action()
  } finally {
    await rm(path, { force: true })
  }
}

async function take(path: string): Promise<boolean> {
  try {
    const file = await open(path, 'wx')
    await file.writeFile(JSON.stringify({ host: hostname(), pid: process.pid }))
    await file.close()
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

async function isAbandoned(path: string): Promise<boolean> {
  try {
    const owner: unknown = JSON.parse(await readFile(path, 'utf8'))
    if (typeof owner !== 'object' || owner === null) return false
    const { host, pid } = owner as { host?: unknown; pid?: unknown }
    return host === hostname() && typeof pid === 'number' && !isAlive(pid)
  } catch {
    // Gone, or not written yet: ask again.
    return false
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

async function pause(signal: AbortSignal | undefined): Promise<void> {
  try {
    await sleep(POLL_MS, undefined, signal ? { signal } : {})
  } catch (cause) {
    if (isUnderstudyError(cause)) throw cause
    throw new UnderstudyError('cancelled', 'Waiting for another download was cancelled', { cause })
  }
}
