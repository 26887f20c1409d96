/** The gateway's own API under `/understudy/v1`: what it did, what it knows, and long work. Answers JSON only. */
import { Hono } from 'hono'
import { UnderstudyError } from '../errors.ts'
import { mergeMetrics } from '../telemetry/index.ts'
import { mergeStates } from '../upstreams/index.ts'
import { isObject, parseJson } from '../wire/index.ts'
import { decodeUtf8, readBody } from './body.ts'
import type { GatewayContext } from './context.ts'
import { jobEventsResponse } from './job-events.ts'
import type { Jobs } from './jobs.ts'
import type { LeadWatch } from './lead-watch.ts'
import type { GatewayHealth } from './readiness.ts'
import type { Recorder } from './recorder.ts'
import type { Tally } from './tally.ts'
import type { ProcessStats } from './worker-messages.ts'

export interface ApiParts extends GatewayContext {
  readonly recorder: Recorder
  readonly tally: Tally
  readonly leadWatch: LeadWatch
  readonly jobRegistry: Jobs
  /** Milliseconds since the Unix epoch. */
  readonly startedMs: number
  readonly stats: () => ProcessStats
}

/** Routes of the gateway's own API, relative to `/understudy/v1`. */
export function createApi(parts: ApiParts): Hono {
  const { workspace, jobRegistry: jobs } = parts
  const { store } = workspace
  return new Hono()
    .get('/status', async () => json(await statusOf(parts)))
    .get('/metrics', async () =>
      json({ data: mergeMetrics((await allStats(parts)).map(s => s.families)) }),
    )
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

/** Of this process and its workers. */
async function allStats({ stats, peers }: ApiParts): Promise<readonly ProcessStats[]> {
  return [stats(), ...((await peers?.()) ?? [])]
}

/** How it stands with recording, where several write: as with the worst of them. */
function worstHealth(all: readonly ProcessStats[]): GatewayHealth {
  const healths = all.map(({ health }) => health)
  const sum = (name: 'unrecordedCount' | 'unprojectedCount' | 'queuedBytes' | 'lagCount') =>
    healths.reduce((total, health) => total + health[name], 0)
  const isFailing = (name: 'ledger' | 'store') => healths.some(health => health[name] === 'failing')
  const spend = new Set(healths.map(health => health.spend))
  return {
    ledger: isFailing('ledger') ? 'failing' : 'ok',
    store: isFailing('store') ? 'failing' : 'ok',
    spend: spend.has('failing') ? 'failing' : spend.has('late') ? 'late' : 'ok',
    unrecordedCount: sum('unrecordedCount'),
    unprojectedCount: sum('unprojectedCount'),
    queuedBytes: sum('queuedBytes'),
    lagCount: sum('lagCount'),
    error: healths.find(({ error }) => error !== null)?.error ?? null,
  }
}

function addedCounts(all: readonly ProcessStats[]): Readonly<Record<string, number>> {
  const total: Record<string, number> = {}
  for (const { counts } of all) {
    for (const [what, count] of Object.entries(counts)) total[what] = (total[what] ?? 0) + count
  }
  return total
}

/** Null where no process keeps answers. */
function addedCache(all: readonly ProcessStats[]): ProcessStats['cache'] {
  const caches = all.flatMap(({ cache }) => cache ?? [])
  if (caches.length === 0) return null
  const sum = (name: 'hits' | 'misses' | 'bytes') =>
    caches.reduce((total, cache) => total + cache[name], 0)
  return { hits: sum('hits'), misses: sum('misses'), bytes: sum('bytes') }
}

async function statusOf(parts: ApiParts): Promise<object> {
  const { workspace, cascade, lead, leadWatch, startedMs, configHash } = parts
  const all = await allStats(parts)
  return {
    node: workspace.node,
    startedTime: new Date(startedMs).toISOString(),
    lead: lead?.name ?? null,
    configHash,
    configError: parts.configError ?? null,
    upstreams: mergeStates(all.map(({ upstreams }) => upstreams)),
    routes: parts.upstreams?.routes() ?? [],
    cache: addedCache(all),
    workers: Math.max(1, all.length - 1),
    health: worstHealth(all),
    /** Since the start of each process. */
    requests: addedCounts(all),
    unrecordedCount: all.reduce((sum, { unrecordedCount }) => sum + unrecordedCount, 0),
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
async function decisionOf({ workspace, recorder, peers }: ApiParts, id: string): Promise<unknown> {
  const position = recorder.positionOf(id) ?? (await storedPosition({ workspace, peers }, id))
  if (position === undefined) {
    throw new UnderstudyError('not-found', `There is no decision '${id.slice(0, 80)}'.`, {
      help: 'Take the id from the header x-understudy-decision.',
    })
  }
  const { payload } = await workspace.read(position)
  return payload ?? { id, isErased: true }
}

/** A worker's newest records are in the ledger before they are in the database. */
async function storedPosition(
  {
    workspace,
    peers,
  }: Pick<ApiParts, 'workspace'> & { readonly peers: ApiParts['peers'] | undefined },
  id: string,
) {
  const row = await workspace.store.trace(id)
  if (row !== null || peers === undefined || !/^dec_\w{26}$/u.test(id)) return row?.position
  await workspace.catchUp?.()
  return (await workspace.store.trace(id))?.position
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
