/** The learning report as one self-contained page: no scripts, no external resources. Knows the report, not its making. */
import type { CertificationOutcome } from '../evals/index.ts'
import {
  type Confusion,
  type Difference,
  type LearnReport,
  REPORT_RISKS,
  type TaskReport,
} from '../learn/index.ts'
import { reliabilityChart, riskCoverageChart } from './charts.ts'
import { bytes, dollars, milliseconds, percent, plural, taskTitle, whole } from './format.ts'
import { type Html, html } from './html.ts'
import { REPORT_CSS } from './report-css.ts'

/** No script runs and nothing is fetched, whatever a label or prompt contains. */
const POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

/** The page, to be written to a file or served as `text/html; charset=utf-8`. */
export function renderReportHtml(report: LearnReport): string {
  const page = html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${POLICY}"><meta name="referrer" content="no-referrer">
<title>Understudy: what can move to a specialist</title><style>${{ markup: REPORT_CSS }}</style></head>
<body><main>${header(report)}${report.tasks.map(taskCard)}${leftAlone(report)}${footer(report)}</main></body></html>
`
  return page.markup
}

function header(report: LearnReport): Html {
  const claimed = report.tasks.filter(task => task.goal?.claimed === true)
  const { totalCost, settings } = report
  return html`<header><p class="eyebrow">Understudy report</p>
<h1>${whole(claimed.length)} of ${plural(report.tasks.length + report.leftAlone.length, 'task')} certified at a target risk of ${percent(settings.targetRisk)}</h1>
<p class="soft">${whole(report.requestCount)} requests looked at on <time datetime="${report.generatedAt}">${report.generatedAt.slice(0, 16).replace('T', ' ')} UTC</time>${importText(report)}</p>
<div class="tiles">${tile('requests', whole(report.requestCount))}${tile('tasks certified', `${claimed.length}`)}${tile('confidence level', percent(settings.confidenceLevel))}${
    totalCost === null
      ? null
      : tile(
          'lead cost of the learned tasks',
          `${dollars(totalCost.nowUsd)} → ${dollars(totalCost.afterUsd)}`,
        )
  }</div></header>`
}

function importText({ imported }: LearnReport): string {
  if (imported === null) return '.'
  const { importedCount, knownCount, brokenCount } = imported
  const known = knownCount > 0 ? `, ${whole(knownCount)} known before` : ''
  const broken = brokenCount > 0 ? `, ${plural(brokenCount, 'broken line')} skipped` : ''
  return `; ${whole(importedCount)} imported${known}${broken}.`
}

function tile(name: string, value: string): Html {
  return html`<div class="tile"><span class="soft small">${name}</span><b>${value}</b></div>`
}

function taskCard(task: TaskReport, index: number): Html {
  const id = `task-${index + 1}`
  const isCertified = task.goal?.claimed === true
  const status =
    task.specialist?.state === 'live'
      ? 'live'
      : isCertified
        ? 'certified'
        : task.goal === null
          ? 'not learned'
          : 'no claim'
  return html`<section class="card" aria-labelledby="${id}"><div class="head"><h2 id="${id}">${taskTitle({ app: task.key.app, name: task.name })}</h2><span class="badge${isCertified ? ' ok' : ''}">${status}</span></div>
${task.key.systemExcerpt === '' ? null : html`<p class="excerpt small">${task.key.systemExcerpt}</p>`}
${facts(task)}${warnings(task)}${coverageTable(task)}${charts(task, id)}${confusion(task)}${differences(task)}</section>`
}

function facts(task: TaskReport): Html {
  const { key, specialist, agreement, latency, cost } = task
  const list: [string, string][] = [
    [
      'Traffic',
      `${whole(task.requestCount)} requests, ${whole(task.distinctInputCount)} distinct inputs`,
    ],
    ['Answers', `${whole(task.answers.length)} different, as ${key.coat}`],
    [
      'Lead',
      `${key.model ?? 'unknown'}${key.reportedModels.length === 0 ? '' : ` (reports ${key.reportedModels.join(', ')})`}`,
    ],
    [
      'Specialist',
      specialist === null
        ? 'none'
        : `${specialist.name}, ${bytes(specialist.byteCount)}, ${specialist.hash.slice(0, 12)}`,
    ],
  ]
  if (agreement !== null) {
    list.push([
      'Agrees with the lead',
      `${percent(agreement.all)} of ${whole(agreement.certificationCount)} inputs it never saw`,
    ])
    const newest = agreement.newestFifth
    if (newest !== null) {
      list.push([
        'Newest fifth',
        `${percent(newest.value)} (${percent(newest.low)} to ${percent(newest.high)})`,
      ])
    }
    const self = agreement.leadSelfDisagreement
    if (self !== null) {
      list.push([
        'Lead against itself',
        `${percent(self.rate)} of answers to the same input differ (${whole(self.inputCount)} inputs came back)`,
      ])
    }
    const risk = agreement.servedTrafficRisk
    if (risk !== null) {
      list.push([
        'Differs, weighted by traffic',
        `${percent(risk.value)} of what it answers (${percent(risk.low)} to ${percent(risk.high)}); an estimate`,
      ])
    }
  }
  for (const [name, figures] of [
    ['Specialist latency', latency.specialist],
    ['Lead latency', latency.lead],
  ] as const) {
    if (figures !== null)
      list.push([name, `p50 ${milliseconds(figures.p50Ms)}, p95 ${milliseconds(figures.p95Ms)}`])
  }
  const { nowPerThousandUsd: now, afterPerThousandUsd: after } = cost
  list.push([
    'Lead cost per 1,000',
    now === null || after === null ? cost.note : `${dollars(now)} → ${dollars(after)}`,
  ])
  return html`<dl class="facts">${list.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`
}

function warnings(task: TaskReport): Html {
  const list: string[] = []
  if (task.agreement?.newestDiffers === true) {
    list.push(
      'The newest fifth of the inputs agrees to another degree than the rest: the traffic may have changed.',
    )
  }
  const lost = Object.entries(task.withoutAnswer).filter(([, count]) => count > 0)
  if (lost.length > 0) {
    list.push(
      `Unusable lead answers, counted as differing: ${lost.map(([reason, count]) => `${count} ${reason}`).join(', ')}.`,
    )
  }
  const foreign = Object.entries(task.notServable)
  if (foreign.length > 0) {
    list.push(
      `Not counted, since no specialist may answer them: ${foreign.map(([reason, count]) => `${count} ${reason}`).join(', ')}.`,
    )
  }
  return html`${list.map(text => html`<p class="warning">${text}</p>`)}`
}

function coverageTable(task: TaskReport): Html | null {
  if (task.selective.length === 0) return null
  const rows: [string, readonly CertificationOutcome[]][] = [
    ['of what it answers (selective)', task.selective],
    ['of all requests (marginal)', task.marginal],
  ]
  const refused = task.selective.filter(outcome => !outcome.claimed)
  return html`<h3>What it may answer</h3><div class="scroll"><table><caption>Share of distinct inputs it answers, where at most this share may differ from the lead</caption>
<thead><tr><th scope="col">may differ, at most</th>${REPORT_RISKS.map(risk => html`<th scope="col" class="num">${percent(risk)}</th>`)}</tr></thead>
<tbody>${rows.map(([name, outcomes]) => html`<tr><th scope="row">${name}</th>${outcomes.map(coverageCell)}</tr>`)}</tbody></table></div>
${refused.length === 0 ? null : html`<ul class="reasons">${refused.map(outcome => html`<li>No claim at ${percent(outcome.targetRisk)}: ${outcome.because}</li>`)}</ul>`}`
}

function coverageCell(outcome: CertificationOutcome): Html {
  return outcome.claimed
    ? html`<td class="num yes">${percent(outcome.coverage)}</td>`
    : html`<td class="num no">no claim</td>`
}

function charts({ charts, selective }: TaskReport, id: string): Html | null {
  if (charts === null) return null
  return html`<div class="charts"><figure><h3>Risk against coverage</h3>${riskCoverageChart(charts, selective, `${id}-risk`)}
<figcaption>Certification inputs, surest first. Hollow points: certified, as measured; the bar reaches to the proved bound.</figcaption></figure>
<figure><h3>Does its confidence mean what it says?</h3>${reliabilityChart(charts, `${id}-reliability`)}
<figcaption>On the diagonal it would be exactly right. Larger points stand for more inputs; mean gap ${percent(charts.calibrationError)}.</figcaption></figure></div>`
}

function confusion({ charts }: TaskReport): Html | null {
  if (charts === null || charts.confusion.pairs.length === 0) return null
  return html`<h3>Most confused answers</h3><div class="scroll">${matrix(charts.confusion)}</div>`
}

function matrix({ labels, counts }: Confusion): Html {
  const most = Math.max(1, ...counts.flatMap((row, i) => row.filter((_, j) => i !== j)))
  const cell = (count: number, isSame: boolean): Html => {
    if (isSame) return html`<td class="same">${whole(count)}</td>`
    if (count === 0) return html`<td></td>`
    const shade = (0.12 + 0.6 * (count / most)).toFixed(2)
    return html`<td style="background:rgba(var(--cell),${shade})">${whole(count)}</td>`
  }
  return html`<table class="matrix"><caption>Rows: the lead’s answer. Columns: the specialist’s. Shaded where they differ.</caption>
<thead><tr><td></td>${labels.map(label => html`<th scope="col">${label}</th>`)}</tr></thead>
<tbody>${labels.map((label, i) => html`<tr><th scope="row">${label}</th>${labels.map((_, j) => cell(counts[i]?.[j] ?? 0, i === j))}</tr>`)}</tbody></table>`
}

function differences({ charts }: TaskReport): Html | null {
  if (charts === null || charts.differences.length === 0) return null
  return html`<details><summary>Where it differed from the lead although sure (${whole(charts.differences.length)})</summary><div class="scroll"><table class="differences">
<thead><tr><th scope="col">input</th><th scope="col">lead</th><th scope="col">specialist</th><th scope="col" class="num">confidence</th><th scope="col">answered</th></tr></thead>
<tbody>${charts.differences.map(differenceRow)}</tbody></table></div></details>`
}

function differenceRow({ input, lead, specialist, score, isServed }: Difference): Html {
  return html`<tr><td class="input">${input}</td><td data-name="lead">${lead ?? html`<span class="no">no usable answer</span>`}</td><td data-name="specialist">${specialist}</td><td class="num" data-name="confidence">${percent(score)}</td><td data-name="answered">${isServed ? 'yes' : 'no, escalated'}</td></tr>`
}

function leftAlone({ leftAlone }: LearnReport): Html | null {
  if (leftAlone.length === 0) return null
  return html`<section class="card" aria-labelledby="left-alone"><h2 id="left-alone">Left to the lead</h2><div class="scroll"><table>
<thead><tr><th scope="col">task</th><th scope="col" class="num">requests</th><th scope="col">why</th></tr></thead>
<tbody>${leftAlone.map(task => html`<tr><th scope="row">${taskTitle(task)}</th><td class="num">${whole(task.requestCount)}</td><td>${task.because}</td></tr>`)}</tbody></table></div></section>`
}

function footer({ settings, notices, tasks }: LearnReport): Html {
  const notes = [
    ...new Set(tasks.filter(task => task.cost.window !== null).map(task => task.cost.note)),
  ]
  return html`<footer><p>The promise is ${settings.promise}, at a confidence level of ${percent(settings.confidenceLevel)} for each statement, on distinct inputs. It assumes that future requests resemble these.</p>${[...notes, ...notices].map(notice => html`<p>${notice}</p>`)}</footer>`
}
