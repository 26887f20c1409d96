import { expect, it } from 'vitest'
import type { CompressReport, CompressRow } from '../train/index.ts'
import { renderCompressReport } from './compress-table.ts'

const row = (name: string, change: Partial<CompressRow>): CompressRow => ({
  name,
  precision: 'float32',
  layerCount: 6,
  vocabularySize: 30_522,
  byteCount: 91_000_000,
  latencyMs: 9.5,
  selectionAccuracy: 0.91,
  selectionCoverage: 0.9,
  accuracy: null,
  certificate: null,
  ...change,
})
const outcome = { promise: 'selective', targetRisk: 0.05, delta: 0.05, n: 400 } as const
const counts = {
  leftOut: [],
  maxAccuracyLoss: 0.005,
  targetRisk: 0.05,
  deltaPerLook: 0.1 / 3,
  fitCount: 2000,
  selectionCount: 500,
  certificationCount: 400,
}

it('shows each variant with what was certified, and the size of each as a bar', () => {
  const report: CompressReport = {
    rows: [
      row('float32', {
        accuracy: 0.92,
        certificate: {
          ...outcome,
          claimed: true,
          threshold: 0.4,
          servedCount: 360,
          lossSum: 6,
          coverage: 0.9,
          riskUpperBound: 0.04,
          method: '',
        },
      }),
      row('int8', {
        byteCount: 23_000_000,
        latencyMs: 4.25,
        accuracy: 0.85,
        certificate: {
          ...outcome,
          claimed: false,
          because: '',
          code: 'risk-too-high',
          moreRequests: null,
        },
      }),
      row('int4', { byteCount: 9_000_000 }),
    ],
    ...counts,
    chosen: 'int8',
  }
  const lines = renderCompressReport(report).split('\n')
  expect(lines[1]).toMatch(/^float32 .* 9\.5 ms .* 92(\.0)? % .* 90(\.0)? % answered$/)
  expect(lines[2]).toMatch(/^int8 \* .* no claim$/)
  expect(lines[3]).toMatch(/not looked at .* not looked at$/)
  const lengths = lines.slice(5, 8).map(line => [...line].filter(one => one === '█').length)
  expect(lengths).toEqual([30, 8, 3])
  expect(lines.join('\n')).toContain('400 rows looked at once, each certificate at δ = 0.0333')
  expect(lines.join('\n')).not.toContain('No claim at')
  expect(lines.join('\n')).toMatch(/500 are too few .* At least 600 are needed/)
})

it('says below the table why nothing is certified, and nothing of selection rows that are enough', () => {
  const because = '90 distinct inputs are too few; about 120 more requests should do.'
  const none = { claimed: false, because, code: 'too-few-examples', moreRequests: 120 } as const
  const text = renderCompressReport({
    ...counts,
    rows: [row('float32', { certificate: { ...outcome, ...none } }), row('int8', {})],
    chosen: 'float32',
    selectionCount: 600,
  })
  expect(text).toContain(`\nNo claim at 5 % (float32; each row is a request): ${because}\n\n`)
  expect(text).not.toContain('too few to tell')
})
