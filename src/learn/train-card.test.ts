import { expect, it } from 'vitest'
import { completeRecipe } from '../train/fine-tune/recipe.ts'
import type { RunRecord } from '../train/index.ts'
import { trainCard } from './train-card.ts'

const metrics = { rowCount: 100, logLoss: 0.4, temperature: 2, labels: [] }
const record = {
  task: 'label',
  base: 'toy',
  labels: ['a', 'b'],
  recipe: completeRecipe({ method: 'head' }),
  rowCounts: { training: 500, selection: 100 },
  versions: {},
  id: '0123456789abcdef',
  rowsUsed: 'all',
  metrics: { ...metrics, scores: { accuracy: 0.9, macroF1: 0.87654321 } },
} as unknown as RunRecord

it('gives shares of rows an interval, by Clopper and Pearson, and nothing else one', () => {
  const [accuracy, macroF1] = trainCard(record).metrics
  // scipy.stats.beta.ppf([0.025], 90, 11) and ([0.975], 91, 10)
  expect(accuracy).toMatchObject({ name: 'accuracy', value: 0.9, low: 0.8238, high: 0.951 })
  expect(macroF1).toEqual({ name: 'macroF1', value: 0.8765, measuredOn: accuracy?.measuredOn })
})

it('says so where nothing was measured', () => {
  const card = trainCard({ ...record, metrics: null })
  expect(card.metrics).toEqual([])
  expect(card.notTested.join()).toContain('no rows were held back')
})
