/** The HTTP application: who is let in, which path goes where, and how errors look. Holds no logic of answering. */
import { Hono } from 'hono'
import { isUnderstudyError, UnderstudyError } from '../errors.ts'
import { CHAT_PATH, errorBody } from '../wire/index.ts'
import { createApi } from './api.ts'
import { authenticate, checkBrowserOrigin, checkOperator } from './callers.ts'
import { answerChat, type Incoming } from './chat.ts'
import type { GatewayContext } from './context.ts'
import { createJobs } from './jobs.ts'
import { createLeadWatch } from './lead-watch.ts'
import { type Listening, type ListenOptions, listen } from './listen.ts'
import { ownModels, passThrough } from './pass-through.ts'
import { createRecorder } from './recorder.ts'
import { createTally } from './tally.ts'

export interface Gateway {
  /** Answers one request in process, by the same rules as over a port on loopback. Never rejects. */
  fetch(request: Request): Promise<Response>
  /** The same from a path, such as `/v1/models`. */
  request(path: string, init?: RequestInit): Promise<Response>
  /**
   * Opens a port. @throws usage-invalid when the host is not loopback and no key is configured; or the address cannot be had
   */
  listen(options: ListenOptions): Promise<Listening>
  /** Cancels jobs and waits for records still being written. Call after the listening ones are closed. */
  close(): Promise<void>
}

/** How a request came: over a port that other machines reach, or not. */
interface Door {
  readonly isLoopback: boolean
}

export function createGateway(context: GatewayContext): Gateway {
  const { clock, keys, log, workspace } = context
  const recorder = createRecorder(workspace, log)
  const jobRegistry = createJobs(context.jobs, clock)
  const leadWatch = createLeadWatch(context.cascade, log)
  const parts = { ...context, recorder, tally: createTally(), leadWatch }
  const startedMs = clock.now()

  const incoming = (request: Request): Incoming => {
    const headers = Object.fromEntries(request.headers)
    return { request, headers, key: authenticate(keys, headers.authorization) }
  }

  const app = new Hono<{ Bindings: Door }>({ strict: true })
  app.onError(error => errorResponse(error, log))
  app.notFound(c => {
    const error = new UnderstudyError(
      'not-found',
      `There is no path ${c.req.path.slice(0, 100)}.`,
      {
        help: 'The API lives under /v1, the gateway itself under /understudy/v1.',
      },
    )
    return errorResponse(error, log)
  })
  app.use(async (c, next) => {
    if (c.env.isLoopback) {
      const { headers } = c.req.raw
      const host = headers.get('host') ?? undefined
      checkBrowserOrigin({ host, origin: headers.get('origin') ?? undefined }, context.allowedHosts)
    }
    await next()
  })
  app.get('/healthz', () => new Response('ok\n', { headers: { 'content-type': 'text/plain' } }))
  app.post(CHAT_PATH, c => answerChat(parts, incoming(c.req.raw)))
  app.get('/v1/models', c => {
    const from = incoming(c.req.raw)
    return context.lead === null ? ownModels(parts) : passThrough(parts, from)
  })
  app.all('/v1/*', c => passThrough(parts, incoming(c.req.raw)))
  app.use('/understudy/*', async (c, next) => {
    const key = authenticate(keys, c.req.header('authorization'))
    checkOperator(key, c.req.path)
    await next()
  })
  app.route('/understudy/v1', createApi({ ...parts, jobRegistry, startedMs }))

  const answer = async (request: Request, door: Door): Promise<Response> => app.fetch(request, door)
  const fetchHere = (request: Request): Promise<Response> => answer(request, { isLoopback: true })
  return {
    fetch: fetchHere,
    request: (path, init) => fetchHere(new Request(new URL(path, 'http://localhost'), init)),
    listen: options => listen({ ...options, answer, hasKeys: keys.length > 0, log }),
    async close() {
      await jobRegistry.close()
      await recorder.settle()
    },
  }
}

/** The only place where an error becomes a response. */
function errorResponse(error: unknown, log: (text: string) => void): Response {
  const { status, body } = errorBody(error)
  if (!isUnderstudyError(error)) {
    log(`Unexpected failure: ${error instanceof Error ? (error.stack ?? error.message) : error}`)
  }
  return new Response(JSON.stringify(body), {
    status,
    headers: { 'content-type': 'application/json' },
  })
}
