/** The report of compressing for terminals: a table, and size against accuracy as bars. Knows the report, not how it came about. */
import { bytes, milliseconds, percent } from '../console/index.ts'
import type { CompressReport, CompressRow } from '../train/index.ts'
import { renderTable } from './table.ts'

const BAR_WIDTH = 30

/** Ends with a line break. */
export function renderCompressReport(report: CompressReport): string {
  const { rows, chosen, targetRisk, deltaPerLook } = report
  const table = renderTable(
    [
      { title: 'variant' },
      { title: 'size', align: 'right' },
      { title: 'one text', align: 'right' },
      { title: 'accuracy', align: 'right' },
      { title: 'on selection', align: 'right' },
      { title: `certified at ${percent(targetRisk)}`, align: 'right' },
    ],
    rows.map(row => [
      `${row.name}${row.name === chosen ? ' *' : ''}`,
      bytes(row.byteCount),
      milliseconds(row.latencyMs),
      row.accuracy === null ? 'not looked at' : percent(row.accuracy),
      percent(row.selectionAccuracy),
      certified(row),
    ]),
  )
  return [
    table,
    bars(rows),
    `* the fastest that loses at most ${percent(report.maxAccuracyLoss)} of accuracy on ${report.selectionCount} selection rows.`,
    `Heads fitted to ${report.fitCount} rows; ${report.certificationCount} rows looked at once, each certificate at δ = ${Number(deltaPerLook.toPrecision(3))}.`,
    '',
  ].join('\n')
}

function certified({ certificate }: CompressRow): string {
  if (certificate === null) return 'not looked at'
  return certificate.claimed ? `${percent(certificate.coverage)} answered` : 'no claim'
}

/** One bar per variant, as long as it is large; its accuracy on selection rows, which all have, at the end. */
function bars(rows: readonly CompressRow[]): string {
  const most = Math.max(...rows.map(row => row.byteCount))
  const width = Math.max(...rows.map(row => row.name.length))
  return rows
    .map(({ name, byteCount, selectionAccuracy }) => {
      const length = Math.max(1, Math.round((BAR_WIDTH * byteCount) / most))
      const bar = '█'.repeat(length).padEnd(BAR_WIDTH, '·')
      return `${name.padEnd(width)}  ${bar}  ${percent(selectionAccuracy)}`
    })
    .join('\n')
    .concat('\n')
}
