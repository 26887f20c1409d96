/**
 * One owner per data folder. Lock files are numbered and never removed by anyone but a later owner: the highest number
 * owns, so two processes that both find a dead owner cannot both follow it. Knows nothing of what is owned.
 */
import { link, mkdir, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { UnderstudyError } from '../errors.ts'
import {
  currentProcess,
  isProcessIdentity,
  type ProcessIdentity,
  processLiveness,
  writeFileAtomic,
} from '../platform/index.ts'
import { type Clock, randomHex, systemClock } from '../util/index.ts'
import { why } from './node-file.ts'

/** Who holds a data folder. */
export interface LockOwner {
  readonly pid: number
  /** Where its HTTP server listens, null while there is none. */
  readonly address: string | null
  readonly command: string
}

export interface OwnerLock {
  /** Tells others where the owner's HTTP server listens. */
  setAddress(address: string | null): Promise<void>
  release(): Promise<void>
}

interface LockContent extends LockOwner, ProcessIdentity {
  /** Tells two owners apart that live in one process. */
  readonly token: string
  readonly isReleased: boolean
}

/** A process on another host or in another container shows that it lives by touching its lock. */
const HEARTBEAT_MS = 2_000
const HEARTBEAT_STALE_MS = 10_000

/** Who owns a data folder right now; null: nobody. @throws file-unreadable */
export async function lockOwner(
  dataDir: string,
  clock: Clock = systemClock,
): Promise<LockOwner | null> {
  const top = await highest(join(dataDir, 'lock'))
  if (top === null) return null
  const content = await readLock(top.path)
  if (content === null || !(await isHeld(top.path, content, clock))) return null
  const { pid, address, command } = content
  return { pid, address, command }
}

/**
 * Takes the folder, at once where the last owner is dead.
 * @throws data-folder-busy with `details.pid` and `details.address`; file-unreadable
 */
export async function acquireLock(
  dataDir: string,
  {
    command,
    address = null,
    clock = systemClock,
  }: { command: string; address?: string | null; clock?: Clock },
): Promise<OwnerLock> {
  const dir = join(dataDir, 'lock')
  const content: LockContent = {
    ...currentProcess(),
    command,
    address,
    token: randomHex(8),
    isReleased: false,
  }
  try {
    await mkdir(dir, { recursive: true })
    const path = await takeNumber(dir, dataDir, content, clock)
    return hold(path, content)
  } catch (error) {
    if (error instanceof UnderstudyError) throw error
    throw new UnderstudyError('file-unreadable', `cannot lock ${dataDir}: ${why(error)}`, {
      help: 'Check that this user may write the data folder.',
      cause: error,
    })
  }
}

async function takeNumber(
  dir: string,
  dataDir: string,
  content: LockContent,
  clock: Clock,
): Promise<string> {
  const temporary = join(dir, `${content.token}.tmp`)
  await writeFile(temporary, JSON.stringify(content), { mode: 0o600 })
  try {
    for (;;) {
      const top = await highest(dir)
      await refuseIfHeld(top, dataDir, clock)
      const number = (top?.number ?? 0) + 1
      const path = lockPath(dir, number)
      if (!(await linked(temporary, path))) continue
      // Someone may have passed us between the look and the link.
      if ((await highest(dir))?.number === number) {
        await removeBelow(dir, number)
        return path
      }
      await rm(path, { force: true })
    }
  } finally {
    await rm(temporary, { force: true })
  }
}

async function refuseIfHeld(
  top: { path: string } | null,
  dataDir: string,
  clock: Clock,
): Promise<void> {
  if (top === null) return
  const content = await readLock(top.path)
  if (content === null || !(await isHeld(top.path, content, clock))) return
  const { pid, address, command } = content
  throw new UnderstudyError(
    'data-folder-busy',
    address === null
      ? `${dataDir} is in use by process ${pid} (${command}), which serves no address to talk to`
      : `${dataDir} is in use by process ${pid} (${command}) at ${address}`,
    {
      help:
        address === null
          ? 'Wait until it ends, or choose another folder with --data DIR.'
          : `Stop the server at ${address} first.`,
      details: { pid, address, command },
    },
  )
}

async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

function hold(path: string, initial: LockContent): OwnerLock {
  let content = initial
  let hasFailed = false
  let last: Promise<void> = Promise.resolve()
  /** One after another, so that what was said last is what stays. */
  const write = (): Promise<void> => {
    hasFailed = false
    last = last
      .catch(() => undefined)
      .then(() => writeFileAtomic(path, JSON.stringify(content)))
      .catch(error => {
        hasFailed = true
        throw error
      })
    return last
  }
  const beat = setInterval(() => {
    const now = new Date()
    utimes(path, now, now).catch(() => undefined)
    // What a full disk refused is written once it has room again.
    if (hasFailed) write().catch(() => undefined)
  }, HEARTBEAT_MS).unref()
  const rewrite = (change: Partial<LockContent>): Promise<void> => {
    content = { ...content, ...change }
    return write()
  }
  return {
    setAddress: address => rewrite({ address }),
    async release() {
      clearInterval(beat)
      // A folder that is gone, or a full disk, must not keep the process: it is dead soon, which releases as well.
      if (!content.isReleased) await rewrite({ isReleased: true }).catch(() => undefined)
    },
  }
}

async function isHeld(path: string, content: LockContent, clock: Clock): Promise<boolean> {
  if (content.isReleased) return false
  const liveness = processLiveness(content)
  if (liveness !== 'unknown') return liveness === 'alive'
  const touched = await stat(path).catch(() => null)
  return touched !== null && clock.now() - touched.mtimeMs < HEARTBEAT_STALE_MS
}

/** Null for junk: whatever wrote that does not hold the folder. */
async function readLock(path: string): Promise<LockContent | null> {
  try {
    const value = JSON.parse(await readFile(path, 'utf8')) as Partial<LockContent>
    return isProcessIdentity(value) && typeof (value as LockContent).token === 'string'
      ? (value as LockContent)
      : null
  } catch (error) {
    // Renamed over or removed a moment ago: look again.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') await sleep(1)
    return null
  }
}

async function highest(dir: string): Promise<{ number: number; path: string } | null> {
  const number = Math.max(0, ...(await lockNumbers(dir)))
  return number === 0 ? null : { number, path: lockPath(dir, number) }
}

async function removeBelow(dir: string, number: number): Promise<void> {
  for (const each of await lockNumbers(dir)) {
    if (each < number) await rm(lockPath(dir, each), { force: true })
  }
}

async function lockNumbers(dir: string): Promise<readonly number[]> {
  const names = await readdir(dir).catch(error => {
    if (error.code === 'ENOENT') return []
    throw new UnderstudyError('file-unreadable', `cannot look into ${dir}: ${error.message}`, {
      help: 'Name a folder that this user may write, with --data DIR.',
      cause: error,
    })
  })
  return names.flatMap(name => /^owner-(\d{1,12})\.json$/.exec(name)?.[1] ?? []).map(Number)
}

function lockPath(dir: string, number: number): string {
  return join(dir, `owner-${number}.json`)
}
