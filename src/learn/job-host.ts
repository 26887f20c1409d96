/** Runs a job in a process of its own, at low priority, so that serving stays quick and the job can be killed. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { UnderstudyError } from '../errors.ts'
import { builtModule, lowerPriority, type Priority } from '../platform/index.ts'
import { processChannel } from '../store/index.ts'
import type { OwnedWorkspace } from '../workspace/index.ts'
import type { HostMessage, JobEvent, JobMessage, JobOrder } from './job-messages.ts'

/** Time between asking a job to stop and killing it. */
const GRACE_MS = 5000
/** Of what a dying process wrote, kept for its error. */
const LAST_WORDS = 2000

export interface JobHostOptions {
  readonly workspace: Pick<OwnedWorkspace, 'serveChild'>
  readonly priority: Priority
  readonly signal: AbortSignal
  readonly onEvent: (event: JobEvent) => void
}

/**
 * Runs one job to its end.
 * @throws what the job threw; job-failed when its process died; cancelled
 */
export async function runInProcess(
  order: JobOrder,
  { workspace, priority, signal, onEvent }: JobHostOptions,
): Promise<unknown> {
  if (signal.aborted) throw cancelled()
  const child = fork(builtModule(import.meta.url, './job-process'), [], {
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  })
  // A second Ctrl-C ends the host at once, and no timer of it is left to end the job.
  const kill = (): void => void child.kill('SIGKILL')
  process.once('exit', kill)
  if (child.pid !== undefined) lowerPriority(child.pid, priority)
  workspace.serveChild(processChannel(child))
  let killTimer: NodeJS.Timeout | undefined
  const cancel = (): void => {
    send(child, { type: 'cancel' })
    killTimer = setTimeout(() => child.kill('SIGKILL'), GRACE_MS)
  }
  signal.addEventListener('abort', cancel, { once: true })
  try {
    const outcome = outcomeOf(child, onEvent, signal)
    send(child, { type: 'start', order })
    return await outcome
  } finally {
    signal.removeEventListener('abort', cancel)
    clearTimeout(killTimer)
    await ended(child)
    process.off('exit', kill)
  }
}

/** The process has closed its ledger before it reported; what still runs in it is of no use. */
async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exit = once(child, 'exit')
  child.kill('SIGKILL')
  await exit
}

function outcomeOf(
  child: ChildProcess,
  onEvent: (event: JobEvent) => void,
  signal: AbortSignal,
): Promise<unknown> {
  let lastWords = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    lastWords = (lastWords + text).slice(-LAST_WORDS)
  })
  return new Promise((resolve, reject) => {
    child.on('message', (message: Partial<JobMessage>) => {
      const { type } = message
      if (type === 'event') onEvent((message as Extract<JobMessage, { type: 'event' }>).event)
      if (type === 'done') resolve((message as Extract<JobMessage, { type: 'done' }>).result)
      if (type === 'failed') {
        const {
          code,
          message: text,
          help,
        } = (message as Extract<JobMessage, { type: 'failed' }>).error
        reject(new UnderstudyError(code, text, help === null ? {} : { help }))
      }
    })
    child.on('error', cause => reject(died(`could not be started: ${cause.message}`)))
    child.on('close', (code, killedBy) => {
      if (signal.aborted) reject(cancelled())
      const how = killedBy === null ? `ended with code ${code}` : `was killed by ${killedBy}`
      reject(died(lastWords === '' ? how : `${how}: ${lastWords.trim()}`))
    })
  })
}

function send(child: ChildProcess, message: HostMessage): void {
  if (child.connected) child.send(message)
}

function died(how: string): UnderstudyError {
  return new UnderstudyError('job-failed', `the job's process ${how}`, {
    help: 'Start it again: what was imported stays. A process killed without a word ran out of memory.',
  })
}

function cancelled(): UnderstudyError {
  return new UnderstudyError('cancelled', 'the job was cancelled', {
    help: 'Start it again; what was imported stays.',
  })
}
