/** What the model card of a training run says, from its record. Knows no files. */
import { clopperPearsonLower, clopperPearsonUpper } from '../stats/index.ts'
import { heededSettings, type ModelCardRecord, type RunRecord } from '../train/index.ts'

const CARD_TASKS = {
  label: 'single-label',
  labels: 'multi-label',
  pair: 'pair-classification',
  spans: 'span-tagging',
} as const

/** Scores that are shares of the rows: only these have an exact interval. */
const SHARES = ['accuracy', 'exactMatch']
/** On each side of the interval. */
const TAIL = 0.025

function cardMetrics(
  { scores, rowCount }: NonNullable<RunRecord['metrics']>,
  measuredOn: string,
): ModelCardRecord['metrics'] {
  const rounded = (value: number) => Number(value.toFixed(4))
  return Object.entries(scores).map(([name, value]) => {
    const hits = Math.round(value * rowCount)
    return {
      name,
      value: rounded(value),
      measuredOn,
      ...(SHARES.includes(name) && {
        low: rounded(clopperPearsonLower(hits, rowCount, TAIL)),
        high: rounded(clopperPearsonUpper(hits, rowCount, TAIL)),
      }),
    }
  })
}

export function trainCard(record: RunRecord): ModelCardRecord {
  const { task, base, labels, recipe, rowCounts, metrics, versions, id, rowsUsed } = record
  const measuredOn =
    rowsUsed === 'all'
      ? 'inner split, by the same recipe without these rows'
      : 'inner split, which training did not see'
  return {
    name: `${task} model ${id}`,
    baseModel: base,
    task: CARD_TASKS[task],
    labels,
    dataWindow: null,
    rowCounts: {
      training: rowCounts.training ?? 0,
      [rowsUsed === 'all' ? 'of these, held back at first' : 'held back']: rowCounts.selection ?? 0,
    },
    recipe: heededSettings(recipe),
    metrics: metrics === null ? [] : cardMetrics(metrics, measuredOn),
    certificate: null,
    noCertificate: 'it was trained from a file: certificates are for tasks in recorded traffic.',
    notTested: [
      'Texts from elsewhere than the file it was trained on.',
      'Fairness, safety and robustness against inputs made to mislead it.',
      metrics === null
        ? 'The model itself: no rows were held back from it, or from a fit of its recipe.'
        : 'The recipe was chosen on the inner split, so its figures are a little too good.',
    ],
    licence: null,
    versions,
  }
}
