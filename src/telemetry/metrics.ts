/** Counters, gauges and histograms with labels, in bounded memory. Knows no format and no names of metrics. */

export interface NumberSample {
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

export interface HistogramSample {
  readonly labels: Readonly<Record<string, string>>
  /** Observations up to each bound of the family, not cumulative; one more for those beyond the last. */
  readonly counts: readonly number[]
  readonly sum: number
}

/** One metric with all its label sets, as JSON. */
export type MetricFamily =
  | {
      readonly name: string
      readonly help: string
      readonly type: 'counter' | 'gauge'
      readonly samples: readonly NumberSample[]
    }
  | {
      readonly name: string
      readonly help: string
      readonly type: 'histogram'
      readonly bounds: readonly number[]
      readonly samples: readonly HistogramSample[]
    }

export interface Counter {
  /** Label values in the order in which the labels were declared. */
  add(amount: number, ...labels: readonly string[]): void
}

export interface Histogram {
  observe(value: number, ...labels: readonly string[]): void
}

export interface Metrics {
  counter(name: string, help: string, labels?: readonly string[]): Counter
  histogram(
    name: string,
    help: string,
    bounds: readonly number[],
    labels?: readonly string[],
  ): Histogram
  /** Read whenever somebody looks. */
  gauge(name: string, help: string, read: () => number | readonly NumberSample[]): void
  families(): readonly MetricFamily[]
}

/** Label sets per metric; what comes beyond is counted under `other`, since callers choose some labels (models). */
const LABEL_SETS_MAX = 500
const SEPARATOR = '\u0000'

export function createMetrics(): Metrics {
  const readers: (() => MetricFamily)[] = []

  function table<Cell>(labels: readonly string[], empty: () => Cell) {
    const cells = new Map<string, Cell>()
    const at = (values: readonly string[]): Cell => {
      const wanted = values.length === 1 ? (values[0] as string) : values.join(SEPARATOR)
      const found = cells.get(wanted)
      if (found !== undefined) return found
      const isFull = labels.length > 0 && cells.size >= LABEL_SETS_MAX
      const key = isFull ? labels.map(() => 'other').join(SEPARATOR) : wanted
      const cell = cells.get(key) ?? empty()
      cells.set(key, cell)
      return cell
    }
    const labelled = (key: string): Readonly<Record<string, string>> => {
      if (labels.length === 0) return {}
      const values = key.split(SEPARATOR)
      return Object.fromEntries(labels.map((label, i) => [label, values[i] ?? '']))
    }
    return { at, rows: () => [...cells].map(([key, cell]) => ({ labels: labelled(key), cell })) }
  }

  return {
    counter(name, help, labels = []) {
      const { at, rows } = table(labels, () => ({ value: 0 }))
      if (labels.length === 0) at([''])
      readers.push(() => ({
        name,
        help,
        type: 'counter',
        samples: rows().map(row => ({ labels: row.labels, value: row.cell.value })),
      }))
      return {
        add(amount, ...values) {
          at(labels.length === 0 ? [''] : values).value += amount
        },
      }
    },
    histogram(name, help, bounds, labels = []) {
      const { at, rows } = table(labels, () => ({
        counts: new Array<number>(bounds.length + 1).fill(0),
        sum: 0,
      }))
      readers.push(() => ({
        name,
        help,
        type: 'histogram',
        bounds,
        samples: rows().map(({ labels: found, cell }) => ({
          labels: found,
          counts: [...cell.counts],
          sum: cell.sum,
        })),
      }))
      return {
        observe(value, ...values) {
          const cell = at(labels.length === 0 ? [''] : values)
          let bucket = 0
          while (bucket < bounds.length && value > (bounds[bucket] as number)) bucket++
          cell.counts[bucket] = (cell.counts[bucket] as number) + 1
          cell.sum += value
        },
      }
    },
    gauge(name, help, read) {
      readers.push(() => {
        const value = read()
        const samples = typeof value === 'number' ? [{ labels: {}, value }] : value
        return { name, help, type: 'gauge', samples }
      })
    },
    families: () => readers.map(read => read()),
  }
}

/**
 * A quantile of a histogram, interpolated within its bucket as Prometheus does; the last bound where it lies beyond, null
 * without observations.
 */
export function quantileOf(
  bounds: readonly number[],
  counts: readonly number[],
  q: number,
): number | null {
  const total = counts.reduce((sum, count) => sum + count, 0)
  if (total === 0) return null
  let below = 0
  for (const [i, bound] of bounds.entries()) {
    const count = counts[i] as number
    if (below + count >= q * total && count > 0) {
      const from = i === 0 ? 0 : (bounds[i - 1] as number)
      return from + ((bound - from) * (q * total - below)) / count
    }
    below += count
  }
  return bounds.at(-1) ?? null
}
