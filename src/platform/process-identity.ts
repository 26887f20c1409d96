/** Tells whether a process noted down earlier still runs, also after its number was given to another. Knows no locks. */
import { readFileSync, readlinkSync } from 'node:fs'
import { hostname } from 'node:os'

/** A process, beyond its number. Fields are null where the platform does not tell. */
export interface ProcessIdentity {
  readonly pid: number
  /** Kernel's start time of the process (Linux: clock ticks since boot). */
  readonly startTime: string | null
  /** Where the number is valid: host name, boot, pid namespace. */
  readonly realm: string
}

/** What can be known about another process. `unknown`: it belongs to another host, boot or container. */
export type Liveness = 'alive' | 'dead' | 'unknown'

/** The calling process. */
export function currentProcess(): ProcessIdentity {
  return { pid: process.pid, startTime: readStat(process.pid)?.startTime ?? null, realm: realm() }
}

/**
 * Whether the process still runs. A zombie counts as dead.
 * @example processLiveness(currentProcess()) // 'alive'
 */
export function processLiveness(identity: ProcessIdentity): Liveness {
  if (identity.realm !== realm()) return 'unknown'
  try {
    process.kill(identity.pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return 'dead'
  }
  if (identity.startTime === null) return 'alive'
  const stat = readStat(identity.pid)
  return stat !== null && stat.startTime === identity.startTime && !stat.isZombie ? 'alive' : 'dead'
}

/** True for a value that `currentProcess` may have written. */
export function isProcessIdentity(value: unknown): value is ProcessIdentity {
  if (typeof value !== 'object' || value === null) return false
  const { pid, startTime, realm } = value as Record<string, unknown>
  return (
    Number.isInteger(pid) &&
    (pid as number) > 0 &&
    (startTime === null || typeof startTime === 'string') &&
    typeof realm === 'string'
  )
}

/** Fields 3 and 22 of proc(5) stat; the name in parentheses may hold spaces and parentheses. */
function readStat(pid: number): { startTime: string; isZombie: boolean } | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
    const [state, startTime] = [fields[0], fields[19]]
    return startTime === undefined ? null : { startTime, isZombie: state === 'Z' || state === 'X' }
  } catch {
    return null
  }
}

function realm(): string {
  return [
    hostname(),
    attempt(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()),
    attempt(() => readlinkSync('/proc/self/ns/pid')),
  ].join('/')
}

function attempt(read: () => string): string {
  try {
    return read()
  } catch {
    return ''
  }
}
