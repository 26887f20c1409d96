/** Figures of a benchmark: quantiles, Markdown tables, the machine they were measured on. */
import { availableParallelism, cpus, loadavg } from 'node:os'
import { quantile } from '../../dist/util/index.js'

/** Milliseconds with two digits. */
export const ms = value => (Number.isFinite(value) ? value.toFixed(2) : '–')

/** `{ p50, p95, p99, count }` in milliseconds. */
export function summary(timesMs) {
  const [p50, p95, p99] = [0.5, 0.95, 0.99].map(q => quantile(timesMs, q))
  return { p50, p95, p99, count: timesMs.length }
}

/** A Markdown table from a heading and rows of cells. */
export function table(heading, rows) {
  const line = cells => `| ${cells.join(' | ')} |`
  const rule = heading.map((_, i) => (i === 0 ? '---' : '---:'))
  return [heading, rule, ...rows].map(line).join('\n')
}

/** Date, processor, Node and load, since figures mean little without them. */
export function surroundings() {
  return {
    date: new Date().toISOString().slice(0, 10),
    processor: `${availableParallelism()} × ${cpus()[0]?.model}`,
    node: process.version,
    loadAverage: loadavg()[0].toFixed(1),
  }
}

/** The surroundings as one line. */
export function surroundingsLine({ date, processor, node, loadAverage }) {
  return `${date}, ${processor}, Node ${node}, load average ${loadAverage} at the start`
}
