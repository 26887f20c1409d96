import { describe, expect, it } from 'vitest'
import { createRng, normaliseText } from '../util/index.ts'
import { answerOf, parseChatRequest, usageOf } from '../wire/index.ts'
import { generateDay, generateLabelledDay } from './generate.ts'
import { expand } from './grammar.ts'
import { INTENTS, SHARED_PHRASES } from './intents.ts'
import { JOBS } from './jobs.ts'
import { LISTS } from './phrases.ts'

const day = [...generateLabelledDay({ seed: 5, day: 1, requestCount: 4000 })]
const closed = day.filter(line => line.truth !== null && line.expectation === 'learnable')

describe('a generated day', () => {
  it('is the same for the same seed, and another for another seed or day', () => {
    const take = (seed: number, number: number): string =>
      JSON.stringify([...generateDay({ seed, day: number, requestCount: 60 })])
    expect(take(1, 1)).toBe(take(1, 1))
    expect(take(1, 1)).not.toBe(take(2, 1))
    expect(take(1, 1)).not.toBe(take(1, 2))
  })

  it('streams: the first line comes without the rest', () => {
    const lines = generateDay({ seed: 1, day: 1, requestCount: 1e9 })
    expect(lines.next().value?.id).toBe('d1-000000')
    lines.return(undefined)
  })

  it('runs forward in time within one day, with most traffic in working hours', () => {
    const times = day.map(({ line }) => line.time)
    expect([...times].sort()).toEqual(times)
    expect(new Set(times.map(time => time.slice(0, 10))).size).toBe(1)
    const working = times.filter(
      time => Number(time.slice(11, 13)) >= 8 && Number(time.slice(11, 13)) < 18,
    )
    expect(working.length / times.length).toBeGreaterThan(0.6)
  })

  it('holds requests that the gateway can read and answers in the shape asked for', () => {
    for (const { line, slip, expectation } of day) {
      const request = parseChatRequest(line.request)
      const given = answerOf(line.response, line.status)
      if (slip === 'failed') expect(line.status).toBe(429)
      if (slip !== 'none' && slip !== 'wrong') continue
      expect(given.answer).not.toBeNull()
      expect(usageOf(line.response)?.promptTokens).toBeGreaterThan(10)
      if (expectation === 'learnable') {
        expect(request.escalations).toEqual([])
        expect(given.answer?.kind).toBe(request.shape.kind === 'tool' ? 'tool' : 'text')
      }
    }
  })

  it('writes every closed-set answer in its coat', () => {
    const coats = new Map<string, RegExp>([
      ['message intent', /^[a-z_]+$/],
      ['e-mail queue', /^\{"queue":"[a-z]+"\}$/],
      ['chat urgency', /^\{"urgency":"[a-z]+"\}$/],
      ['complaint check', /^(yes|no)$/],
    ])
    for (const { line, job, leadLabel } of day) {
      if (leadLabel === null) continue
      const { answer } = answerOf(line.response, line.status)
      const text = answer?.kind === 'tool' ? answer.argumentsText : (answer?.text ?? '')
      expect(text).toMatch(coats.get(job) ?? /^[a-z_]+$/)
      expect(text).toContain(leadLabel)
    }
  })

  it('has a lead that is wrong in two or three of a hundred, and sometimes gives no answer of the set', () => {
    const rate = (slip: string): number =>
      closed.filter(line => line.slip === slip).length / closed.length
    expect(rate('wrong')).toBeGreaterThan(0.01)
    expect(rate('wrong')).toBeLessThan(0.035)
    for (const slip of ['outside-the-set', 'truncated', 'refused', 'failed']) {
      expect(rate(slip)).toBeGreaterThan(0)
      expect(rate(slip)).toBeLessThan(0.01)
    }
    for (const line of closed) {
      if (line.slip === 'none') expect(line.leadLabel).toBe(line.truth)
      if (line.slip === 'wrong') expect(line.leadLabel).not.toBe(line.truth)
    }
  })

  it('repeats some messages, but most are new, and the next day is new again', () => {
    const texts = closed.map(({ line }) =>
      normaliseText(parseChatRequest(line.request).userText ?? ''),
    )
    const distinctShare = new Set(texts).size / texts.length
    expect(distinctShare).toBeGreaterThan(0.8)
    expect(distinctShare).toBeLessThan(0.97)
    const seen = new Set(texts)
    const next = [...generateLabelledDay({ seed: 5, day: 2, requestCount: 1000 })]
      .filter(line => line.truth !== null)
      .map(({ line }) => normaliseText(parseChatRequest(line.request).userText ?? ''))
    expect(next.filter(text => seen.has(text)).length / next.length).toBeLessThan(0.15)
  })

  it('has frequent and rare intents, and few complaints', () => {
    const counts = new Map<string, number>()
    for (const { job, truth } of day) {
      if (job === 'message intent' && truth !== null)
        counts.set(truth, (counts.get(truth) ?? 0) + 1)
    }
    expect(counts.size).toBe(24)
    expect(Math.max(...counts.values()) / Math.min(...counts.values())).toBeGreaterThan(5)
    const complaints = closed.filter(line => line.job === 'complaint check')
    const share = complaints.filter(line => line.truth === 'yes').length / complaints.length
    expect(share).toBeGreaterThan(0.08)
    expect(share).toBeLessThan(0.22)
  })

  it('has jobs that nobody should learn: free text, several turns, images, free tools', () => {
    const left = new Set(
      day.filter(line => line.expectation === 'leave-alone').map(line => line.job),
    )
    expect(left).toEqual(new Set(['reply drafts', 'conversations', 'photographs', 'tool use']))
    const reasons = new Set(
      day.flatMap(({ line }) => parseChatRequest(line.request).escalations.map(one => one.reason)),
    )
    expect(reasons).toEqual(new Set(['several-turns', 'non-text-content', 'unforced-tools']))
    const drafts = day
      .filter(line => line.job === 'reply drafts' && line.slip === 'none')
      .map(({ line }) => JSON.stringify(answerOf(line.response, 200)))
    expect(new Set(drafts).size).toBe(drafts.length)
  })
})

it('has shares that add up, and templates that only name lists that exist', () => {
  expect(JOBS.reduce((sum, job) => sum + job.share, 0)).toBeCloseTo(1, 9)
  const rng = createRng(1)
  const templates = [
    ...INTENTS.flatMap(intent => [...intent.templates, ...intent.foreign]),
    ...SHARED_PHRASES.flatMap(shared => shared.templates),
    ...Object.values(LISTS).flat(),
  ]
  for (const template of templates) {
    for (let i = 0; i < 30; i++) expect(expand(template, LISTS, rng)).not.toMatch(/[{}|]|^$/)
  }
  const labels = new Set(INTENTS.map(intent => intent.label))
  for (const { labels: pair } of SHARED_PHRASES) {
    for (const label of pair) expect(labels).toContain(label)
  }
})
