/** How much processor time other processes leave to one. */
import { execFile } from 'node:child_process'
import { constants, setPriority } from 'node:os'

export type Priority = 'idle' | 'low' | 'normal'

/**
 * Lowers the priority of a process that has just been started; what it starts later inherits it. `idle` is Linux's SCHED_IDLE, by
 * `chrt` of util-linux: a thread of the lowest nice value still keeps a core for milliseconds while a request waits. Where
 * something is not allowed or not there, the process keeps what it has.
 */
export function lowerPriority(pid: number, priority: Priority): void {
  if (priority === 'normal') return
  try {
    setPriority(pid, constants.priority.PRIORITY_LOW)
  } catch {
    return
  }
  if (priority === 'idle' && process.platform === 'linux') {
    execFile('chrt', ['--all-tasks', '--idle', '--pid', '0', String(pid)], () => {})
  }
}
