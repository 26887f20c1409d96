import { expect, test } from 'vitest'
import type { LiveTask } from '../cascade/index.ts'
import { createLeadWatch } from './lead-watch.ts'

const live = () =>
  [{ id: 't', name: 'intent', certifiedLeads: ['a-2026', 'b'] }] as unknown as LiveTask[]

test('says once that the lead answers under another name, and forgets it when the old one is back', () => {
  const said: string[] = []
  const watch = createLeadWatch({ live }, text => said.push(text))
  watch.note('t', 'a-2026')
  watch.note('other', 'c')
  watch.note(null, 'c')
  watch.note('t', null)
  expect(watch.changedTo('t')).toBeNull()
  watch.note('t', 'c')
  watch.note('t', 'c')
  expect(watch.changedTo('t')).toBe('c')
  expect(said).toEqual([expect.stringContaining('now answers as c')])
  watch.note('t', 'b')
  expect(watch.changedTo('t')).toBeNull()
})
