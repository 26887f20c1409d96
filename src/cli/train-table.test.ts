import { describe, expect, it } from 'vitest'
import type { TrainReport } from '../learn/index.ts'
import { renderTrainReport } from './train-table.ts'

type Recipe = NonNullable<TrainReport['record']>['recipe']

const metrics = {
  rowCount: 20,
  logLoss: 0.3,
  temperature: 1,
  scores: { accuracy: 0.9, macroF1: 0.85 },
  labels: [
    { label: 'good', support: 15, precision: 1, recall: 1, f1: 1 },
    { label: 'bad\u001b[31m', support: 5, precision: 0.5, recall: 0.6, f1: 0.545 },
    { label: 'absent', support: 0, precision: 0, recall: 0, f1: 0 },
  ],
}

function report(record: Partial<TrainReport['record']> = {}): TrainReport {
  const tried = [
    {
      name: 'head',
      metrics: { ...metrics, logLoss: 0.5 },
      epochLosses: [],
      heldBackLosses: [],
      seconds: 1,
    },
    { name: 'full', metrics, epochLosses: [1, 0.5], heldBackLosses: [0.8, 0.3], seconds: 12.5 },
    { name: 'lora', metrics: null, epochLosses: [], heldBackLosses: [], seconds: 2 },
  ]
  return {
    kind: 'model',
    id: '0123456789abcdef',
    output: '/models/mine',
    files: ['model.safetensors'],
    notices: ['one thing to know.'],
    record: {
      metrics,
      tried,
      epochLosses: [1, 0.5],
      heldBackLosses: [0.8, 0.3],
      rowsUsed: 'all',
      rowCounts: { training: 120, selection: 20 },
      seconds: 15.5,
      ...record,
    } as NonNullable<TrainReport['record']>,
  }
}

describe('renderTrainReport', () => {
  it('marks one of two that are equally good, the first', () => {
    const tried = ['full', 'lora'].map(name => ({
      name,
      metrics,
      epochLosses: [],
      heldBackLosses: [],
      seconds: 1,
    })) as unknown as NonNullable<TrainReport['record']>['tried']
    const text = renderTrainReport(report({ tried }))
    expect(text.match(/.*← chosen/g)).toEqual([expect.stringContaining('full')])
  })

  it('says how good it is and what that was measured on', () => {
    const text = renderTrainReport(report())
    expect(text).toContain('accuracy 90.0 %, macro F1 85.0 %')
    expect(text).toContain('measured on 20 rows held back; then fitted again on all 120')
    expect(text).toMatch(/full +2 +0\.3000 +90\.0 % +12\.5 +← chosen/)
    expect(text).toMatch(/lora +– +diverged/)
    expect(text).toContain('Note: one thing to know.')
    expect(text).toContain('--recipe 0123456789abcdef')
  })

  it('gives a recipe that was fitted untried no figures of others', () => {
    const text = renderTrainReport(
      report({ metrics: null, recipe: { method: 'contrastive' } as Recipe }),
    )
    expect(text).toContain(
      'Trained by the method contrastive on 120 rows in 15.5 s, measured on none.',
    )
    expect(text).toMatch(/full +2 +0\.3000 +90\.0 %/)
    expect(text).not.toContain('chosen')
  })

  it('plots both losses from the highest to the lowest', () => {
    const plot = renderTrainReport(report()).split('\n')
    const at = plot.findIndex(line => line.startsWith('loss by epoch'))
    expect(plot[at + 1]).toBe('   1.000  ● ·')
    expect(plot[at + 6]).toBe('   0.300  · ○')
  })

  it('shows labels by their F1, none that never occurs, and no control characters', () => {
    const text = renderTrainReport(report())
    expect(text.indexOf('bad')).toBeLessThan(text.indexOf('good'))
    expect(text).not.toContain('absent')
    expect(text).not.toContain('\u001b')
  })

  it('says what a fit without time for another was trained on', () => {
    expect(renderTrainReport(report({ rowsUsed: 'training' }))).toContain(
      'trained on 120 rows, measured on 20 others',
    )
  })

  it('tells how to go on with a job for PyTorch', () => {
    const text = renderTrainReport({ ...report(), kind: 'job', record: null })
    expect(text).toContain('understudy train /models/mine --on torch')
    expect(text).not.toContain('--recipe')
  })
})
