/** Long work behind the API: started, watched, cancelled. Knows no kind of work. */
import { hasCode, isUnderstudyError, UnderstudyError } from '../errors.ts'
import { type Clock, newId } from '../util/index.ts'
import { type ErrorBody, errorBody } from '../wire/index.ts'

/**
 * One kind of work. `onEvent` takes any JSON; the newest is what a late subscriber sees first.
 * @returns the result, as JSON
 */
export type JobRunner = (params: unknown, tools: JobTools) => Promise<unknown>

export interface JobTools {
  readonly signal: AbortSignal
  readonly onEvent: (event: unknown) => void
}

export interface JobView {
  readonly id: string
  readonly kind: string
  readonly state: 'running' | 'done' | 'failed' | 'cancelled'
  /** ISO 8601. */
  readonly startedTime: string
  readonly endedTime: string | null
  /** The newest progress, null before the first. */
  readonly event: unknown
  /** Null unless done. */
  readonly result: unknown
  /** Null unless failed or cancelled. */
  readonly error: ErrorBody['error'] | null
}

export interface Jobs {
  /** @throws request-invalid for an unknown kind */
  start(kind: string, params: unknown): JobView
  /** @throws not-found */
  get(id: string): JobView
  list(): readonly JobView[]
  /** Asks a job to stop; it may take a moment. @throws not-found */
  cancel(id: string): JobView
  /** Calls back on every change until it ends or the returned function is called. @throws not-found */
  subscribe(id: string, onChange: (job: JobView) => void): () => void
  /** Cancels what runs and waits for it. */
  close(): Promise<void>
}

interface Entry {
  view: JobView
  readonly controller: AbortController
  readonly listeners: Set<(job: JobView) => void>
  ended: Promise<void>
}

/** Finished jobs beyond this number are forgotten, the oldest first. */
const KEPT_COUNT = 100

export function createJobs(runners: Readonly<Record<string, JobRunner>>, clock: Clock): Jobs {
  const entries = new Map<string, Entry>()
  const nowTime = (): string => new Date(clock.now()).toISOString()

  const change = (entry: Entry, changed: Partial<JobView>): void => {
    entry.view = { ...entry.view, ...changed }
    for (const listener of [...entry.listeners]) listener(entry.view)
  }

  const run = async (entry: Entry, runner: JobRunner, params: unknown): Promise<void> => {
    const { signal } = entry.controller
    try {
      const result = await runner(params, {
        signal,
        onEvent: event => {
          if (entry.view.state === 'running') change(entry, { event })
        },
      })
      change(entry, { state: 'done', result: result ?? null, endedTime: nowTime() })
    } catch (error) {
      const wasCancelled = signal.aborted || hasCode(error, 'cancelled')
      change(entry, {
        state: wasCancelled ? 'cancelled' : 'failed',
        error: errorBody(wasCancelled ? cancelled() : failure(error)).body.error,
        endedTime: nowTime(),
      })
    }
    entry.listeners.clear()
  }

  const find = (id: string): Entry => {
    const entry = entries.get(id)
    if (entry !== undefined) return entry
    throw new UnderstudyError('not-found', `There is no job '${id.slice(0, 60)}'.`, {
      help: 'List the jobs at /understudy/v1/jobs.',
    })
  }

  const forgetOldest = (): void => {
    const ended = [...entries.values()].filter(({ view }) => view.state !== 'running')
    for (const { view } of ended.slice(0, Math.max(0, ended.length - KEPT_COUNT))) {
      entries.delete(view.id)
    }
  }

  return {
    start(kind, params) {
      const runner = Object.hasOwn(runners, kind) ? runners[kind] : undefined
      if (runner === undefined) {
        throw new UnderstudyError(
          'request-invalid',
          `There is no job kind '${kind.slice(0, 60)}'.`,
          {
            help: `Use one of: ${Object.keys(runners).sort().join(', ') || 'none is configured'}.`,
            details: { param: 'kind' },
          },
        )
      }
      const id = newId('job')
      const view: JobView = {
        id,
        kind,
        state: 'running',
        startedTime: nowTime(),
        endedTime: null,
        event: null,
        result: null,
        error: null,
      }
      const entry: Entry = {
        view,
        controller: new AbortController(),
        listeners: new Set(),
        ended: Promise.resolve(),
      }
      entries.set(id, entry)
      forgetOldest()
      entry.ended = run(entry, runner, params)
      return view
    },
    get: id => find(id).view,
    list: () => [...entries.values()].map(entry => entry.view),
    cancel(id) {
      const entry = find(id)
      entry.controller.abort()
      return entry.view
    },
    subscribe(id, onChange) {
      const entry = find(id)
      if (entry.view.state === 'running') entry.listeners.add(onChange)
      return () => entry.listeners.delete(onChange)
    },
    async close() {
      for (const entry of entries.values()) entry.controller.abort()
      await Promise.all([...entries.values()].map(entry => entry.ended))
    },
  }
}

function cancelled(): UnderstudyError {
  return new UnderstudyError('cancelled', 'The job was cancelled.', { help: 'Start it again.' })
}

/** Errors without a code keep their message: whoever starts a job is its operator. */
function failure(error: unknown): UnderstudyError {
  if (isUnderstudyError(error)) return error
  const message = error instanceof Error ? error.message : String(error)
  return new UnderstudyError('job-failed', `The job failed: ${message}`, { cause: error })
}
