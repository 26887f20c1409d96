/** The report of compressing for terminals: a table, and size against accuracy as bars. Knows the report, not how it came about. */
import { bytes, milliseconds, percent, whole } from '../console/index.ts'
import type { CompressReport, CompressRow } from '../train/index.ts'
import { renderTable } from './table.ts'

const BAR_WIDTH = 30

/** Of n rows without a loss up to 3/n may still be lost, at 95 % confidence. */
const RULE_OF_THREE = 3

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
    `${table}${reasonLine(report)}`,
    bars(rows),
    `* the fastest that loses at most ${percent(report.maxAccuracyLoss)} of accuracy on ${report.selectionCount} selection rows.`,
    ...selectionLines(report),
    `Heads fitted to ${report.fitCount} rows; ${report.certificationCount} rows looked at once, each certificate at δ = ${Number(deltaPerLook.toPrecision(3))}.`,
    '',
  ].join('\n')
}

function certified({ certificate }: CompressRow): string {
  if (certificate === null) return 'not looked at'
  return certificate.claimed ? `${percent(certificate.coverage)} answered` : 'no claim'
}

/** Why nothing is certified, as learn says it, with its line break; '' where a variant has a claim. */
function reasonLine({ rows, chosen, targetRisk, certificationCount }: CompressReport): string {
  const certificate = rows.find(({ name }) => name === chosen)?.certificate ?? null
  if (certificate === null || certificate.claimed) return ''
  // Where no rows were left to certify, a notice says why and what to do.
  if (certificationCount === 0) return ''
  if (rows.some(row => row.certificate?.claimed)) return ''
  return `No claim at ${percent(targetRisk)} (${chosen}; each row is a request): ${certificate.because}\n`
}

/** The choice goes by what was counted; on few rows chance decides it. */
function selectionLines({ selectionCount, maxAccuracyLoss }: CompressReport): string[] {
  const needed = Math.ceil(RULE_OF_THREE / maxAccuracyLoss)
  if (maxAccuracyLoss === 0 || selectionCount >= needed) return []
  return [
    `  ${whole(selectionCount)} are too few to tell such a loss from chance: even with no row lost it may be ${percent(RULE_OF_THREE / selectionCount)}. At least ${whole(needed)} are needed: give more rows, or a larger --max-loss.`,
  ]
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
