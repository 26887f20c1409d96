import { expect, test } from 'vitest'
import { nextState } from './states.ts'

test('an operator may put a certified candidate straight to live, never an uncertified one', () => {
  expect(nextState('candidate', 'override', { isCertified: true })).toEqual({ to: 'live' })
  expect(nextState('candidate', 'override', { isCertified: false })).toEqual({
    to: null,
    reason: 'only what is certified goes live',
  })
})

test('retired is final, and a live specialist leaves only by roll-back or replacement', () => {
  expect(nextState('retired', 'override', { isCertified: true }).to).toBeNull()
  expect(nextState('live', 'replace', { isCertified: true })).toEqual({ to: 'retired' })
  expect(nextState('live', 'canary', { isCertified: true }).to).toBeNull()
})
