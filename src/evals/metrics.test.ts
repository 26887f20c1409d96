/** Metrics beside the certificate, on cases small enough to check by hand, and the certificate record. */
import { describe, expect, it } from 'vitest'
import { createRng } from '../util/index.ts'
import { buildCertificate, certify, selfDisagreement, trafficWeighted, VOIDED_BY } from './index.ts'

describe('trafficWeighted', () => {
  it('weighs requests by how often they occur and resamples whole groups', () => {
    const requests = [
      { group: 'heavy', score: 0.9, loss: 0, weight: 90 },
      ...Array.from({ length: 10 }, (_, i) => ({
        group: `g${i}`,
        score: i < 5 ? 0.9 : 0.1,
        loss: 1,
        weight: 1,
      })),
    ]
    const { risk, coverage } = trafficWeighted(requests, 0.5, createRng('traffic'))
    expect(risk.estimate).toBeCloseTo(5 / 95, 12)
    expect(coverage.estimate).toBeCloseTo(0.95, 12)
    // Without the one heavy group everything served is wrong, and a third of the resamples lack it.
    expect(risk.high).toBe(1)
    expect(risk.low).toBeLessThan(0.05)
  })
})

describe('selfDisagreement', () => {
  it('averages the unbiased pair estimate over inputs that came back', () => {
    const found = selfDisagreement([[4], [1, 1], [1], []])
    expect(found).toMatchObject({ inputCount: 2, rate: 0.5, floor: 0.25 })
    expect(selfDisagreement([[1]]).rate).toBeNaN()
  })

  it('gives a floor that the best fixed answer cannot undercut', () => {
    const p = [0.7, 0.2, 0.1]
    const pairRate = 1 - p.reduce((sum, each) => sum + each * each, 0)
    expect(1 - Math.max(...p)).toBeGreaterThanOrEqual(pairRate / 2)
  })
})

describe('buildCertificate', () => {
  it('names everything the promise depends on, survives JSON, and cannot be changed', () => {
    const outcome = certify({
      scores: Array.from({ length: 60 }, () => 0.9),
      losses: Array.from({ length: 60 }, () => 0),
      grid: [0.9],
      targetRisk: 0.05,
      delta: 0.06,
      promise: 'selective',
    })
    const certificate = buildCertificate({
      id: 'cert_1',
      time: '2026-11-23T00:00:00.000Z',
      subject: {
        task: 'task_1',
        specialist: 'ab',
        leadRequested: ['big'],
        leadReported: ['big-2026'],
        reference: 'lead',
        runtime: 'typescript',
        kernelFamily: 'x64',
      },
      set: { id: 'set_1', look: 1, delta: 0.1, oldestTime: null, newestTime: null },
      outcome,
    })
    expect(certificate).toMatchObject({
      unit: 'distinct inputs',
      deltaSpent: 0.06,
      outcome: { claimed: true, n: 60 },
    })
    expect(certificate.voidedBy).toEqual(VOIDED_BY)
    expect(JSON.parse(JSON.stringify(certificate))).toEqual(certificate)
    expect(Object.isFrozen(certificate)).toBe(true)
  })
})
