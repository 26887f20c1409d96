/** The report in a terminal: fits, stays honest, and lets no prompt reach the terminal's controls. */
import { describe, expect, it } from 'vitest'
import { renderReport } from '../../src/cli/report-table.ts'
import { sampleReport } from './sample-report.ts'

const report = sampleReport({ requestCount: 1500 })
const quiet = { isTty: false, columns: 80, env: {} }

describe('the report in a terminal', () => {
  it.each([72, 80, 120])('fits %i columns', columns => {
    const text = renderReport(report, { ...quiet, columns })
    for (const line of text.split('\n')) expect(line.length).toBeLessThanOrEqual(columns)
  })

  it('names each task with its status, its coverages and why one is missing', () => {
    const text = renderReport(report, { ...quiet, columns: 120 })
    for (const task of report.tasks) {
      expect(text).toContain(`${task.key.app} · ${task.name}`)
      for (const outcome of task.selective) {
        if (!outcome.claimed) expect(text.replace(/\s+/g, ' ')).toContain(outcome.because)
      }
    }
    expect(text).toMatch(/of its answers differ +(no claim|[\d.]+ %)/)
    expect(text).toContain('Left to the lead')
    expect(text).toContain('Not redacted')
  })

  it('colours only for a person who did not decline', () => {
    const csi = '\u001b['
    expect(renderReport(report, quiet)).not.toContain(csi)
    expect(renderReport(report, { ...quiet, isTty: true })).toContain(csi)
    expect(renderReport(report, { ...quiet, isTty: true, env: { NO_COLOR: '1' } })).not.toContain(
      escape,
    )
  })

  it('takes control characters out of prompts and labels', () => {
    const [task] = report.tasks
    if (task === undefined) throw new Error('the sample has tasks')
    const evil = '\u001b[2J\u202eevil\r'
    const text = renderReport(
      {
        ...report,
        tasks: [
          {
            ...task,
            name: evil,
            key: { ...task.key, app: evil, model: evil, systemExcerpt: evil },
          },
        ],
      },
      quiet,
    )
    for (const char of ['\u001b', '\u202e', '\r']) expect(text).not.toContain(char)
    expect(text).toContain('evil')
  })

  it('shows a task that could not be learned without figures that do not exist', () => {
    const [task] = report.tasks
    if (task === undefined) throw new Error('the sample has tasks')
    const text = renderReport(
      {
        ...report,
        totalCost: null,
        tasks: [
          {
            ...task,
            specialist: null,
            goal: null,
            selective: [],
            marginal: [],
            agreement: null,
            charts: null,
            latency: { specialist: null, lead: null },
            cost: {
              window: null,
              nowPerThousandUsd: null,
              afterPerThousandUsd: null,
              note: 'The log holds no token counts.',
            },
          },
        ],
      },
      quiet,
    )
    expect(text).toContain('not learned')
    expect(text).toContain('The log holds no token counts.')
    expect(text).not.toMatch(/NaN|undefined|null/)
  })
})
