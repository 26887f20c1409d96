/** One inference worker with its outstanding requests; reports when it dies. Knows nothing of queues. */
import { Worker } from 'node:worker_threads'
import { UnderstudyError } from '../errors.ts'
import { builtModule } from '../platform/index.ts'
import { fromWorkerError, type WorkerReply, type WorkerRequest } from './inference-messages.ts'
import type { SessionSettings } from './onnx-sessions.ts'
import type { Tensor } from './types.ts'

type Outputs = Readonly<Record<string, Tensor>>
/** A request without its number. */
export type Ask =
  Exclude<WorkerRequest, { kind: 'close' }> extends infer R
    ? R extends WorkerRequest
      ? Omit<R, 'id'>
      : never
    : never

export interface WorkerLine {
  /** @throws what the worker reports; runtime-failed when it dies first */
  ask(request: Ask): Promise<Outputs>
  /** True once it has answered anything: a worker that never did is not worth restarting at once. */
  readonly hasAnswered: boolean
  /** Rejects what is outstanding; resolves when the worker has ended, after what it is computing. */
  close(): Promise<void>
}

export interface WorkerLineOptions {
  readonly settings: SessionSettings
  /** Default: the inference worker. */
  readonly module?: string | undefined
  /** Called once, after the outstanding requests were rejected; not when closed. */
  onDeath(): void
}

/** Starts a worker. */
export function openWorkerLine({
  settings,
  module = builtModule(import.meta.url, './inference-worker'),
  onDeath,
}: WorkerLineOptions): WorkerLine {
  const worker = new Worker(module, {
    workerData: settings,
    execArgv: [],
  })
  const exited = new Promise<void>(resolve => worker.once('exit', () => resolve()))
  const pending = new Map<number, PromiseWithResolvers>()
  let nextId = 0
  let hasAnswered = false
  let death: UnderstudyError | undefined
  // An idle worker must not keep the process alive; a busy one must.
  worker.unref()

  function settle(reply: WorkerReply): void {
    const waiting = pending.get(reply.id)
    pending.delete(reply.id)
    if (pending.size === 0 && death === undefined) worker.unref()
    hasAnswered = true
    if ('error' in reply) waiting?.reject(fromWorkerError(reply.error))
    else waiting?.resolve(reply.outputs)
  }

  function die(reason: string, cause?: unknown): void {
    if (death !== undefined) return
    death = new UnderstudyError('runtime-failed', `The inference worker ${reason}`, {
      help: 'Try again: the worker is restarted. If it recurs, check free memory.',
      cause,
    })
    for (const waiting of pending.values()) waiting.reject(death)
    pending.clear()
    onDeath()
  }

  worker.on('message', settle)
  worker.on('error', error => die(`crashed: ${(error as Error).message}`, error))
  worker.on('exit', code => die(`ended with code ${code}`))

  return {
    ask(request) {
      if (death !== undefined) return Promise.reject(death)
      return new Promise<Outputs>((resolve, reject) => {
        const id = nextId++
        pending.set(id, { resolve, reject })
        worker.ref()
        worker.postMessage({ ...request, id })
      })
    },
    get hasAnswered() {
      return hasAnswered
    },
    async close() {
      death ??= new UnderstudyError('runtime-failed', 'The inference worker is closed')
      for (const waiting of pending.values()) waiting.reject(death)
      pending.clear()
      // Never `terminate()`: stopped inside an operator, ONNX Runtime's binding aborts the whole process.
      worker.ref()
      worker.postMessage({ kind: 'close', id: nextId++ } satisfies WorkerRequest)
      await exited
    },
  }
}

interface PromiseWithResolvers {
  resolve(outputs: Outputs): void
  reject(error: unknown): void
}
