/** The demo's result for people: one table, five sentences. Knows the figures, not how they were got. */
import { REASONS } from '../../cascade/index.ts'
import { dollars, milliseconds, percent, plural, whole } from '../../console/index.ts'
import type { Terminal } from '../command.ts'
import { terminalColors } from '../report-table.ts'
import { renderTable } from '../table.ts'
import type { DemoResult, JobResult } from './measure.ts'

export interface SummaryParts {
  readonly result: DemoResult
  readonly targetRisk: number
  readonly ledgerRecordCount: number
  readonly isLedgerIntact: boolean
  readonly seconds: number
  /** How many of the learned tasks had no time for an encoder, and the command that gives them more; null where all had. */
  readonly hurry: { readonly count: number; readonly of: number; readonly command: string } | null
  /** Command lines to try next. */
  readonly next: readonly string[]
}

/** The whole summary, ending with a line break. */
export function renderSummary(
  { result, targetRisk, ledgerRecordCount, isLedgerIntact, seconds, hurry, next }: SummaryParts,
  terminal: Pick<Terminal, 'isTty' | 'env'>,
): string {
  const { bold, dim, green, red, yellow } = terminalColors(terminal)
  const { cost } = result
  const good = (isGood: boolean, text: string): string =>
    isGood ? green(`✓ ${text}`) : red(`✗ ${text}`)
  const title = `The next day: ${percent(result.localCount / result.requestCount)} of ${whole(result.requestCount)} requests answered by specialists.`
  return [
    bold(title),
    ...(hurry === null ? [] : hurryLines(hurry).map(line => yellow(line))),
    '',
    jobTable(result.jobs),
    latencyTable(result),
    `Lead fees: ${dollars(cost.allLeadUsd)} without specialists, ${bold(dollars(cost.allLeadUsd - cost.savedUsd))} with them (−${percent(cost.savedUsd / Math.max(cost.allLeadUsd, 1e-12))}).`,
    dim(
      `A million such requests: ${perMillion(cost.allLeadUsd, result)} → ${perMillion(cost.allLeadUsd - cost.savedUsd, result)}; this machine is not counted.`,
    ),
    '',
    bold('Why requests went to the lead'),
    renderTable([{ title: '', align: 'right' }, { title: '' }], reasonRows(result)).replace(
      /^\n/,
      '',
    ),
    good(
      result.jobs.every(job => job.differs === null || job.differs.low <= targetRisk),
      `differing answers are compatible with the certified ${percent(targetRisk)} in every task`,
    ),
    good(
      result.intrusionCount === 0,
      result.intrusionCount === 0
        ? 'free text, conversations, images and free tool use were left to the lead'
        : `${plural(result.intrusionCount, 'request')} answered that should have been left alone`,
    ),
    good(
      result.unaccountedCount === 0,
      result.unaccountedCount === 0
        ? 'every answer has a decision id, every local one a certificate'
        : `${plural(result.unaccountedCount, 'answer')} without decision id or certificate`,
    ),
    good(
      isLedgerIntact,
      `the ledger ${isLedgerIntact ? 'verifies' : 'does NOT verify'}: ${whole(ledgerRecordCount)} records`,
    ),
    '',
    dim(`Took ${Math.round(seconds)} s. Next:`),
    ...next.map(line => `  ${line}`),
    '',
  ].join('\n')
}

function hurryLines({ count, of, command }: NonNullable<SummaryParts['hurry']>): string[] {
  return [
    `! In ${count} of ${plural(of, 'task')} the time was up before an encoder was fitted: fewer are answered.`,
    `  Give it more, with the same options: ${command}`,
  ]
}

function perMillion(usd: number, { requestCount }: DemoResult): string {
  return dollars((usd / requestCount) * 1e6)
}

function jobTable(jobs: readonly JobResult[]): string {
  return renderTable(
    [
      { title: 'task' },
      { title: 'requests', align: 'right' },
      { title: 'local', align: 'right' },
      { title: 'differs (95 % interval)', align: 'right' },
      { title: 'wrong', align: 'right' },
      { title: 'lead wrong', align: 'right' },
    ],
    jobs.map(({ job, requestCount, localCount, differs, wrong }) => [
      job,
      whole(requestCount),
      localCount === 0 ? '–' : percent(localCount / requestCount),
      differs === null
        ? ''
        : `${percent(differs.value)} (${percent(differs.low)} to ${percent(differs.high)})`,
      wrong === null ? '' : percent(wrong.specialist),
      wrong === null ? '' : percent(wrong.lead),
    ]),
  )
}

function latencyTable({ latency }: DemoResult): string {
  return renderTable(
    [
      { title: 'answered by' },
      { title: 'requests', align: 'right' },
      { title: 'p50', align: 'right' },
      { title: 'p95', align: 'right' },
    ],
    Object.entries(latency)
      .sort(([, a], [, b]) => a.p50Ms - b.p50Ms)
      .map(([tier, { p50Ms, p95Ms, sampleCount }]) => [
        tier === 'lead' ? 'lead, as recorded' : tier,
        whole(sampleCount),
        milliseconds(p50Ms),
        milliseconds(p95Ms),
      ]),
  )
}

function reasonRows({ reasons }: DemoResult): string[][] {
  return Object.entries(reasons)
    .sort(([, a], [, b]) => b - a)
    .map(([reason, count]) => [
      whole(count),
      Object.hasOwn(REASONS, reason) ? REASONS[reason as keyof typeof REASONS] : reason,
    ])
}
