/** Watches requests from their first byte to their last: ids, metrics, spans, log lines. Sees texts, keeps none. */
import { type PriceTable, priceOf } from '../config/index.ts'
import {
  createLogger,
  formatTraceparent,
  type Logger,
  type MetricFamily,
  parseTraceparent,
  type SpanExporter,
  type TraceContext,
} from '../telemetry/index.ts'
import { type Clock, newId, randomHex, randomUnit } from '../util/index.ts'
import {
  genAiAttributes,
  genAiOperation,
  reportedModel,
  type Usage,
  usageOf,
  wireAt,
} from '../wire/index.ts'
import type { Gate } from './gate.ts'
import { createGatewayMetrics } from './gateway-metrics.ts'
import type { RawRequest } from './incoming.ts'
import type { HeaderMap } from './intent.ts'
import type { GatewayHealth } from './readiness.ts'
import type { Exchange } from './recorder.ts'
import type { Reply } from './reply.ts'
import type { UpstreamSources } from './upstream-metrics.ts'

/** What the operator asked for; each has a default that costs nothing. */
export interface TelemetryOptions {
  readonly logger?: Logger
  readonly spans?: SpanExporter | null
  /** Share of the traces begun here that are exported. */
  readonly sampledShare?: number
  /** Those that hold now. */
  readonly prices?: () => PriceTable
  /** Tells the processes of one gateway apart. */
  readonly worker?: string
}

export interface Observer {
  begin(raw: RawRequest, route: string): RequestWatch
  families(): readonly MetricFamily[]
  close(): Promise<void>
}

/** One request under observation. */
export interface RequestWatch {
  readonly requestId: string
  /** The caller's headers with the ids under which the lead gets to know this request. */
  readonly headers: HeaderMap
  /** What was recorded of it, or should have been. */
  recorded(exchange: Exchange, isRecorded: boolean): void
  /** Its answer with our headers, and with an end that is noticed. */
  answered(reply: Reply, errorCode?: string): Reply
}

export interface ObserverParts extends TelemetryOptions {
  readonly clock: Clock
  readonly gate: Gate
  readonly health: () => GatewayHealth
  readonly unrecordedCount: () => number
  readonly upstreams: UpstreamSources['upstreams']
  readonly cache: UpstreamSources['cache']
}

const REQUEST_ID_HEADER = 'x-request-id'

/** A request id that somebody else made is kept where it is one word of a length that logs can bear. */
function requestIdOf(headers: HeaderMap): string {
  const given = headers[REQUEST_ID_HEADER]
  return given !== undefined && /^[\w.:/+=@-]{1,128}$/u.test(given) ? given : newId('req')
}

export function createObserver(parts: ObserverParts): Observer {
  const { clock, gate, health, unrecordedCount, spans = null, worker = '0' } = parts
  const { upstreams, cache, prices = () => undefined } = parts
  const { sampledShare = 1, logger = createLogger({ write: () => {} }) } = parts
  let openStreamCount = 0
  const metrics = createGatewayMetrics({
    gate,
    health,
    unrecordedCount,
    openStreamCount: () => openStreamCount,
    droppedSpanCount: () => spans?.droppedCount ?? 0,
    worker,
    upstreams,
    cache,
  })

  function countExchange({ endpoint, decision, request, response }: Exchange): void {
    const { servedBy, reason } = decision
    if (servedBy === 'lead') metrics.escalations.add(1, reason)
    const usage = usageIn(endpoint, response)
    // Some leads report a name of their own; what was asked for may have a price all the same.
    const table = prices()
    const models = [reportedModel(response), reportedModel(request)].filter(name => name !== null)
    const model = models.find(name => priceOf(name, table) !== null) ?? null
    const price = model === null ? null : priceOf(model, table)
    if (usage !== null) {
      metrics.tokens.add(usage.promptTokens, servedBy, 'prompt')
      metrics.tokens.add(usage.completionTokens, servedBy, 'completion')
    }
    if (usage === null || price === null || model === null) metrics.unpriced.add(1)
    else {
      const { promptTokens, completionTokens } = usage
      const usd = (promptTokens * price.inUsd + completionTokens * price.outUsd) / 1e6
      const purse = servedBy === 'lead' ? metrics.cost : metrics.saved
      purse.add(usd, model)
    }
  }

  /** The trace that this request belongs to, where it is to be exported. */
  function traceOf(headers: HeaderMap): { context: TraceContext; parent: string | null } | null {
    if (spans === null) return null
    const given = parseTraceparent(headers.traceparent)
    const isSampled = given?.isSampled ?? randomUnit() < sampledShare
    const context = { traceId: given?.traceId ?? randomHex(16), spanId: randomHex(8), isSampled }
    return { context, parent: given?.spanId ?? null }
  }

  function begin({ method, headers }: RawRequest, route: string): RequestWatch {
    const [startedMs, startMs] = [clock.now(), clock.monotonic()]
    const requestId = requestIdOf(headers)
    const trace = traceOf(headers)
    let exchange: Exchange | null = null
    let wasRecorded = false

    const finish = (reply: Reply, isWhole: boolean, errorCode: string | null): void => {
      const took = clock.monotonic() - startMs
      const { status } = reply
      const tier = reply.headers['x-understudy-served-by'] ?? 'none'
      metrics.requests.add(1, route, tier, String(status))
      metrics.duration.observe(took / 1000, route, tier)
      const failure = errorCode ?? (status >= 500 ? String(status) : isWhole ? null : 'cut-short')
      if (trace?.context.isSampled === true) {
        spans?.export({
          ...trace.context,
          parentSpanId: trace.parent,
          name: exchange === null ? `${method} ${route}` : spanName(exchange),
          startMs: startedMs,
          endMs: startedMs + took,
          error: failure,
          attributes: {
            'http.request.method': method,
            'http.route': route,
            'http.response.status_code': status,
            'understudy.request_id': requestId,
            ...(failure === null ? {} : { 'error.type': failure }),
            ...(exchange === null ? {} : exchangeAttributes(exchange, wasRecorded)),
          },
        })
      }
      // A caller who leaves is no fault of anybody here.
      const hasLeft = status === 499 || (status < 400 && !isWhole)
      const level = hasLeft ? 'info' : status >= 500 ? 'warn' : status >= 400 ? 'info' : 'debug'
      if (!logger.isOn(level)) return
      logger[level](`${method} ${route}`, {
        request: requestId,
        status,
        tier,
        ms: Math.round(took * 10) / 10,
        ...(failure === null ? {} : { error: failure }),
        ...(exchange === null ? {} : { decision: exchange.id, reason: exchange.decision.reason }),
        ...(exchange === null || wasRecorded ? {} : { recorded: false }),
        ...(trace === null ? {} : { trace: trace.context.traceId }),
      })
    }

    return {
      requestId,
      headers: {
        ...headers,
        [REQUEST_ID_HEADER]: requestId,
        ...(trace === null ? {} : { traceparent: formatTraceparent(trace.context) }),
      },
      recorded(found, isRecorded) {
        exchange = found
        wasRecorded = isRecorded
        countExchange(found)
      },
      answered(reply, errorCode) {
        const tier = reply.headers['x-understudy-served-by'] ?? 'none'
        metrics.firstByte.observe((clock.monotonic() - startMs) / 1000, route, tier)
        if (errorCode === 'overloaded') metrics.shed.add(1)
        const isStream =
          typeof reply.body === 'object' && reply.body !== null && 'next' in reply.body
        if (isStream) openStreamCount++
        const answer: Reply = {
          ...reply,
          headers: {
            // A lead that names its own id is believed: callers quote that one to its support.
            [REQUEST_ID_HEADER]: requestId,
            ...reply.headers,
            'x-understudy-request': requestId,
          },
          onEnd(isWhole) {
            if (isStream) openStreamCount--
            finish(reply, isWhole, errorCode ?? null)
          },
        }
        return answer
      },
    }
  }

  return {
    begin,
    families: metrics.families,
    async close() {
      metrics.close()
      await spans?.close()
    },
  }
}

function spanName({ endpoint, request }: Exchange): string {
  const operation = genAiOperation(wireAt(endpoint)?.name ?? null)
  return `${operation} ${reportedModel(request) ?? 'unknown'}`
}

function usageIn(endpoint: string, response: unknown): Usage | null {
  const wire = wireAt(endpoint)
  return wire === null ? usageOf(response) : wire.usageOf(response)
}

function exchangeAttributes(exchange: Exchange, isRecorded: boolean) {
  const { id, app, endpoint, decision, request, response, isStream } = exchange
  const wire = wireAt(endpoint)?.name ?? null
  const confidence = decision.tiers.at(-1)?.confidence
  return {
    ...genAiAttributes(wire, { request, response, usage: usageIn(endpoint, response) }),
    'understudy.served_by': decision.servedBy,
    'understudy.reason': decision.reason,
    'understudy.stream': isStream,
    ...(isRecorded ? { 'understudy.decision': id } : {}),
    ...(app === null ? {} : { 'understudy.app': app }),
    ...(decision.task === null ? {} : { 'understudy.task': decision.task }),
    ...(confidence === undefined ? {} : { 'understudy.confidence': confidence }),
    ...(decision.certificate === null ? {} : { 'understudy.certificate': decision.certificate }),
  }
}
