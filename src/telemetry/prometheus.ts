/** Metrics in Prometheus' text format, version 0.0.4. */
import type { MetricFamily } from './metrics.ts'

/** Content type of the text. */
export const PROMETHEUS_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

/** One line per sample, histograms as cumulative buckets with sum and count. */
export function renderPrometheus(families: readonly MetricFamily[]): string {
  return families.map(renderFamily).join('')
}

function renderFamily(family: MetricFamily): string {
  const { name, help, type } = family
  const lines = [
    `# HELP ${name} ${help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')}`,
    `# TYPE ${name} ${type}`,
  ]
  if (family.type !== 'histogram') {
    for (const { labels, value } of family.samples) {
      lines.push(`${name}${labelText(labels)} ${numberText(value)}`)
    }
  } else {
    for (const { labels, counts, sum } of family.samples) {
      let total = 0
      for (const [i, bound] of [...family.bounds, Number.POSITIVE_INFINITY].entries()) {
        total += counts[i] ?? 0
        lines.push(`${name}_bucket${labelText({ ...labels, le: numberText(bound) })} ${total}`)
      }
      lines.push(`${name}_sum${labelText(labels)} ${numberText(sum)}`)
      lines.push(`${name}_count${labelText(labels)} ${total}`)
    }
  }
  return `${lines.join('\n')}\n`
}

function labelText(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`)
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`
}

function escaped(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
}

function numberText(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return '+Inf'
  return value === Number.NEGATIVE_INFINITY ? '-Inf' : String(value)
}
