import { expect, test } from 'vitest'
import { createMetrics } from '../telemetry/index.ts'
import { renderTop, type TopSample } from './top-view.ts'

function gateway() {
  const metrics = createMetrics()
  const requests = metrics.counter('understudy_requests_total', '', ['route', 'tier', 'status'])
  const duration = metrics.histogram(
    'understudy_request_duration_seconds',
    '',
    [0.001, 0.01, 0.1, 1],
    ['route', 'tier'],
  )
  const escalations = metrics.counter('understudy_escalations_total', '', ['reason'])
  const saved = metrics.counter('understudy_saved_usd_total', '', ['model'])
  const serve = (tier: string, seconds: number, status = '200') => {
    requests.add(1, '/v1/chat/completions', tier, status)
    duration.observe(seconds, '/v1/chat/completions', tier)
  }
  const look = (atMs: number, health: object = { ledger: 'ok', store: 'ok' }): TopSample => ({
    atMs,
    nowMs: Date.UTC(2026, 10, 27) + atMs,
    status: {
      startedTime: '2026-11-27T00:00:00.000Z',
      lead: `https://api.example.com/${'long/'.repeat(40)}v1`,
      workers: 2,
      live: [{}],
      health,
      unrecordedCount: 3,
    },
    families: metrics.families(),
  })
  return { serve, look, escalations, saved }
}

test('shows what happened between two looks, not what happened before', () => {
  const { serve, look, escalations, saved } = gateway()
  for (let i = 0; i < 100; i++) serve('lead', 0.5)
  escalations.add(100, 'no-specialist')
  const before = look(10_000)
  for (let i = 0; i < 20; i++) serve('reflex', 0.0005)
  serve('lead', 0.05)
  serve('none', 0.001, '503')
  escalations.add(1, 'confidence-low')
  saved.add(0.5, 'm')
  const text = renderTop(look(12_000), before, 80)
  expect(text).toMatch(/^reflex +20 +10\.0 +0\.5 +0\.9/m)
  expect(text).toMatch(/^lead +1 +0\.5 +\d/m)
  expect(text).toContain('to the lead: confidence-low 1')
  expect(text).not.toContain('no-specialist')
  expect(text).toContain('errors 1')
  expect(text).toContain('saved $0.50')
})

test('fits into 80 columns and into 40, whatever the lead is called', () => {
  const { serve, look } = gateway()
  serve('lead', 0.5)
  for (const columns of [80, 40]) {
    const lines = renderTop(look(5_000), null, columns).split('\n')
    expect(Math.max(...lines.map(line => line.length))).toBeLessThanOrEqual(columns)
  }
})

test('says since when, and what does not work', () => {
  const { look } = gateway()
  const text = renderTop(
    look(60_000, {
      ledger: 'failing',
      store: 'ok',
      spend: 'late',
      lagCount: 7,
      error: 'no space left',
    }),
    null,
    80,
  )
  expect(text).toContain('what keys used: late')
  expect(text).toContain('(since the start)')
  expect(text).toContain('ledger failing   database ok   behind 7 records   unrecorded answers 3')
  expect(text).toContain('no space left')
  expect(text).toMatch(/^lead +0 +0\.0 +– +– +–/m)
})
