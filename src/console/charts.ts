/** The report's two charts as inline SVG. Knows points and labels, nothing of tasks. */
import type { CertificationOutcome, Claim } from '../evals/index.ts'
import type { TaskCharts } from '../learn/index.ts'
import { percent, whole } from './format.ts'
import { type Html, html } from './html.ts'

const WIDTH = 440
const HEIGHT = 290
const LEFT = 58
const RIGHT = 20
const TOP = 16
const BOTTOM = 40

interface Axis {
  /** SVG coordinate of a value. */
  at(value: number): number
  readonly ticks: readonly number[]
}

function xAxis(max: number, ticks: readonly number[]): Axis {
  return { at: value => round(LEFT + (value / max) * (WIDTH - LEFT - RIGHT)), ticks }
}

function yAxis(max: number, ticks: readonly number[]): Axis {
  return { at: value => round(HEIGHT - BOTTOM - (value / max) * (HEIGHT - TOP - BOTTOM)), ticks }
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}

const SHARES = [0, 0.2, 0.4, 0.6, 0.8, 1]

/** Grid, tick labels and axis titles. */
function frame(x: Axis, y: Axis, names: { readonly x: string; readonly y: string }): Html {
  const bottom = HEIGHT - BOTTOM
  const columns = x.ticks.map(
    tick =>
      html`<text x="${x.at(tick)}" y="${bottom + 16}" text-anchor="middle">${tickText(tick)}</text>`,
  )
  const rows = y.ticks.map(
    tick => html`<line class="${tick === 0 ? 'axis' : 'grid'}" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y.at(tick)}" y2="${y.at(tick)}"/>
<text x="${LEFT - 7}" y="${y.at(tick) + 4}" text-anchor="end">${tickText(tick)}</text>`,
  )
  return html`${rows}${columns}
<text x="${(LEFT + WIDTH - RIGHT) / 2}" y="${HEIGHT - 6}" text-anchor="middle">${names.x}</text>
<text x="12" y="${(TOP + bottom) / 2}" text-anchor="middle" transform="rotate(-90 12 ${(TOP + bottom) / 2})">${names.y}</text>`
}

function tickText(share: number): string {
  return `${Number((share * 100).toFixed(1))} %`
}

/** Round steps from 0 up to at least `max`. */
function niceTicks(max: number): readonly number[] {
  const step = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2].find(one => max / one <= 6) ?? 0.2
  return Array.from({ length: Math.ceil(max / step - 1e-9) + 1 }, (_, i) =>
    Number((i * step).toFixed(4)),
  )
}

/**
 * Share that differs against share answered, with a mark per certified target: the hollow point is what was seen, the
 * bar above it reaches to the bound that was proved.
 */
export function riskCoverageChart(
  { curve }: TaskCharts,
  outcomes: readonly CertificationOutcome[],
  id: string,
): Html {
  const claims = outcomes.filter(outcome => outcome.claimed)
  const highest = Math.max(
    0.02,
    ...curve.filter(point => point.coverage > 0.05).map(point => point.risk),
    ...claims.map(claim => claim.riskUpperBound),
  )
  const ticks = niceTicks(Math.min(1, highest * 1.15))
  const x = xAxis(1, SHARES)
  const top = ticks.at(-1) as number
  const y = yAxis(top, ticks)
  const path = curve
    .filter(point => point.coverage > 0.01)
    .map(
      (point, i) =>
        `${i === 0 ? 'M' : 'L'}${x.at(point.coverage)} ${y.at(Math.min(top, point.risk))}`,
    )
    .join('')
  // Targets certified at one threshold share a mark, so that their labels do not lie on each other.
  const thresholds = [...new Set(claims.map(claim => claim.threshold))]
  const marks = thresholds.map(threshold => {
    const shared = claims.filter(claim => claim.threshold === threshold)
    const [claim] = shared as [Claim, ...Claim[]]
    const cx = x.at(claim.coverage)
    const seen = y.at(claim.lossSum / claim.servedCount)
    const bound = y.at(Math.max(...shared.map(each => each.riskUpperBound)))
    const label = shared.map(each => `≤ ${percent(each.targetRisk)}`).join(', ')
    return html`<line class="bound" x1="${cx}" x2="${cx}" y1="${seen}" y2="${bound}"/><line class="bound" x1="${cx - 4}" x2="${cx + 4}" y1="${bound}" y2="${bound}"/>
<circle class="point" cx="${cx}" cy="${seen}" r="4"/><text class="label" x="${cx - 7}" y="${bound - 5}" text-anchor="${cx > WIDTH - 60 ? 'end' : 'middle'}">${label}</text>`
  })
  const spoken =
    claims.length === 0
      ? 'No target risk is certified.'
      : claims
          .map(
            claim =>
              `At most ${percent(claim.targetRisk)} differing is certified for ${percent(claim.coverage)} of inputs.`,
          )
          .join(' ')
  return html`<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-labelledby="${id}-t ${id}-d"><title id="${id}-t">Risk against coverage</title><desc id="${id}-d">${spoken}</desc>
${frame(x, y, { x: 'share of inputs answered', y: 'differs, of what is answered' })}
<path class="curve" d="${path}"/>${marks}</svg>`
}

/** Confidence against measured agreement; the size of a point is the number of inputs behind it. */
export function reliabilityChart({ reliability }: TaskCharts, id: string): Html {
  const x = xAxis(1, SHARES)
  const y = yAxis(1, SHARES)
  const total = reliability.reduce((sum, bin) => sum + bin.count, 0)
  const points = reliability.map(
    bin =>
      html`<circle class="bin" cx="${x.at(bin.confidence)}" cy="${y.at(bin.agreement)}" r="${round(3 + 11 * Math.sqrt(bin.count / total))}"><title>${whole(bin.count)} inputs at confidence ${percent(bin.confidence)}: ${percent(bin.agreement)} agree</title></circle>`,
  )
  return html`<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-labelledby="${id}-t ${id}-d"><title id="${id}-t">Reliability</title><desc id="${id}-d">${reliability.map(bin => `Confidence ${percent(bin.confidence)}: ${percent(bin.agreement)} of ${whole(bin.count)} agree.`).join(' ')}</desc>
${frame(x, y, { x: 'confidence', y: 'agrees with the lead' })}
<line class="diagonal" x1="${x.at(0)}" y1="${y.at(0)}" x2="${x.at(1)}" y2="${y.at(1)}"/>${points}</svg>`
}
