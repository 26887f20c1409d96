/** The CLI's way to the public API: over HTTP where a process owns the data folder, else in this process. */
import { ERRORS, type ErrorCode, hasCode, UnderstudyError } from '../errors.ts'
import { createSseParser, isObject, type SseEvent, tryJson } from '../wire/index.ts'
import { type LockOwner, lockOwner } from '../workspace/index.ts'
import type { Terminal } from './command.ts'
import { createProgress } from './progress.ts'

export interface Client {
  /** `path` starts with `/`. Answers of any status are returned. @throws upstream-unavailable */
  request(path: string, init?: RequestInit): Promise<Response>
  close(): Promise<void>
}

export interface ConnectOptions {
  readonly dataDir: string
  /** Default: the process's. `UNDERSTUDY_KEY` is presented to an owner that asks for one. */
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly configFile?: string | undefined
}

/** The two things that `connect` asks of the world. */
export interface ConnectParts {
  readonly ownerOf: typeof lockOwner
  /** Opens the folder in this process. */
  readonly openHere: (options: ConnectOptions) => Promise<Client>
}

const JOBS = '/understudy/v1/jobs'
/** How long a cancelled job may take to say so. */
const CANCEL_GRACE_MS = 10_000

/**
 * Connects to whoever owns the data folder, or opens it here.
 * @throws data-folder-busy where the owner serves no HTTP, and what opening throws
 */
export async function connect(
  options: ConnectOptions,
  { ownerOf = lockOwner, openHere = openInProcess }: Partial<ConnectParts> = {},
): Promise<Client> {
  const owner = await ownerOf(options.dataDir)
  if (owner !== null) return clientOf(owner, options)
  try {
    return await openHere(options)
  } catch (error) {
    // Somebody took the folder in between.
    const taken = isBusy(error) ? await ownerOf(options.dataDir) : null
    if (taken === null) throw error
    return clientOf(taken, options)
  }
}

function isBusy(error: unknown): boolean {
  return hasCode(error, 'data-folder-busy')
}

function clientOf(owner: LockOwner, { dataDir, env = process.env }: ConnectOptions): Client {
  if (owner.address !== null) return httpClient(owner.address, env.UNDERSTUDY_KEY)
  throw new UnderstudyError(
    'data-folder-busy',
    `${dataDir} is in use by process ${owner.pid} (${owner.command}), which serves no HTTP.`,
    { help: 'Wait until it ends, or name another folder with --data.' },
  )
}

function httpClient(address: string, key: string | undefined): Client {
  return {
    async request(path, init = {}) {
      let response: Response
      try {
        response = await fetch(new URL(path, address), withKey(init, key))
      } catch (cause) {
        if (init.signal?.aborted) throw cause
        throw new UnderstudyError(
          'upstream-unavailable',
          `The gateway at ${address} does not answer.`,
          {
            help: 'Check that `understudy up` still runs there.',
            cause,
          },
        )
      }
      if (response.status !== 401) return response
      throw new UnderstudyError(
        'key-invalid',
        `The gateway at ${address}, which holds the data folder, wants ${key ? 'another' : 'a'} key.`,
        { help: 'Set UNDERSTUDY_KEY to one of its keys with the role operator.' },
      )
    },
    close: async () => {},
  }
}

/** Loads the house only where it is needed: without lead and specialists, since commands ask neither. */
async function openInProcess(options: ConnectOptions): Promise<Client> {
  const { openUnderstudy } = await import('../gateway/index.ts')
  const { dataDir, env = process.env, configFile } = options
  const { gateway, close } = await openUnderstudy({
    dataDir,
    env,
    lead: null,
    loadLive: async () => [],
    ...(configFile === undefined ? {} : { configFile }),
  })
  return {
    // Whoever may open the folder may do all that any key allows.
    request: async (path, init = {}) => gateway.requestAsOwner(path, init),
    close,
  }
}

function withKey(init: RequestInit, key: string | undefined): RequestInit {
  const headers = new Headers(init.headers)
  if (key !== undefined && key !== '') headers.set('authorization', `Bearer ${key}`)
  return { ...init, headers }
}

/**
 * One request that must succeed, with its JSON.
 * @throws the API's error under its own code
 */
export async function requestJson(
  client: Client,
  path: string,
  init?: RequestInit,
): Promise<unknown> {
  const response = await client.request(path, init)
  const text = await response.text()
  const body = tryJson(text)?.value
  if (response.ok && body !== undefined) return body
  throw apiError(isObject(body) ? body.error : null, `HTTP ${response.status} from ${path}`)
}

/**
 * Runs a job to its end, showing its progress; the first Ctrl-C cancels it.
 * @returns the job's result
 * @throws what the job failed with; cancelled
 */
export async function runJob(
  client: Client,
  kind: string,
  params: unknown,
  terminal: Terminal,
): Promise<unknown> {
  const job = await requestJson(client, JOBS, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ kind, params }),
  })
  const path = `${JOBS}/${isObject(job) ? String(job.id) : ''}`
  const stop = new AbortController()
  const cancel = (): void => void cancelJob(client, path, stop)
  if (terminal.signal.aborted) cancel()
  terminal.signal.addEventListener('abort', cancel, { once: true })
  const progress = createProgress(terminal)
  try {
    return await follow(client, path, stop.signal, event => {
      if (!isObject(event)) return
      progress.update(
        String(event.stage),
        Number(event.done),
        Number(event.total),
        typeof event.note === 'string' ? event.note : undefined,
        event.unit === 'bytes' ? 'bytes' : undefined,
      )
    })
  } catch (error) {
    if (terminal.signal.aborted) throw cancelled()
    throw error
  } finally {
    progress.finish()
    terminal.signal.removeEventListener('abort', cancel)
  }
}

async function cancelJob(client: Client, path: string, stop: AbortController): Promise<void> {
  const timer = setTimeout(() => stop.abort(), CANCEL_GRACE_MS)
  timer.unref()
  await client.request(path, { method: 'DELETE' }).catch(() => stop.abort())
}

async function follow(
  client: Client,
  path: string,
  signal: AbortSignal,
  onEvent: (event: unknown) => void,
): Promise<unknown> {
  const response = await client.request(`${path}/events`, { signal })
  for await (const { event, data } of sseEvents(response, signal)) {
    const value = tryJson(data)?.value
    if (event === 'progress') onEvent(value)
    if (event === 'done') return value
    if (event === 'failed') throw apiError(value, 'The job failed.')
  }
  // The stream broke off: the job itself knows how it ended.
  const job = await requestJson(client, path)
  if (isObject(job) && job.state === 'done') return job.result
  throw apiError(isObject(job) ? job.error : null, 'The connection to the job broke off.')
}

async function* sseEvents(response: Response, signal: AbortSignal): AsyncGenerator<SseEvent> {
  const reader = response.body?.getReader()
  if (reader === undefined) return
  const onAbort = (): void => void reader.cancel().catch(() => {})
  signal.addEventListener('abort', onAbort, { once: true })
  const parser = createSseParser({ maxEventLength: 256 * 2 ** 20 })
  try {
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      yield* parser.push(read.value)
    }
    yield* parser.end()
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}

/** An error object of the API, under its own code. */
function apiError(error: unknown, fallback: string): UnderstudyError {
  const { message, code } = isObject(error) ? error : { message: null, code: null }
  const name = String(code).replaceAll('_', '-')
  return new UnderstudyError(
    Object.hasOwn(ERRORS, name) ? (name as ErrorCode) : 'job-failed',
    typeof message === 'string' ? message : fallback,
  )
}

function cancelled(): UnderstudyError {
  return new UnderstudyError('cancelled', 'Stopped; what was recorded so far stays.', {
    help: 'Run the command again to go on.',
  })
}
