import { describe, expect, it } from 'vitest'
import { certify } from '../evals/index.ts'
import { REPORT_RISKS } from './report.ts'
import {
  buildReport,
  buildTaskReport,
  type EvaluatedInput,
  type TaskEvidence,
} from './report-build.ts'

/** 400 inputs: the surest 320 all agree, half of the rest differ. */
function evidence(change: Partial<TaskEvidence> = {}): TaskEvidence {
  const evaluated = Array.from({ length: 400 }, (_, i): EvaluatedInput => {
    const differs = i >= 320 && i % 2 === 0
    return {
      input: `input ${i}`,
      lead: i % 3 === 0 ? 'a' : 'b',
      specialist: differs ? 'c' : i % 3 === 0 ? 'a' : 'b',
      score: 1 - i / 400,
      loss: differs ? 1 : 0,
      time: `2026-03-09T${String(Math.floor(i / 20)).padStart(2, '0')}:00:00.000Z`,
    }
  })
  const scores = evaluated.map(one => one.score)
  const losses = evaluated.map(one => one.loss)
  const grid = Array.from({ length: 20 }, (_, i) => 0.95 - i * 0.05)
  const outcome = (targetRisk: number, promise: 'selective' | 'marginal') =>
    certify({ scores, losses, grid, targetRisk, delta: 0.1, promise })
  return {
    id: 'task_x',
    name: 'x',
    key: {
      app: null,
      model: 'm',
      reportedModels: [],
      systemExcerpt: '',
      coat: 'label text',
      isDeclared: false,
    },
    requestCount: 1000,
    distinctInputCount: 800,
    withoutAnswer: {},
    notServable: {},
    specialist: null,
    goal: outcome(0.05, 'selective'),
    certificateId: null,
    look: null,
    selective: REPORT_RISKS.map(risk => outcome(risk, 'selective')),
    marginal: REPORT_RISKS.map(risk => outcome(risk, 'marginal')),
    leadAnswers: ['b', 'b', 'a', null],
    evaluated,
    leadSelfDisagreement: { rate: 0.012, inputCount: 40 },
    requests: evaluated.map((one, i) => ({
      group: `g${i}`,
      score: one.score,
      loss: one.loss,
      weight: 1,
    })),
    times: ['2026-03-09T10:00:00.000Z', '2026-03-09T09:00:00.000Z'],
    leadLatenciesMs: [100, 200, 300],
    specialistLatenciesMs: [1, 2, 3, 4],
    usages: [{ promptTokens: 1000, completionTokens: 100 }, null],
    price: { inUsd: 1, outUsd: 10 },
    ...change,
  }
}

describe('buildTaskReport', () => {
  const task = buildTaskReport(evidence())

  it('counts answers, orders the window, and takes latency quantiles', () => {
    expect(task.answers).toEqual([
      { label: 'b', count: 2 },
      { label: 'a', count: 1 },
    ])
    expect(task.window).toEqual({
      from: '2026-03-09T09:00:00.000Z',
      to: '2026-03-09T10:00:00.000Z',
    })
    expect(task.latency.lead).toEqual({ p50Ms: 200, p95Ms: 290, sampleCount: 3 })
  })

  it('reckons the cost from tokens, the price and the share served', () => {
    const share = task.agreement?.servedTrafficShare ?? Number.NaN
    expect(task.goal?.claimed).toBe(true)
    expect(share).toBeGreaterThan(0.75)
    // 1000 × $1/M + 100 × $10/M = $0.002 a request.
    expect(task.cost.nowPerThousandUsd).toBeCloseTo(2, 12)
    expect(task.cost.afterPerThousandUsd).toBeCloseTo(2 * (1 - share), 12)
    expect(task.cost.window?.nowUsd).toBeCloseTo(2, 12)
  })

  it('says why there is no cost instead of guessing one', () => {
    expect(buildTaskReport(evidence({ price: null })).cost).toMatchObject({
      window: null,
      note: 'The price table has no entry for this model.',
    })
    expect(buildTaskReport(evidence({ usages: [null] })).cost.note).toBe(
      'The log holds no token counts.',
    )
  })

  it('measures agreement, and notices that the newest fifth is worse', () => {
    expect(task.agreement?.all).toBeCloseTo(0.9, 12)
    expect(task.agreement?.newestFifth?.value).toBeCloseTo(0.5, 12)
    expect(task.agreement?.newestDiffers).toBe(true)
  })

  it('shows no figures about serving where nothing may be served', () => {
    const goal = { ...evidence().selective[0] } as TaskEvidence['goal']
    const unclaimed = buildTaskReport(
      evidence({
        goal: goal?.claimed
          ? {
              claimed: false,
              promise: 'selective',
              targetRisk: 0.01,
              delta: 0.1,
              n: 400,
              because: 'x',
              code: 'risk-too-high',
              moreRequests: null,
            }
          : goal,
      }),
    )
    expect(unclaimed.agreement?.servedTrafficShare).toBeNull()
    expect(unclaimed.cost.afterPerThousandUsd).toBe(unclaimed.cost.nowPerThousandUsd)
  })

  it('keeps the curve short and ends it at full coverage', () => {
    const curve = task.charts?.curve ?? []
    expect(curve.length).toBe(120)
    expect(curve.at(-1)).toMatchObject({ coverage: 1 })
    expect(curve.at(-1)?.risk).toBeCloseTo(0.1, 12)
  })

  it('lists the confused pairs and the surest differences first', () => {
    const { confusion, differences } = task.charts ?? {}
    expect(confusion?.pairs.map(pair => pair.specialist)).toEqual(['c', 'c'])
    expect(confusion?.pairs.reduce((sum, pair) => sum + pair.count, 0)).toBe(40)
    expect(differences?.[0]?.input).toBe('input 320')
    expect(differences?.length).toBe(12)
  })

  it('survives JSON unchanged, also where the specialist abstained', () => {
    const base = evidence()
    const abstained = buildTaskReport({
      ...base,
      evaluated: base.evaluated.map((one, i) =>
        i === 0 ? { ...one, specialist: null, score: Number.NaN, loss: 1 } : one,
      ),
    })
    expect(JSON.parse(JSON.stringify(abstained))).toEqual(abstained)
  })
})

it('adds up the costs that are known', () => {
  const tasks = [buildTaskReport(evidence()), buildTaskReport(evidence({ price: null }))]
  const report = buildReport({
    generatedAt: '2026-03-10T00:00:00.000Z',
    settings: { targetRisk: 0.05, confidenceLevel: 0.9, promise: 'selective', seed: 1 },
    imported: null,
    requestCount: 2000,
    tasks,
    leftAlone: [],
    withoutEncoder: [],
    notices: [],
  })
  expect(report.totalCost?.nowUsd).toBeCloseTo(2, 12)
  expect(report.totalCost?.requestCount).toBe(1000)
  expect(buildReport({ ...report, tasks: [tasks[1] as (typeof tasks)[1]] }).totalCost).toBeNull()
})
