/** What the gateway counts, by name. Names and units follow Prometheus' conventions. */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { type Counter, createMetrics, type Histogram, type Metrics } from '../telemetry/index.ts'
import type { Gate } from './gate.ts'
import type { GatewayHealth } from './readiness.ts'
import { addUpstreamMetrics, type UpstreamSources } from './upstream-metrics.ts'

/** Seconds; from what a reflex takes to what a lead may think. */
const SECONDS = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120,
]

export interface GatewayMetrics {
  readonly requests: Counter
  readonly duration: Histogram
  readonly firstByte: Histogram
  readonly tokens: Counter
  readonly cost: Counter
  readonly saved: Counter
  readonly unpriced: Counter
  readonly escalations: Counter
  readonly shed: Counter
  families: Metrics['families']
  close(): void
}

export interface MetricSources extends UpstreamSources {
  readonly gate: Pick<Gate, 'runningCount' | 'queuedCount'>
  readonly health: () => GatewayHealth
  readonly unrecordedCount: () => number
  readonly openStreamCount: () => number
  readonly droppedSpanCount: () => number
}

export function createGatewayMetrics(sources: MetricSources): GatewayMetrics {
  const metrics = createMetrics()
  const { gate, health, worker } = sources
  const delay = monitorEventLoopDelay({ resolution: 10 })
  delay.enable()
  const { gauge } = metrics
  const state = (isOk: boolean) => [{ labels: { worker }, value: isOk ? 1 : 0 }]

  gauge('understudy_requests_in_flight', 'Requests being answered.', () => gate.runningCount)
  gauge('understudy_requests_queued', 'Requests waiting for their turn.', () => gate.queuedCount)
  gauge('understudy_open_streams', 'Answers being streamed.', sources.openStreamCount)
  gauge('understudy_ledger_up', 'Whether the ledger takes records.', () =>
    state(health().ledger === 'ok'),
  )
  gauge('understudy_store_up', 'Whether the database follows the ledger.', () =>
    state(health().store === 'ok'),
  )
  gauge('understudy_key_usage_up', 'Whether what keys used comes to the disk.', () =>
    state(health().spend === 'ok'),
  )
  gauge(
    'understudy_ledger_queue_bytes',
    'Bytes waiting to be written to the ledger.',
    () => health().queuedBytes,
  )
  gauge(
    'understudy_projection_lag_records',
    'Records that the database does not have yet.',
    () => health().lagCount,
  )
  gauge('understudy_unrecorded_answers', 'Answers given without a record since the start.', () =>
    sources.unrecordedCount(),
  )
  gauge('understudy_dropped_spans', 'Spans that no collector got since the start.', () =>
    sources.droppedSpanCount(),
  )
  gauge('understudy_event_loop_delay_seconds', 'Delay of timers, since the last look.', () => {
    const samples = [0.5, 0.99, 1].map(q => ({
      labels: { worker, quantile: String(q) },
      // The histogram counts from one timer to the next, its resolution included.
      value: Math.max(0, (q === 1 ? delay.max : delay.percentile(100 * q)) / 1e9 - 0.01),
    }))
    delay.reset()
    return samples
  })
  addUpstreamMetrics(metrics, sources)
  gauge('process_resident_memory_bytes', 'Resident memory.', () => [
    { labels: { worker }, value: process.memoryUsage.rss() },
  ])
  gauge('nodejs_heap_used_bytes', 'JavaScript heap in use.', () => [
    { labels: { worker }, value: process.memoryUsage().heapUsed },
  ])
  gauge('process_cpu_seconds', 'Processor time since the start.', () => {
    const { user, system } = process.cpuUsage()
    return [{ labels: { worker }, value: (user + system) / 1e6 }]
  })

  return {
    requests: metrics.counter('understudy_requests_total', 'Requests answered.', [
      'route',
      'tier',
      'status',
    ]),
    duration: metrics.histogram(
      'understudy_request_duration_seconds',
      'Time from a request to the last byte of its answer.',
      SECONDS,
      ['route', 'tier'],
    ),
    firstByte: metrics.histogram(
      'understudy_first_byte_seconds',
      'Time from a request to the head of its answer.',
      SECONDS,
      ['route', 'tier'],
    ),
    tokens: metrics.counter('understudy_tokens_total', 'Tokens, as answers report them.', [
      'tier',
      'kind',
    ]),
    cost: metrics.counter('understudy_cost_usd_total', 'What the lead costs at list price.', [
      'model',
    ]),
    saved: metrics.counter(
      'understudy_saved_usd_total',
      'What the lead would have cost for what specialists answered.',
      ['model'],
    ),
    unpriced: metrics.counter(
      'understudy_unpriced_answers_total',
      'Answers without usage, or of a model without a known price.',
    ),
    escalations: metrics.counter(
      'understudy_escalations_total',
      'Requests that went to the lead, by reason.',
      ['reason'],
    ),
    shed: metrics.counter('understudy_shed_total', 'Requests turned away for want of room.'),
    families: metrics.families,
    close: () => void delay.disable(),
  }
}
