import { expect, test } from 'vitest'
import { nextState } from './states.ts'

test('an operator may put a certified candidate straight to live, never an uncertified one', () => {
  expect(nextState('candidate', 'override', { isCertified: true })).toEqual({ to: 'live' })
  expect(nextState('candidate', 'override', { isCertified: false })).toEqual({
    to: null,
    reason: 'only what is certified goes live',
  })
})

test('a retired specialist returns only by the operator’s word, a live one leaves by roll-back or replacement', () => {
  expect(nextState('retired', 'override', { isCertified: true })).toEqual({ to: 'live' })
  expect(nextState('retired', 'override', { isCertified: false }).to).toBeNull()
  expect(nextState('retired', 'promote', { isCertified: true }).to).toBeNull()
  expect(nextState('live', 'replace', { isCertified: true })).toEqual({ to: 'retired' })
  expect(nextState('live', 'canary', { isCertified: true }).to).toBeNull()
})
