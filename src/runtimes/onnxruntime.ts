/** ONNX Runtime as an `InferenceRuntime`: in the calling thread, or in a pool of workers. Knows no model. */
import { availableParallelism } from 'node:os'
import { UnderstudyError } from '../errors.ts'
import { createOnnxSessions, type OnnxSessions, type SessionSettings } from './onnx-sessions.ts'
import type { InferenceRuntime, RuntimeCall, Tensor } from './types.ts'
import { openWorkerLine, type WorkerLine } from './worker-line.ts'

export interface PoolOptions extends Partial<SessionSettings> {
  /** Threads that each run one call at a time and hold every graph once. */
  readonly workers?: number
  /** Path of the worker's code; tests put one that dies. */
  readonly workerModule?: string
}

/**
 * Measured by `bench/inference-threads.mjs`, see docs/log.md: waking a thread takes longer than most pauses between operators, and one
 * that soon sleeps bears a busy neighbour.
 */
const DEFAULTS: SessionSettings = {
  threads: Math.min(2, availableParallelism()),
  spinMicroseconds: 20,
}

/** A runtime of the calling thread, which can also write into the caller's buffers: what training needs. */
export type InProcessRuntime = InferenceRuntime & Pick<OnnxSessions, 'load' | 'runInto'>

/** Whether graphs can write into the caller's buffers there. */
export function canTrain(runtime: InferenceRuntime): runtime is InProcessRuntime {
  return 'runInto' in runtime
}

type Outputs = Readonly<Record<string, Tensor>>

/**
 * Runs graphs in this thread: for scripts and tests, never for a process that serves.
 * @throws runtime-missing
 */
export async function openInProcessRuntime(
  settings: Partial<SessionSettings> = {},
): Promise<InProcessRuntime> {
  const sessions = await createOnnxSessions({ ...DEFAULTS, ...settings })
  return {
    ...providerOf(settings),
    runInto: sessions.runInto,
    load: sessions.load,
    unload: sessions.unload,
    async run(calls, { signal, outputs } = {}) {
      throwIfCancelled(signal)
      return sessions.run(calls, outputs)
    },
    close: sessions.close,
  }
}

interface Job {
  readonly calls: readonly RuntimeCall[]
  readonly outputs: readonly string[] | undefined
  resolve(outputs: Outputs): void
  reject(error: unknown): void
}

/**
 * Runs graphs in worker threads, so that the event loop never waits for an operator. Calls queue in
 * order; a call whose signal fires is dropped from the queue, or its result ignored when it runs
 * already. A worker that dies rejects what it was doing and is replaced with its graphs.
 * @throws runtime-missing from the first `load`, where ONNX Runtime is not installed
 */
export function openRuntimePool({
  workers = 1,
  workerModule,
  ...settings
}: PoolOptions = {}): InferenceRuntime {
  const graphs = new Map<string, { model: Uint8Array; loading: Promise<void> }>()
  const queue: Job[] = []
  const slots: Slot[] = Array.from({ length: workers }, () => ({ line: undefined, isBusy: false }))
  let isClosed = false

  function lineOf(slot: Slot): WorkerLine {
    if (slot.line !== undefined) return slot.line
    const line = openWorkerLine({
      settings: { ...DEFAULTS, ...settings },
      module: workerModule,
      onDeath() {
        slot.line = undefined
        if (line.hasAnswered && !isClosed) lineOf(slot)
      },
    })
    slot.line = line
    for (const [session, { model }] of graphs) {
      // A failure is met again, and reported, by the calls that need this graph.
      line.ask({ kind: 'load', session, model }).catch(() => {})
    }
    return line
  }

  async function work(slot: Slot): Promise<void> {
    slot.isBusy = true
    for (let job = queue.shift(); job !== undefined; job = queue.shift()) {
      const { calls, outputs } = job
      await lineOf(slot).ask({ kind: 'run', calls, outputs }).then(job.resolve, job.reject)
    }
    slot.isBusy = false
  }

  async function loadEverywhere(session: string, model: Uint8Array): Promise<void> {
    const lines = slots.map(lineOf)
    await Promise.all(lines.map(line => line.ask({ kind: 'load', session, model })))
  }

  return {
    ...providerOf(settings),
    async load(session, model) {
      requireOpen(isClosed)
      let graph = graphs.get(session)
      if (graph === undefined) {
        const shared = share(model)
        const loading = loadEverywhere(session, shared)
        graph = { model: shared, loading }
        graphs.set(session, graph)
        loading.catch(() => graphs.delete(session))
      }
      await graph.loading
    },
    async unload(session) {
      if (!graphs.delete(session)) return
      const lines = slots.flatMap(({ line }) => line ?? [])
      await Promise.all(lines.map(line => line.ask({ kind: 'unload', session })))
    },
    run(calls, { signal, outputs } = {}) {
      return new Promise((resolve, reject) => {
        requireOpen(isClosed)
        throwIfCancelled(signal)
        const job: Job = { calls, outputs, resolve, reject }
        whenCancelled(signal, job, () => {
          const at = queue.indexOf(job)
          if (at >= 0) queue.splice(at, 1)
        })
        queue.push(job)
        const free = slots.find(slot => !slot.isBusy)
        if (free !== undefined) void work(free)
      })
    },
    async close() {
      isClosed = true
      for (const job of queue.splice(0)) job.reject(closed())
      await Promise.all(slots.map(({ line }) => line?.close()))
    },
  }
}

function providerOf({ provider = 'cpu' }: Partial<SessionSettings>): { readonly provider: string } {
  return { provider }
}

interface Slot {
  line: WorkerLine | undefined
  isBusy: boolean
}

/** One copy for all workers, kept so that a replaced worker gets its graphs back. */
function share(model: Uint8Array): Uint8Array {
  const shared = new Uint8Array(new SharedArrayBuffer(model.byteLength))
  shared.set(model)
  return shared
}

/** Rejects the job once its signal fires, and forgets the signal once the job is settled. */
function whenCancelled(signal: AbortSignal | undefined, job: Job, drop: () => void): void {
  if (signal === undefined) return
  const { resolve, reject } = job
  const onAbort = () => {
    drop()
    reject(cancelled())
  }
  const forget = () => signal.removeEventListener('abort', onAbort)
  signal.addEventListener('abort', onAbort, { once: true })
  job.resolve = outputs => {
    forget()
    resolve(outputs)
  }
  job.reject = error => {
    forget()
    reject(error)
  }
}

function throwIfCancelled(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw cancelled()
}

function requireOpen(isClosed: boolean): void {
  if (isClosed) throw closed()
}

function cancelled(): UnderstudyError {
  return new UnderstudyError('cancelled', 'The inference call was cancelled')
}

function closed(): UnderstudyError {
  return new UnderstudyError('runtime-failed', 'The inference runtime is closed')
}
