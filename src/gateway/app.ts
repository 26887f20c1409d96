/** The HTTP application: who is let in, which path goes where, and how errors look. Holds no logic of answering. */
import { Hono } from 'hono'
import { isUnderstudyError, UnderstudyError } from '../errors.ts'
import { errorBody, WIRES, type Wire, wireAt } from '../wire/index.ts'
import { createApi } from './api.ts'
import { authenticate, checkBrowserOrigin, checkOperator } from './callers.ts'
import type { GatewayContext } from './context.ts'
import { answerExchange, type ExchangeParts } from './exchange.ts'
import { fromFetch } from './fetch-request.ts'
import type { Door, Incoming, RawRequest } from './incoming.ts'
import { createJobs } from './jobs.ts'
import { createLeadWatch } from './lead-watch.ts'
import { type Listening, type ListenOptions, listen } from './listen.ts'
import { ownModels, passThrough } from './pass-through.ts'
import { createRecorder } from './recorder.ts'
import { jsonReply, type Reply, toResponse } from './reply.ts'
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

type Answer = (parts: ExchangeParts, incoming: Incoming) => Reply | Promise<Reply>

/** What the gateway answers itself under `/v1`, by method and path; everything else there passes through. */
const ANSWERS: Readonly<Record<string, Answer>> = {
  ...Object.fromEntries(
    WIRES.map((wire): [string, Answer] => [
      `POST ${wire.path}`,
      (parts, incoming) => answerExchange(wire, parts, incoming),
    ]),
  ),
  'GET /v1/models': (parts, incoming) =>
    parts.lead === null ? ownModels(parts) : passThrough(parts, incoming),
}

export function createGateway(context: GatewayContext): Gateway {
  const { clock, keys, log, workspace } = context
  const recorder = createRecorder(workspace, log)
  const jobRegistry = createJobs(context.jobs, clock)
  const leadWatch = createLeadWatch(context.cascade, log)
  const parts = { ...context, recorder, tally: createTally(), leadWatch }
  const startedMs = clock.now()

  const checkDoor = ({ headers }: Pick<RawRequest, 'headers'>, { isLoopback }: Door): void => {
    if (isLoopback) checkBrowserOrigin(headers, context.allowedHosts)
  }
  /** Requests under `/v1`: all that models are asked. */
  const answerApi = async (raw: RawRequest, door: Door): Promise<Reply> => {
    try {
      checkDoor(raw, door)
      const incoming = { ...raw, key: authenticate(keys, raw.headers.authorization) }
      const answer = ANSWERS[`${raw.method} ${pathOf(raw.target)}`] ?? passThrough
      return await answer(parts, incoming)
    } catch (error) {
      return errorReply(error, log, wireAt(pathOf(raw.target)))
    }
  }

  const app = new Hono<{ Bindings: Door }>({ strict: true })
  app.onError(error => toResponse(errorReply(error, log)))
  app.notFound(c => {
    const error = new UnderstudyError(
      'not-found',
      `There is no path ${c.req.path.slice(0, 100)}.`,
      {
        help: 'The API lives under /v1, the gateway itself under /understudy/v1.',
      },
    )
    return toResponse(errorReply(error, log))
  })
  app.all('/v1/*', async c => toResponse(await answerApi(fromFetch(c.req.raw), c.env)))
  app.use(async (c, next) => {
    const { headers } = c.req.raw
    const [host, origin] = [headers.get('host') ?? undefined, headers.get('origin') ?? undefined]
    checkDoor({ headers: { ...(host && { host }), ...(origin && { origin }) } }, c.env)
    await next()
  })
  app.get('/healthz', () => new Response('ok\n', { headers: { 'content-type': 'text/plain' } }))
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
    listen: options => listen({ ...options, answer, answerApi, hasKeys: keys.length > 0, log }),
    async close() {
      await jobRegistry.close()
      await recorder.settle()
    },
  }
}

function pathOf(target: string): string {
  const end = target.indexOf('?')
  return end < 0 ? target : target.slice(0, end)
}

/** The only place where an error becomes an answer. */
function errorReply(
  error: unknown,
  log: (text: string) => void,
  wire: Pick<Wire, 'error'> | null = null,
): Reply {
  const { status, body } = wire?.error(error) ?? errorBody(error)
  if (!isUnderstudyError(error)) {
    log(`Unexpected failure: ${error instanceof Error ? (error.stack ?? error.message) : error}`)
  }
  return jsonReply(body, status)
}
