/** Several gateway processes on one port: started, asked, replaced when they die, stopped. Answers no requests itself. */
import cluster, { type Worker } from 'node:cluster'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ERRORS, type ErrorCode, UnderstudyError } from '../errors.ts'
import { builtModule } from '../platform/index.ts'
import { processChannel } from '../store/index.ts'
import { type MetricFamily, mergeMetrics } from '../telemetry/index.ts'
import type { Clock } from '../util/index.ts'
import type { OwnedWorkspace } from '../workspace/index.ts'
import type { Gateway } from './app.ts'
import { freePort, type Listening } from './listen.ts'
import {
  isWorkerMessage,
  type ProcessStats,
  type ToWorker,
  type WorkerOrder,
} from './worker-messages.ts'

export interface WorkersOptions {
  readonly count: number
  readonly order: Omit<WorkerOrder, 'number' | 'ownerSocket'>
  readonly workspace: Pick<OwnedWorkspace, 'serveChild'>
  /** The owner's own gateway, for what is asked about the gateway itself. */
  readonly gateway: Pick<Gateway, 'listenForWorkers'>
  readonly clock: Clock
  readonly log: (text: string) => void
}

export interface Workers extends Listening {
  /** Of the workers that run; those that have ended go on counting with the first of them. */
  stats(): Promise<readonly ProcessStats[]>
  /** Tells all of them that what is live has changed. */
  refresh(): void
}

/** One that lived shorter than this is not replaced at once, so that a fault at the start does not burn the machine. */
const QUICK_DEATH_MS = 5_000
const BACKOFF_MS_MAX = 30_000
const STATS_WITHIN_MS = 1_000
/** Beyond what answers under way were given: for what they leave behind. */
const CLOSE_WITHIN_MS = 10_000

/**
 * Starts the workers; resolves when all of them listen.
 * @throws what the first worker that failed threw
 */
export async function startWorkers(options: WorkersOptions): Promise<Workers> {
  const { count, workspace, gateway, clock, log } = options
  // One number for all, also for those who follow when all have died. First: it may fail, and leaves nothing behind.
  const port = options.order.port === 0 ? await freePort(options.order.host) : options.order.port
  // Sockets have short names, and data folders long ones.
  const folder = await mkdtemp(join(tmpdir(), 'understudy-'))
  const ownerSocket = join(folder, 's')
  const owner = await gateway.listenForWorkers(ownerSocket).catch(async error => {
    await rm(folder, { recursive: true, force: true })
    throw error
  })
  const running = new Map<number, Worker>()
  const lastStats = new Map<Worker, ProcessStats>()
  /** What workers that have ended had counted. */
  let departed: readonly MetricFamily[] = []
  const timers = new Set<NodeJS.Timeout>()
  let isStopping = false
  let lastId = 0

  // Workers accept by themselves. A connection that is being handed over when its worker is killed hangs for ever (Node 20).
  cluster.schedulingPolicy = cluster.SCHED_NONE
  cluster.setupPrimary({
    exec: builtModule(import.meta.url, './worker-process'),
    args: [],
    execArgv: process.execArgv.filter(argument => /^--(?:max|initial)-/u.test(argument)),
    serialization: 'advanced',
  })

  const start = async (number: number, deaths: number): Promise<string> => {
    const startMs = clock.monotonic()
    /** Another one follows, later where this one ended at once. */
    const replace = (how: string): void => {
      if (isStopping) return
      const isQuick = clock.monotonic() - startMs < QUICK_DEATH_MS
      const waitMs = isQuick ? Math.min(BACKOFF_MS_MAX, 500 * 2 ** deaths) : 0
      log(`Worker ${number} ended (${how}); another one follows in ${waitMs} ms.`)
      const timer = setTimeout(() => {
        timers.delete(timer)
        if (isStopping) return
        start(number, isQuick ? deaths + 1 : 0).catch(error =>
          log(`Worker ${number} cannot be started: ${error.message}`),
        )
      }, waitMs)
      timers.add(timer)
    }
    let worker: Worker
    try {
      worker = cluster.fork()
    } catch (error) {
      replace(String(error))
      throw error
    }
    running.set(number, worker)
    workspace.serveChild(processChannel(worker.process))
    const begin = (): void => {
      const order: WorkerOrder = { ...options.order, port, number, ownerSocket }
      tell(worker, { understudy: 'worker-start', order })
    }
    const ready = new Promise<string>((resolve, reject) => {
      worker.on('message', message => {
        if (!isWorkerMessage(message)) return
        if (message.understudy === 'worker-begun') begin()
        if (message.understudy === 'worker-ready') resolve(message.address)
        if (message.understudy === 'worker-failed') reject(failureOf(message.error))
      })
      worker.once('exit', (code, signal) =>
        reject(new UnderstudyError('bug', `A worker ended at its start (${signal ?? code}).`)),
      )
      // A process that the system did not start has no exit.
      worker.once('error', reject)
    })
    let isOver = false
    const end = (how: string): void => {
      if (isOver) return
      isOver = true
      running.delete(number)
      const counted = (lastStats.get(worker)?.families ?? []).filter(({ type }) => type !== 'gauge')
      lastStats.delete(worker)
      departed = mergeMetrics([departed, counted])
      replace(how)
    }
    worker.once('exit', (code, signal) => end(String(signal ?? code)))
    worker.on('error', error => {
      log(`Worker ${number} failed: ${error.message}`)
      if (worker.process.pid === undefined) end(error.message)
    })
    return ready
  }

  const close = async (graceMs: number): Promise<void> => {
    isStopping = true
    for (const timer of timers) clearTimeout(timer)
    await Promise.all([...running.values()].map(worker => ended(worker, graceMs)))
    await owner.close({ graceMs: 0 })
    await rm(folder, { recursive: true, force: true })
  }

  let address: string
  try {
    address = await start(1, 0)
    await Promise.all(Array.from({ length: count - 1 }, (_, i) => start(i + 2, 0)))
  } catch (error) {
    await close(0)
    throw error
  }
  return {
    address,
    close: ({ graceMs = 10_000 } = {}) => close(graceMs),
    stats: async () => {
      const id = ++lastId
      await Promise.all(
        [...running.values()].map(async worker => {
          const stats = await statsOf(worker, id)
          if (stats !== null && !worker.isDead()) lastStats.set(worker, stats)
        }),
      )
      // Of one that is late, what it said last: counters that fall look like a restart to who reads them.
      const [first, ...others] = [...running.values()].flatMap(one => lastStats.get(one) ?? [])
      if (first === undefined) return []
      return [{ ...first, families: mergeMetrics([first.families, departed]) }, ...others]
    },
    refresh() {
      for (const worker of running.values()) tell(worker, { understudy: 'worker-refresh' })
    },
  }
}

function tell(worker: Worker, message: ToWorker): void {
  if (worker.isConnected()) worker.send(message, () => {})
}

function failureOf(error: { code: string; message: string; help?: string }): UnderstudyError {
  const code = Object.hasOwn(ERRORS, error.code) ? (error.code as ErrorCode) : 'bug'
  return new UnderstudyError(
    code,
    error.message,
    error.help === undefined ? {} : { help: error.help },
  )
}

/** Null where it does not answer in time. */
function statsOf(worker: Worker, id: number): Promise<ProcessStats | null> {
  return new Promise(resolve => {
    const settle = (stats: ProcessStats | null): void => {
      clearTimeout(timer)
      worker.off('message', onMessage)
      resolve(stats)
    }
    const onMessage = (message: unknown): void => {
      if (!isWorkerMessage(message) || !('stats' in message) || message.id !== id) return
      settle(message.stats)
    }
    const timer = setTimeout(() => settle(null), STATS_WITHIN_MS)
    worker.on('message', onMessage)
    tell(worker, { understudy: 'worker-stats', id })
  })
}

/** Asked to stop, and killed where it does not. */
function ended(worker: Worker, graceMs: number): Promise<void> {
  if (worker.isDead()) return Promise.resolve()
  return new Promise(resolve => {
    const timer = setTimeout(() => worker.process.kill('SIGKILL'), graceMs + CLOSE_WITHIN_MS)
    worker.once('exit', () => {
      clearTimeout(timer)
      resolve()
    })
    tell(worker, { understudy: 'worker-stop', graceMs })
  })
}
