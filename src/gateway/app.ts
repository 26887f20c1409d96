/** The HTTP application: who is let in, which path goes where, and how errors look. Holds no logic of answering. */
import { Hono } from 'hono'
import { isUnderstudyError, UnderstudyError } from '../errors.ts'
import type { RouteTrail } from '../ledger/index.ts'
import { mergeMetrics, PROMETHEUS_TYPE, renderPrometheus } from '../telemetry/index.ts'
import { errorBody, WIRES, type Wire, wireAt } from '../wire/index.ts'
import { accessInMemory } from './access-options.ts'
import { createApi } from './api.ts'
import { authenticate, checkBrowserOrigin, checkRole } from './callers.ts'
import { extended, type GatewayContext } from './context.ts'
import { answerExchange } from './exchange.ts'
import { fromFetch } from './fetch-request.ts'
import { createGate } from './gate.ts'
import type { Door, Incoming, RawRequest } from './incoming.ts'
import { type HeaderMap, trailHeaders } from './intent.ts'
import { createJobs } from './jobs.ts'
import { createKeyRoutes } from './key-routes.ts'
import { createLeadWatch } from './lead-watch.ts'
import { type Listening, type ListenOptions, listen } from './listen.ts'
import { listModels } from './models-list.ts'
import { createObserver } from './observer.ts'
import { forwardToOwner, passThrough } from './pass-through.ts'
import { healthOf, readinessReply, withRecordingState } from './readiness.ts'
import { createRecorder } from './recorder.ts'
import { jsonReply, type Reply, toResponse } from './reply.ts'
import { createTally } from './tally.ts'
import type { ExchangeParts } from './turn.ts'
import type { ProcessStats } from './worker-messages.ts'

export interface Gateway {
  /** Answers one request in process, by the same rules as over a port on loopback. Never rejects. */
  fetch(request: Request): Promise<Response>
  /** The same from a path, such as `/v1/models`. */
  request(path: string, init?: RequestInit): Promise<Response>
  /** The same for whoever may open the data folder in this process, who needs no key for the gateway's own API. */
  requestAsOwner(path: string, init?: RequestInit): Promise<Response>
  /**
   * Opens a port. @throws usage-invalid when the host is not loopback and no key is configured; or the address cannot be had
   */
  listen(options: ListenOptions): Promise<Listening>
  /** Answers at a socket what workers forward: all but models' requests. Whoever may open the socket is let in. */
  listenForWorkers(path: string): Promise<Listening>
  /** What this process knows of itself. */
  stats(): ProcessStats
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
  'GET /v1/models': listModels,
}

export function createGateway(context: GatewayContext): Gateway {
  const { clock, log, workspace } = context
  const { limits } = context
  const recorder = createRecorder(workspace, { clock, log, timeoutMs: limits.recordTimeoutMs })
  const gate = createGate(limits)
  const access = context.access ?? accessInMemory(context)
  const health = () => healthOf(workspace, access)
  const observer = createObserver({
    ...context.telemetry,
    clock,
    gate,
    health,
    unrecordedCount: () => recorder.unrecordedCount,
    upstreams: () => context.upstreams?.states() ?? [],
    cache: () => context.cache?.counts ?? null,
  })
  const jobRegistry = createJobs(context.jobs, clock)
  const leadWatch = createLeadWatch(context.cascade, log)
  const parts = extended(context, { access, recorder, tally: createTally(), leadWatch, observer })
  const startedMs = clock.now()
  let isDraining = false

  const checkDoor = ({ headers }: Pick<RawRequest, 'headers'>, { isLoopback }: Door): void => {
    if (isLoopback) checkBrowserOrigin(headers, context.allowedHosts)
  }
  /** Requests under `/v1`: all that models are asked. */
  const answerApi = async (raw: RawRequest, door: Door): Promise<Reply> => {
    const route = `${raw.method} ${pathOf(raw.target)}`
    const answer = ANSWERS[route] ?? passThrough
    const watch = observer.begin(raw, answer === passThrough ? '/v1/*' : pathOf(raw.target))
    let leave = (): void => {}
    try {
      checkDoor(raw, door)
      const key = authenticate(access.keys, raw.headers, door)
      checkRole(key, raw.method, pathOf(raw.target))
      leave = await gate.enter(raw.signal)
      const reply = await answer(parts, { ...raw, headers: watch.headers, key, watch })
      return left(watch.answered(withRecordingState(reply, parts)), leave)
    } catch (error) {
      leave()
      const code = isUnderstudyError(error) ? error.code : 'bug'
      return watch.answered(errorReply(error, log, wireAt(pathOf(raw.target))), code)
    }
  }

  const stats = (): ProcessStats => ({
    families: observer.families(),
    counts: parts.tally.counts,
    unrecordedCount: recorder.unrecordedCount,
    health: health(),
    upstreams: context.upstreams?.states() ?? [],
    cache: context.cache?.counts ?? null,
  })

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
  app.all('/v1/*', async c => {
    const raw = fromFetch(c.req.raw)
    // The router reads what is encoded; roles and wires go by the path as it was sent.
    if (!raw.target.startsWith('/v1/')) return c.notFound()
    return toResponse(await answerApi(raw, c.env), raw.abort)
  })
  app.use(async (c, next) => {
    checkDoor({ headers: Object.fromEntries(c.req.raw.headers) }, c.env)
    await next()
  })
  app.get('/healthz', () => new Response('ok\n', { headers: { 'content-type': 'text/plain' } }))
  app.get('/readyz', () =>
    toResponse(
      readinessReply({
        isDraining,
        isStageOpen: context.isStageOpen?.() ?? true,
        isRecordingLate: recorder.isLate,
        health: health(),
      }),
    ),
  )
  const { owner } = context
  if (owner !== undefined) {
    const forward = async (raw: RawRequest) =>
      toResponse(await forwardToOwner(owner, raw, limits), raw.abort)
    app.all('/metrics', c => forward(fromFetch(c.req.raw)))
    app.all('/understudy/*', c => forward(fromFetch(c.req.raw)))
  }
  app.get('/metrics', async c => {
    checkRole(authenticate(access.keys, c.req.header(), c.env), 'GET', c.req.path)
    const peers = (await context.peers?.()) ?? []
    const all = [observer.families(), ...peers.map(({ families }) => families)]
    const text = renderPrometheus(mergeMetrics(all))
    return new Response(text, { headers: { 'content-type': PROMETHEUS_TYPE } })
  })
  app.use('/understudy/*', async (c, next) => {
    if (!c.env.isOwner) {
      checkRole(authenticate(access.keys, c.req.header(), c.env), c.req.method, c.req.path)
    }
    await next()
  })
  app.route(
    '/understudy/v1/keys',
    createKeyRoutes(access, () => context.limits.maxBodyBytes),
  )
  app.route('/understudy/v1', createApi(extended(parts, { jobRegistry, startedMs, stats })))

  const answer = async (request: Request, door: Door): Promise<Response> => app.fetch(request, door)
  /** A worker has looked at host and origin before. */
  const fromWorker = (request: Request): Promise<Response> =>
    answer(request, { isLoopback: false, isExposed: context.isExposed === true })
  const fetchHere = (request: Request): Promise<Response> => answer(request, { isLoopback: true })
  return {
    fetch: fetchHere,
    request: (path, init) => fetchHere(new Request(new URL(path, 'http://localhost'), init)),
    requestAsOwner: (path, init) =>
      answer(new Request(new URL(path, 'http://localhost'), init), {
        isLoopback: true,
        isOwner: true,
      }),
    async listen(options) {
      const hasKeys = access.keys.areRequired
      const { address, close } = await listen({ ...options, answer, answerApi, hasKeys, log })
      return {
        address,
        close(how) {
          isDraining = true
          return close(how)
        },
      }
    },
    listenForWorkers: path =>
      listen({ path, port: 0, answer: fromWorker, answerApi, hasKeys: true, log }),
    stats,
    async close() {
      isDraining = true
      await jobRegistry.close()
      await recorder.settle()
      await observer.close()
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
  return jsonReply(body, status, isUnderstudyError(error) ? errorHeaders(error) : {})
}

/** When to come back, and what was tried. */
function errorHeaders({ details }: UnderstudyError): Record<string, string> {
  const { retryAfterSeconds, trail, headers } = details
  return {
    ...(retryAfterSeconds === undefined ? {} : { 'retry-after': String(retryAfterSeconds) }),
    ...trailHeaders(trail as RouteTrail | undefined),
    ...(headers as HeaderMap | undefined),
  }
}

/** Gives the place in the gate back when the answer is out. */
function left(reply: Reply, leave: () => void): Reply {
  return {
    ...reply,
    onEnd(isWhole) {
      leave()
      reply.onEnd?.(isWhole)
    },
  }
}
