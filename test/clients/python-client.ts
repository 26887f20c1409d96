/** Runs the official Python clients in a virtual environment of their own, made where it is missing. */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Order } from './order.ts'

const run = promisify(execFile)
const here = import.meta.dirname
const venv = join(here, '..', '..', '.cache', 'clients')
const python = join(venv, 'bin', 'python')
const requirements = join(here, 'requirements.txt')

export async function pythonClient(order: Order): Promise<Record<string, unknown>> {
  const running = run(python, [join(here, 'client.py')], { maxBuffer: 2 ** 26 })
  running.child.stdin?.end(JSON.stringify(order))
  return JSON.parse((await running).stdout) as Record<string, unknown>
}

/** Why the Python clients cannot be run, null where they can. */
export async function pythonProblem(): Promise<string | null> {
  const version = createHash('sha256').update(readFileSync(requirements)).digest('hex').slice(0, 12)
  const ready = join(venv, `ready-${version}`)
  if (existsSync(ready)) return null
  try {
    await rm(venv, { recursive: true, force: true })
    await run('python3', ['-m', 'venv', venv], { timeout: 60_000 })
    await run(python, ['-m', 'pip', 'install', '--quiet', '-r', requirements], { timeout: 240_000 })
    await mkdir(ready)
    return null
  } catch (error) {
    await rm(venv, { recursive: true, force: true })
    return error instanceof Error ? (error.message.split('\n')[0] as string) : String(error)
  }
}
