import { expect, test } from 'vitest'
import type { Answer } from '../wire/index.ts'
import { answerKey, closedSet } from './closed-set.ts'

const text = (value: string): Answer => ({ kind: 'text', text: value })
const tool = (args: string): Answer => ({ kind: 'tool', name: 'route', argumentsText: args })
const times = (count: number, answer: Answer): Answer[] =>
  Array.from({ length: count }, () => answer)

function recognised(answers: readonly (Answer | null)[]) {
  const result = closedSet.recognise(answers)
  if (result.schema === null) throw new Error(result.reason)
  return result.schema
}

test('recognises labels as text and writes them back as the lead did', () => {
  const schema = recognised([
    ...times(9, text('refund')),
    ...times(6, text('card_lost\n')),
    text('card_lost'),
  ])
  expect(schema.classes.map(item => item.label)).toEqual(['card_lost', 'refund'])
  const key = closedSet.parse(schema, text(' card_lost '))
  expect(key).toBe('card_lost')
  expect(closedSet.render(schema, key as string)).toEqual(text('card_lost\n'))
})

test('JSON answers that differ only in spacing and key order are the same answer, named by the field that varies', () => {
  const schema = recognised([
    ...times(6, text('{"queue": "billing", "v": 1}')),
    ...times(2, text('{"v":1,"queue":"billing"}')),
    ...times(5, text('{"queue": "fraud", "v": 1}')),
  ])
  expect(schema.classes.map(item => item.label)).toEqual(['billing', 'fraud'])
  expect(closedSet.render(schema, schema.classes[0]?.key ?? '')).toEqual(
    text('{"queue": "billing", "v": 1}'),
  )
})

test('a forced tool call is a class by name and arguments, and never the same as equal text', () => {
  const schema = recognised([
    ...times(8, tool('{"urgency":"high"}')),
    ...times(8, tool('{"urgency":"low"}')),
  ])
  expect(schema.classes.map(item => item.label)).toEqual(['high', 'low'])
  expect(closedSet.parse(schema, text('{"urgency":"high"}'))).toBeNull()
  expect(answerKey(tool('{ "urgency": "high" }'))).toBe(answerKey(tool('{"urgency":"high"}')))
})

test('free text is not a closed set, and the reason says why', () => {
  const result = closedSet.recognise(
    Array.from({ length: 50 }, (_, i) => text(`Dear customer number ${i}`)),
  )
  expect(result).toEqual({ schema: null, reason: expect.stringContaining('free text') })
})

test('answers seen once, and responses without an answer, lie outside the set and differ from everything', () => {
  const schema = recognised([
    ...times(20, text('yes')),
    ...times(20, text('no')),
    text('I cannot say.'),
    null,
  ])
  expect(schema.classes).toHaveLength(2)
  expect(closedSet.parse(schema, text('I cannot say.'))).toBeNull()
  expect(closedSet.compare(schema, null, 'yes')).toBe(1)
  expect(closedSet.compare(schema, 'yes', 'yes')).toBe(0)
  expect(closedSet.compare(schema, 'no', 'yes')).toBe(1)
})

test('too few answers are not recognised; one class is', () => {
  expect(closedSet.recognise(times(3, text('a'))).schema).toBeNull()
  expect(recognised(times(30, text('ok'))).classes).toHaveLength(1)
})

test('survives JSON and prototype-like labels', () => {
  const schema = recognised([...times(10, text('__proto__')), ...times(10, text('constructor'))])
  const revived = JSON.parse(JSON.stringify(schema)) as typeof schema
  expect(closedSet.parse(revived, text('__proto__'))).toBe('__proto__')
  expect(closedSet.parse(revived, text('toString'))).toBeNull()
  expect(
    closedSet.parse(recognised(times(12, text('{"__proto__":"a"}'))), text('{"__proto__":"b"}')),
  ).toBeNull()
})

test('an answer nested a hundred thousand deep is compared as text', () => {
  const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`
  expect(answerKey(text(deep))).toBe(deep)
})
