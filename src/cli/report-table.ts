/** The learning report for terminals: one block per task, readable at 80 columns. Knows the report, not how it came about. */
import pc from 'picocolors'
import {
  bytes,
  dollars,
  milliseconds,
  percent,
  plain,
  plural,
  taskTitle,
  whole,
} from '../console/index.ts'
import type { CertificationOutcome } from '../evals/index.ts'
import {
  type Estimate,
  type Latency,
  type LearnReport,
  REPORT_RISKS,
  type TaskReport,
} from '../learn/index.ts'
import { clip } from '../util/index.ts'
import type { Terminal } from './command.ts'

type Colors = ReturnType<typeof pc.createColors>

interface Page {
  readonly width: number
  readonly colors: Colors
}

const INDENT = '   '
const LABEL_WIDTH = 13
const MIN_WIDTH = 72
const MAX_WIDTH = 120

/** Colours where a person watches and has not declined them. */
export function terminalColors(terminal: Pick<Terminal, 'isTty' | 'env'>): Colors {
  const isDeclined = (terminal.env.NO_COLOR ?? '') !== '' || terminal.env.TERM === 'dumb'
  return pc.createColors(terminal.isTty && !isDeclined)
}

/** The whole report as text, ending with a line break. */
export function renderReport(
  report: LearnReport,
  terminal: Pick<Terminal, 'isTty' | 'columns' | 'env'>,
): string {
  const page: Page = {
    width: Math.min(MAX_WIDTH, Math.max(MIN_WIDTH, terminal.columns)),
    colors: terminalColors(terminal),
  }
  const blocks = [
    headline(report, page),
    ...report.tasks.map((task, index) => taskBlock(task, index, page)),
    leftAloneBlock(report, page),
    closing(report, page),
  ]
  return `${blocks
    .filter(block => block.length > 0)
    .map(block => block.join('\n'))
    .join('\n\n')}\n`
}

function headline(report: LearnReport, { colors, width }: Page): string[] {
  const claimedCount = report.tasks.filter(task => task.goal?.claimed === true).length
  const risk = percent(report.settings.targetRisk)
  const taskCount = report.tasks.length + report.leftAlone.length
  const title = `${whole(report.requestCount)} requests, ${plural(taskCount, 'task')}: ${claimedCount} certified at a target risk of ${risk}.`
  const lines = wrap(title, width).map(line => colors.bold(line))
  const { imported } = report
  if (imported !== null) {
    const parts = [
      `${whole(imported.importedCount)} imported`,
      ...(imported.knownCount > 0 ? [`${whole(imported.knownCount)} known before`] : []),
      ...(imported.brokenCount > 0
        ? [`${plural(imported.brokenCount, 'broken line')} skipped`]
        : []),
    ]
    lines.push(colors.dim(`Import: ${parts.join(', ')}.`))
    for (const { file, line, reason } of imported.broken.slice(0, 5)) {
      lines.push(colors.dim(`${INDENT}${clip(plain(`${file}:${line}: ${reason}`), width - 5)}`))
    }
  }
  return lines
}

function taskBlock(task: TaskReport, index: number, page: Page): string[] {
  const { colors, width } = page
  const status = statusOf(task)
  const title = clip(
    plain(`${index + 1}  ${taskTitle({ app: task.key.app, name: task.name })}`),
    width - status.length - 2,
  )
  const tone = task.goal?.claimed === true ? colors.green : colors.yellow
  const rule = colors.dim('─'.repeat(Math.max(1, width - title.length - status.length - 2)))
  const lines = [`${colors.bold(title)} ${rule} ${tone(status)}`]
  const excerpt = plain(task.key.systemExcerpt)
  if (excerpt !== '') lines.push(colors.dim(`${INDENT}“${clip(excerpt, width - 5)}”`))
  lines.push(
    ...row('traffic', trafficText(task), page),
    ...row('specialist', specialistText(task), page),
  )
  if (task.selective.length > 0) lines.push('', ...coverageLines(task, page), '')
  lines.push(...row('latency', latencyText(task), page), ...row('lead cost', costText(task), page))
  for (const warning of warnings(task)) {
    lines.push(
      ...wrap(warning, width - 5).map((line, i) =>
        colors.yellow(`${INDENT}${i === 0 ? '! ' : '  '}${line}`),
      ),
    )
  }
  return lines
}

function statusOf(task: TaskReport): string {
  if (task.specialist?.state === 'live') return 'live'
  if (task.goal?.claimed === true) return 'certified'
  return task.goal === null ? 'not learned' : 'no claim'
}

function trafficText(task: TaskReport): string {
  const { key } = task
  return [
    `${whole(task.requestCount)} requests`,
    `${whole(task.distinctInputCount)} distinct inputs`,
    `${plural(task.answers.length, 'answer')} as ${plain(key.coat)}`,
    ...(key.model === null ? [] : [plain(key.model)]),
  ].join(' · ')
}

function specialistText({ specialist, agreement }: TaskReport): string {
  if (specialist === null) return 'none fitted'
  const parts = [`${plain(specialist.name)}, ${bytes(specialist.byteCount)}`]
  if (agreement !== null) {
    parts.push(
      `agrees with the lead on ${percent(agreement.all)} of ${whole(agreement.certificationCount)} inputs it never saw`,
    )
  }
  return parts.join('; ')
}

/** The table of coverages, then the reasons for its gaps. */
function coverageLines(task: TaskReport, page: Page): string[] {
  const { colors } = page
  const cell = (text: string): string => text.padStart(10)
  const rows: [string, readonly CertificationOutcome[]][] = [
    ['of its answers differ', task.selective],
    ['of all requests differ', task.marginal],
  ]
  const lines = [
    colors.dim(
      `${INDENT}${'may answer, if at most'.padEnd(26)}${REPORT_RISKS.map(risk => cell(percent(risk))).join('')}`,
    ),
  ]
  for (const [name, outcomes] of rows) {
    if (outcomes.length === 0) continue
    const cells = outcomes.map(outcome =>
      outcome.claimed
        ? colors.green(cell(percent(outcome.coverage)))
        : colors.dim(cell('no claim')),
    )
    lines.push(`${INDENT}${name.padEnd(26)}${cells.join('')}`)
  }
  return [...lines, ...reasonLines(task, page)]
}

function reasonLines(task: TaskReport, { width, colors }: Page): string[] {
  const lines: string[] = []
  for (const outcome of task.selective) {
    if (outcome.claimed) continue
    const text = `No claim at ${percent(outcome.targetRisk)}: ${plain(outcome.because)}`
    lines.push(
      ...wrap(text, width - 5).map((line, i) =>
        colors.dim(`${INDENT}${i === 0 ? '' : '  '}${line}`),
      ),
    )
  }
  return lines
}

function latencyText({ latency, specialist }: TaskReport): string {
  const parts: string[] = []
  const add = (name: string, figures: Latency | null): void => {
    if (figures === null) return
    parts.push(`${name} p50 ${milliseconds(figures.p50Ms)}, p95 ${milliseconds(figures.p95Ms)}`)
  }
  add(specialist?.tier ?? 'specialist', latency.specialist)
  add('lead', latency.lead)
  return parts.length === 0 ? 'not recorded' : parts.join(' · ')
}

function costText({ cost }: TaskReport): string {
  const { nowPerThousandUsd: now, afterPerThousandUsd: after } = cost
  if (now === null || after === null) return plain(cost.note)
  const change = now > 0 && after < now ? ` (−${percent(1 - after / now)})` : ''
  return `${dollars(now)} → ${dollars(after)} per 1,000 requests${change}`
}

function warnings(task: TaskReport): string[] {
  const list: string[] = []
  const newest = task.agreement?.newestFifth ?? null
  if (task.agreement?.newestDiffers === true && newest !== null) {
    list.push(`The newest fifth agrees on ${estimate(newest)}: the traffic may have changed.`)
  }
  const lost = Object.entries(task.withoutAnswer).filter(([, count]) => count > 0)
  if (lost.length > 0) {
    const parts = lost.map(([reason, count]) => `${count} ${plain(reason)}`)
    list.push(`Unusable lead answers, counted as differing: ${parts.join(', ')}.`)
  }
  const foreign = Object.entries(task.notServable)
  if (foreign.length > 0) {
    const parts = foreign.map(([reason, count]) => `${whole(count)} ${plain(reason)}`)
    list.push(`Not counted, since no specialist may answer them: ${parts.join(', ')}.`)
  }
  return list
}

function leftAloneBlock({ leftAlone }: LearnReport, { colors, width }: Page): string[] {
  if (leftAlone.length === 0) return []
  const lines = [colors.bold('Left to the lead')]
  for (const task of leftAlone) {
    const text = `${taskTitle(task)} (${whole(task.requestCount)}): ${task.because}`
    lines.push(
      ...wrap(plain(text), width - 5).map((line, i) => `${INDENT}${i === 0 ? '' : '  '}${line}`),
    )
  }
  return lines
}

function closing(report: LearnReport, { colors, width }: Page): string[] {
  const { totalCost, settings } = report
  const lines: string[] = []
  if (totalCost !== null) {
    const text = `Lead cost of these ${whole(totalCost.requestCount)} requests: ${dollars(totalCost.nowUsd)} now, ${dollars(totalCost.afterUsd)} after.`
    lines.push(...wrap(text, width).map(line => colors.bold(line)))
  }
  const notes = [
    `Promise: ${settings.promise}, confidence ${percent(settings.confidenceLevel)} per statement, on distinct inputs; it assumes that future requests resemble these.`,
    ...report.notices,
  ]
  return [
    ...lines,
    ...notes.flatMap(note => wrap(plain(note), width).map(line => colors.dim(line))),
  ]
}

function row(label: string, text: string, { width, colors }: Page): string[] {
  return wrap(text, width - INDENT.length - LABEL_WIDTH).map((line, i) => {
    const head = (i === 0 ? label : '').padEnd(LABEL_WIDTH)
    return `${INDENT}${colors.dim(head)}${line}`
  })
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    const joined = line === '' ? word : `${line} ${word}`
    if (joined.length <= width) line = joined
    else {
      if (line !== '') lines.push(line)
      line = clip(word, width)
    }
  }
  return line === '' ? lines : [...lines, line]
}

function estimate({ value, low, high }: Estimate): string {
  return `${percent(value)} (${percent(low)} to ${percent(high)})`
}
