import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { getPriority } from 'node:os'
import { afterEach, expect, it, vi } from 'vitest'
import { lowerPriority } from './priority.ts'

const child = () => spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60_000)'])
let last: ReturnType<typeof child> | null = null
afterEach(() => last?.kill('SIGKILL'))

/** Field 41 of /proc/PID/stat: 0 is the normal policy, 5 SCHED_IDLE. */
function policyOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  return Number(fields[38])
}

it.skipIf(process.platform !== 'linux')(
  'gives a process only what nothing else wants',
  async () => {
    last = child()
    const pid = last.pid as number
    lowerPriority(pid, 'idle')
    await vi.waitFor(() => expect(policyOf(pid)).toBe(5), 5000)
  },
)

it('gives a process the least share, or an equal one', () => {
  last = child()
  const pid = last.pid as number
  const own = getPriority()
  lowerPriority(pid, 'normal')
  expect(getPriority(pid)).toBe(own)
  lowerPriority(pid, 'low')
  expect(getPriority(pid)).toBeGreaterThanOrEqual(Math.max(own, 10))
})

it('says nothing of a process that is gone', () => {
  expect(() => lowerPriority(2 ** 22 + 1, 'idle')).not.toThrow()
})
