/** The gateway's own API under `/understudy/v1`: what it did, what it knows, and long work. Answers JSON only. */
import { Hono } from 'hono'
import { UnderstudyError } from '../errors.ts'
import { isObject, parseJson } from '../wire/index.ts'
import { decodeUtf8, readBody } from './body.ts'
import type { GatewayContext } from './context.ts'
import { jobEventsResponse } from './job-events.ts'
import type { Jobs } from './jobs.ts'
import type { LeadWatch } from './lead-watch.ts'
import type { Recorder } from './recorder.ts'
import type { Tally } from './tally.ts'

export interface ApiParts extends GatewayContext {
  readonly recorder: Recorder
  readonly tally: Tally
  readonly leadWatch: LeadWatch
  readonly jobRegistry: Jobs
  /** Milliseconds since the Unix epoch. */
  readonly startedMs: number
}

/** Routes of the gateway's own API, relative to `/understudy/v1`. */
export function createApi(parts: ApiParts): Hono {
  const { workspace, jobRegistry: jobs } = parts
  const { store } = workspace
  return new Hono()
    .get('/status', () => json(statusOf(parts)))
    .get('/tasks', async () => json({ data: await store.tasks() }))
    .get('/tasks/:id', async c => {
      const id = c.req.param('id')
      return json(found(await store.task(id), 'task', id))
    })
    .get('/specialists', async c => json({ data: await store.specialists(c.req.query('task')) }))
    .get('/specialists/:hash', async c => {
      const hash = c.req.param('hash')
      return json(found(await store.specialist(hash), 'specialist', hash))
    })
    .get('/certificates', async c => json({ data: await store.certificates(c.req.query('task')) }))
    .get('/certificates/:id', async c => {
      const id = c.req.param('id')
      return json(found(await store.certificate(id), 'certificate', id))
    })
    .get('/decisions/:id', async c => json(await decisionOf(parts, c.req.param('id'))))
    .get('/jobs', () => json({ data: jobs.list() }))
    .post('/jobs', async c => {
      const { kind, params } = await jobOrder(c.req.raw, parts.limits.maxBodyBytes)
      return json(jobs.start(kind, params), 202)
    })
    .get('/jobs/:id', c => json(jobs.get(c.req.param('id'))))
    .delete('/jobs/:id', c => json(jobs.cancel(c.req.param('id')), 202))
    .get('/jobs/:id/events', c => jobEventsResponse(jobs, c.req.param('id')))
}

function json(value: unknown, status = 200): Response {
  return new Response(JSON.stringify(value), {
    status,
    headers: { 'content-type': 'application/json' },
  })
}

function found<T>(value: T | null, what: string, id: string): T {
  if (value !== null) return value
  throw new UnderstudyError('not-found', `There is no ${what} '${id.slice(0, 80)}'.`, {
    help: `List what there is at /understudy/v1/${what}s.`,
  })
}

function statusOf(parts: ApiParts): object {
  const { workspace, cascade, lead, leadWatch, recorder, tally, startedMs, configHash } = parts
  return {
    node: workspace.node,
    startedTime: new Date(startedMs).toISOString(),
    lead: lead?.name ?? null,
    configHash,
    configError: parts.configError ?? null,
    upstreams: parts.upstreams?.states() ?? [],
    routes: parts.upstreams?.routes() ?? [],
    health: workspace.health(),
    /** Since the start of this process. */
    requests: tally.counts,
    unrecordedCount: recorder.unrecordedCount,
    live: cascade.live().map(task => ({
      task: task.id,
      name: task.name,
      tier: task.specialist.tier,
      specialist: task.specialist.hash,
      certificate: task.certificate,
      threshold: task.threshold,
      /** The lead's name where it is another than the certificate was measured against. */
      leadChangedTo: leadWatch.changedTo(task.id),
    })),
  }
}

/** The trace behind a decision id: from this process's newest at once, else by the projection. */
async function decisionOf({ workspace, recorder }: ApiParts, id: string): Promise<unknown> {
  const position = recorder.positionOf(id) ?? (await workspace.store.trace(id))?.position
  if (position === undefined) {
    throw new UnderstudyError('not-found', `There is no decision '${id.slice(0, 80)}'.`, {
      help: 'Take the id from the header x-understudy-decision.',
    })
  }
  const { payload } = await workspace.read(position)
  return payload ?? { id, isErased: true }
}

async function jobOrder(
  request: Request,
  maxBytes: number,
): Promise<{ kind: string; params: unknown }> {
  const body = parseJson(decodeUtf8(await readBody(request, maxBytes)))
  if (!isObject(body) || typeof body.kind !== 'string') {
    throw new UnderstudyError('request-invalid', 'The body names no kind of job.', {
      help: 'Send {"kind": …, "params": {…}}.',
      details: { param: 'kind' },
    })
  }
  return { kind: body.kind, params: body.params ?? {} }
}
