/** The picture of `understudy top`: two looks at a gateway as lines of text. Asks nobody. */
import { type HistogramSample, type MetricFamily, quantileOf } from '../telemetry/index.ts'
import { clip } from '../util/index.ts'
import { isObject } from '../wire/index.ts'

/** One look. */
export interface TopSample {
  /** On a clock that never jumps. */
  readonly atMs: number
  readonly nowMs: number
  readonly status: Readonly<Record<string, unknown>>
  readonly families: readonly MetricFamily[]
}

const TIERS = ['lead', 'slm', 'encoder', 'reflex', 'cache', 'none']
const REASONS_SHOWN = 6

/** What happened between two looks; since the start where there is no earlier one. */
export function renderTop(now: TopSample, before: TopSample | null, columns: number): string {
  const seconds =
    before === null ? sinceStart(now) : Math.max(0.001, (now.atMs - before.atMs) / 1000)
  const span = before === null ? 'since the start' : `last ${seconds.toFixed(1)} s`
  const count = (name: string, labels: Labels = {}) =>
    total(now, name, labels) - (before === null ? 0 : total(before, name, labels))
  const lines = [
    header(now),
    '',
    `${'tier'.padEnd(9)}${['requests', 'per s', 'p50 ms', 'p95 ms', 'p99 ms'].map(cell).join('')}   (${span})`,
    ...TIERS.flatMap(tier => {
      const requests = count('understudy_requests_total', { tier })
      if (requests === 0 && tier !== 'lead') return []
      const quantiles = latencies(now, before, tier)
      const cells = [String(requests), (requests / seconds).toFixed(1), ...quantiles]
      return [`${(tier === 'none' ? 'refused' : tier).padEnd(9)}${cells.map(cell).join('')}`]
    }),
    '',
    `under way ${total(now, 'understudy_requests_in_flight')}   queued ${total(now, 'understudy_requests_queued')}   streams ${total(now, 'understudy_open_streams')}   shed ${count('understudy_shed_total')}   errors ${failures(now, before)}`,
    `tokens ${count('understudy_tokens_total')}   lead ${usd(count('understudy_cost_usd_total'))}   saved ${usd(count('understudy_saved_usd_total'))}   (since the start: ${usd(total(now, 'understudy_cost_usd_total'))}, ${usd(total(now, 'understudy_saved_usd_total'))})`,
    ...escalations(now, before),
    '',
    ...recording(now),
    processes(now),
  ]
  return `${lines.map(line => clip(line, columns)).join('\n')}\n`
}

type Labels = Readonly<Record<string, string>>

function cell(text: string): string {
  return text.padStart(10)
}

function usd(value: number): string {
  return `$${value.toFixed(value !== 0 && Math.abs(value) < 0.01 ? 6 : 2)}`
}

function family(sample: TopSample, name: string): MetricFamily | undefined {
  return sample.families.find(each => each.name === name)
}

function matches(labels: Labels, wanted: Labels): boolean {
  return Object.entries(wanted).every(([name, value]) => labels[name] === value)
}

/** Sum over all label sets that match. */
function total(sample: TopSample, name: string, wanted: Labels = {}): number {
  const found = family(sample, name)
  if (found === undefined || found.type === 'histogram') return 0
  return found.samples
    .filter(({ labels }) => matches(labels, wanted))
    .reduce((sum, { value }) => sum + value, 0)
}

function sinceStart({ nowMs, status }: TopSample): number {
  const startedMs = Date.parse(String(status.startedTime))
  return Number.isNaN(startedMs) ? 1 : Math.max(1, (nowMs - startedMs) / 1000)
}

function header({ status, nowMs }: TopSample): string {
  const time = new Date(nowMs).toISOString().slice(11, 19)
  const live = Array.isArray(status.live) ? status.live.length : 0
  const workers = Number(status.workers ?? 1)
  const lead = typeof status.lead === 'string' ? status.lead : 'none'
  return `understudy  ${time}  live tasks ${live}  workers ${workers}  lead ${lead}`
}

function latencies(now: TopSample, before: TopSample | null, tier: string): readonly string[] {
  const name = 'understudy_request_duration_seconds'
  const found = family(now, name)
  if (found?.type !== 'histogram') return []
  const later = addedCounts(found.samples, tier)
  const past = before === null ? undefined : family(before, name)
  const earlier = past?.type === 'histogram' ? addedCounts(past.samples, tier) : []
  const counts = later.map((count, i) => count - (earlier[i] ?? 0))
  return [0.5, 0.95, 0.99].map(q => {
    const value = quantileOf(found.bounds, counts, q)
    return value === null ? '–' : (value * 1000).toFixed(1)
  })
}

function addedCounts(samples: readonly HistogramSample[], tier: string): readonly number[] {
  const sum: number[] = []
  for (const { labels, counts } of samples) {
    if (labels.tier !== tier) continue
    for (const [i, count] of counts.entries()) sum[i] = (sum[i] ?? 0) + count
  }
  return sum
}

function failures(now: TopSample, before: TopSample | null): number {
  const errors = (sample: TopSample | null): number => {
    const found = sample === null ? undefined : family(sample, 'understudy_requests_total')
    if (found === undefined || found.type === 'histogram') return 0
    return found.samples
      .filter(({ labels }) => Number(labels.status) >= 500)
      .reduce((sum, { value }) => sum + value, 0)
  }
  return errors(now) - errors(before)
}

function escalations(now: TopSample, before: TopSample | null): readonly string[] {
  const name = 'understudy_escalations_total'
  const found = family(now, name)
  if (found === undefined || found.type === 'histogram') return []
  const rows = found.samples
    .map(({ labels, value }) => ({
      reason: labels.reason ?? '',
      count: value - (before === null ? 0 : total(before, name, labels)),
    }))
    .filter(({ count }) => count > 0)
    .sort((a, b) => b.count - a.count)
  if (rows.length === 0) return []
  const shown = rows.slice(0, REASONS_SHOWN).map(({ reason, count }) => `${reason} ${count}`)
  return [`to the lead: ${shown.join(', ')}`]
}

function recording(now: TopSample): readonly string[] {
  const health = isObject(now.status.health) ? now.status.health : {}
  const line = `ledger ${health.ledger ?? '?'}   database ${health.store ?? '?'}   behind ${health.lagCount ?? 0} records   unrecorded answers ${now.status.unrecordedCount ?? 0}`
  const { spend = 'ok', error } = health
  return [
    line,
    ...(spend === 'ok' ? [] : [`  the file of what keys used: ${spend}`]),
    ...(typeof error === 'string' ? [`  ${error}`] : []),
  ]
}

function processes(now: TopSample): string {
  const memory = total(now, 'process_resident_memory_bytes') / 2 ** 20
  const found = family(now, 'understudy_event_loop_delay_seconds')
  const delays =
    found === undefined || found.type === 'histogram'
      ? []
      : found.samples.filter(({ labels }) => labels.quantile === '0.99')
  const worst = Math.max(0, ...delays.map(({ value }) => value)) * 1000
  return `memory ${memory.toFixed(0)} MB   event loop delay p99 ${worst.toFixed(1)} ms`
}
