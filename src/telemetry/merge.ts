/** Metrics of several processes as those of one: what has equal labels is added up. */
import type { HistogramSample, MetricFamily, NumberSample } from './metrics.ts'

export function mergeMetrics(
  processes: readonly (readonly MetricFamily[])[],
): readonly MetricFamily[] {
  const merged = new Map<string, MetricFamily>()
  for (const family of processes.flat()) {
    const before = merged.get(family.name)
    merged.set(family.name, before === undefined ? family : both(before, family))
  }
  return [...merged.values()]
}

function both(a: MetricFamily, b: MetricFamily): MetricFamily {
  if (a.type === 'histogram' && b.type === 'histogram') {
    return { ...a, samples: added<HistogramSample>(a.samples, b.samples, addHistograms) }
  }
  if (a.type !== 'histogram' && b.type !== 'histogram') {
    const sum = (x: NumberSample, y: NumberSample) => ({ ...x, value: x.value + y.value })
    return { ...a, samples: added<NumberSample>(a.samples, b.samples, sum) }
  }
  return a
}

function addHistograms(x: HistogramSample, y: HistogramSample): HistogramSample {
  const counts = x.counts.map((count, i) => count + (y.counts[i] ?? 0))
  return { ...x, counts, sum: x.sum + y.sum }
}

function added<S extends { readonly labels: Readonly<Record<string, string>> }>(
  a: readonly S[],
  b: readonly S[],
  add: (x: S, y: S) => S,
): readonly S[] {
  const rows = new Map(a.map(sample => [JSON.stringify(sample.labels), sample]))
  for (const sample of b) {
    const key = JSON.stringify(sample.labels)
    const before = rows.get(key)
    rows.set(key, before === undefined ? sample : add(before, sample))
  }
  return [...rows.values()]
}
