/** The demo's figures and words, on replies whose right figures are known. */
import { describe, expect, it } from 'vitest'
import { measureReplay } from '../../src/cli/demo/measure.ts'
import type { Reply } from '../../src/cli/demo/replay.ts'
import { renderSummary } from '../../src/cli/demo/summary.ts'
import { DEFAULT_PRICES } from '../../src/config/index.ts'
import { generateLabelledDay } from '../../src/demo/index.ts'

/** Everything learnable answered here with the lead's own recorded answer, the rest by the lead. */
const replies = [...generateLabelledDay({ seed: 3, day: 2, requestCount: 800 })].map(
  (source, index): Reply => {
    const isLocal = source.expectation === 'learnable'
    return {
      source,
      status: source.line.status,
      body: source.line.response,
      servedBy: isLocal ? 'reflex' : 'lead',
      task: null,
      decisionId: `dec_${index}`,
      hasCertificate: isLocal,
      latencyMs: isLocal ? 2 : 900,
    }
  },
)

describe('measureReplay', () => {
  const result = measureReplay(replies, { 'several-turns': 9 }, DEFAULT_PRICES)

  it('counts a difference only where the lead gave no usable answer, when its own answers come back', () => {
    const job = result.jobs.find(one => one.job === 'message intent')
    const mine = replies.filter(
      one => one.source.job === 'message intent' && one.source.slip !== 'failed',
    )
    const lost = mine.filter(one => ['truncated', 'refused'].includes(one.source.slip)).length
    // A truncated label is text cut off by its limit, so it is no answer.
    expect(job?.differs?.value).toBeCloseTo(lost / mine.length, 12)
    expect(job?.wrong?.lead).toBeCloseTo(
      mine.filter(one => one.source.leadLabel !== one.source.truth).length / mine.length,
      12,
    )
  })

  it('finds nothing answered that should have been left alone, and everything accounted for', () => {
    expect(result.intrusionCount).toBe(0)
    expect(result.unaccountedCount).toBe(0)
    const wild = replies.map(reply => ({ ...reply, servedBy: 'reflex', decisionId: null }))
    const bad = measureReplay(wild, {}, DEFAULT_PRICES)
    expect(bad.intrusionCount).toBe(
      replies.filter(one => one.source.expectation === 'leave-alone').length,
    )
    expect(bad.unaccountedCount).toBeGreaterThanOrEqual(replies.length)
  })

  it('saves what the locally answered requests would have cost, and no more', () => {
    expect(result.cost.savedUsd).toBeGreaterThan(0)
    expect(result.cost.savedUsd).toBeLessThan(result.cost.allLeadUsd)
    expect(measureReplay(replies, {}, {}).cost).toEqual({
      allLeadUsd: 0,
      savedUsd: 0,
      unpricedCount: replies.length,
    })
  })

  it('is told in 80 columns, with the reasons in words and every broken promise marked', () => {
    const parts = {
      result,
      targetRisk: 0.05,
      ledgerRecordCount: 1000,
      isLedgerIntact: false,
      seconds: 12,
      hurry: { count: 2, of: 4, command: 'understudy demo --budget 5m' },
      next: ['understudy up'],
    }
    const text = renderSummary(parts, { isTty: false, env: {} })
    for (const line of text.split('\n')) expect(line.length).toBeLessThanOrEqual(90)
    expect(text).toContain('the conversation has more than one turn')
    expect(text).toContain('✓ free text')
    expect(text).toContain('✗ the ledger')
    expect(text).toMatch(
      /! In 2 of 4 tasks the time was up .*\n {2}Give it more, with the same options: understudy demo --budget 5m\n/,
    )
    expect(renderSummary({ ...parts, hurry: null }, { isTty: false, env: {} })).not.toContain('!')
    expect(text).not.toMatch(/NaN|undefined/)
  })
})
