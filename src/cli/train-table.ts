/** A training report for people: what was tried, how the loss went, how well each label is learned. Draws text only. */
import type { TrainReport } from '../learn/index.ts'

import { renderTable } from './table.ts'

const SCORE_NAMES: Readonly<Record<string, string>> = {
  accuracy: 'accuracy',
  macroF1: 'macro F1',
  microF1: 'micro F1',
  exactMatch: 'all right',
  entityF1: 'span F1',
  precision: 'precision',
  recall: 'recall',
}
type RunRecord = NonNullable<TrainReport['record']>

/** Labels that do worst, shown one by one. */
const SHOWN_LABELS = 8
const PLOT_HEIGHT = 6

export function renderTrainReport(report: TrainReport): string {
  const { record, notices } = report
  const results =
    record === null
      ? []
      : [summary(record), triedTable(record), lossPlot(record), labelTable(record)]
  return [...results, ...notices.map(notice => `Note: ${notice}\n`), written(report)]
    .filter(part => part !== '')
    .join('\n')
}

function summary(record: RunRecord): string {
  const { metrics, recipe, rowCounts, rowsUsed, seconds } = record
  if (metrics === null) {
    return `Trained by the method ${recipe.method} on ${rowCounts.training} rows in ${seconds} s, measured on none.\n`
  }
  const scores = Object.entries(metrics.scores).map(
    ([name, value]) => `${SCORE_NAMES[name] ?? name} ${percent(value)}`,
  )
  const of =
    rowsUsed === 'all'
      ? `measured on ${metrics.rowCount} rows held back; then fitted again on all ${rowCounts.training}`
      : `trained on ${rowCounts.training} rows, measured on ${metrics.rowCount} others`
  return `${scores.join(', ')}\n${of}; ${seconds} s in total\n`
}

function triedTable(record: RunRecord): string {
  if (record.tried.length === 0) return ''
  const measured = record.tried.flatMap(({ metrics }) => metrics ?? [])
  const [score] = Object.keys(measured[0]?.scores ?? {})
  // Of equal ones the first was taken. One that was fitted untried has no figures, and none of these are its own.
  const chosen = record.tried.find(
    ({ metrics }) => metrics !== null && metrics.logLoss === record.metrics?.logLoss,
  )
  return renderTable(
    [
      { title: 'tried' },
      { title: 'epochs', align: 'right' },
      { title: 'log loss', align: 'right' },
      { title: SCORE_NAMES[score ?? ''] ?? 'score', align: 'right' },
      { title: 'seconds', align: 'right' },
      { title: '' },
    ],
    record.tried.map(one => [
      one.name,
      one.epochLosses.length === 0 ? '–' : String(one.epochLosses.length),
      one.metrics === null ? (one.ended ?? 'diverged') : one.metrics.logLoss.toFixed(4),
      one.metrics === null ? '–' : percent(one.metrics.scores[score ?? ''] ?? 0),
      one.seconds.toFixed(1),
      one === chosen ? '← chosen' : '',
    ]),
  )
}

/** Loss by epoch as columns of dots: training and the rows held back. */
function lossPlot(record: RunRecord): string {
  const { epochLosses, heldBackLosses } = record
  if (epochLosses.length < 2) return ''
  const all = [...epochLosses, ...heldBackLosses].filter(Number.isFinite)
  const [low, high] = [Math.min(...all), Math.max(...all)]
  const row = (loss: number | undefined) =>
    loss === undefined
      ? -1
      : Math.round(((high - loss) / Math.max(1e-12, high - low)) * (PLOT_HEIGHT - 1))
  const count = Math.max(epochLosses.length, heldBackLosses.length)
  const lines = Array.from({ length: PLOT_HEIGHT }, (_, y) => {
    const cells = Array.from({ length: count }, (_, epoch) => {
      const [isTraining, isHeld] = [row(epochLosses[epoch]) === y, row(heldBackLosses[epoch]) === y]
      return isTraining && isHeld ? ' ◉' : isTraining ? ' ●' : isHeld ? ' ○' : ' ·'
    })
    const label = y === 0 ? high.toFixed(3) : y === PLOT_HEIGHT - 1 ? low.toFixed(3) : ''
    return `${label.padStart(8)} ${cells.join('')}`
  })
  const legend =
    heldBackLosses.length > 0
      ? '● training  ○ rows held back, at the temperature that suits them'
      : '● training'
  return `loss by epoch (${legend})\n${lines.join('\n')}\n`
}

function labelTable(record: RunRecord): string {
  const labels = (record.metrics?.labels ?? []).filter(({ support }) => support > 0)
  if (labels.length === 0) return ''
  const worst = [...labels]
    .sort((a, b) => a.f1 - b.f1 || b.support - a.support)
    .slice(0, SHOWN_LABELS)
  const title =
    labels.length > worst.length ? `label (worst ${worst.length} of ${labels.length})` : 'label'
  return renderTable(
    [
      { title },
      { title: 'rows', align: 'right' },
      { title: 'precision', align: 'right' },
      { title: 'recall', align: 'right' },
      { title: 'F1', align: 'right' },
    ],
    worst.map(({ label, support, precision, recall, f1 }) => [
      label.slice(0, 48),
      String(support),
      percent(precision),
      percent(recall),
      percent(f1),
    ]),
  )
}

function written({ kind, output, files, id }: TrainReport): string {
  if (kind === 'job') {
    return `${output} holds ${files.join(', ')}: job ${id}. Its README.md says how to run it.\nthen read it back: understudy train ${output} --on torch --output FOLDER\n`
  }
  const again = kind === 'model' ? `repeat this run: --recipe ${id}\n` : ''
  return `${output} holds ${files.join(', ')}\n${again}`
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`
}
