/** Metrics of several processes as those of one: what has equal labels is added up. */
import { mergeBy } from '../util/index.ts'
import type { HistogramSample, MetricFamily, NumberSample } from './metrics.ts'

export function mergeMetrics(
  processes: readonly (readonly MetricFamily[])[],
): readonly MetricFamily[] {
  return mergeBy(processes.flat(), ({ name }) => name, both)
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
  return mergeBy([...a, ...b], ({ labels }) => JSON.stringify(labels), add)
}
