/** Answers as Fetch responses: whoever cancels, and whenever, the work stops, the body ends, and its end is told once. */
import { expect, test } from 'vitest'
import { toResponse } from './reply.ts'

/** An answer whose first part is there, and whose second never comes unless the work is stopped. */
function slowAnswer() {
  const steps: string[] = []
  const controller = new AbortController()
  async function* parts(): AsyncGenerator<Uint8Array> {
    try {
      steps.push('began')
      yield Buffer.from('a')
      await new Promise((_, reject) => {
        controller.signal.addEventListener('abort', () => reject(new Error('stopped')))
      })
    } finally {
      await Promise.resolve()
      steps.push('ended')
    }
  }
  const onEnd = (isWhole: boolean): void => void steps.push(`told ${isWhole}`)
  const response = toResponse({ status: 200, headers: {}, body: parts(), onEnd }, () => {
    steps.push('stopped')
    controller.abort()
  })
  return { reader: (response.body as ReadableStream<Uint8Array>).getReader(), steps }
}

test.each([
  ['before it read', 0, ['stopped', 'began', 'ended', 'told false']],
  ['between two parts', 1, ['began', 'stopped', 'ended', 'told false']],
  ['while it waits for a part', 2, ['began', 'stopped', 'ended', 'told false']],
])('a caller that cancels %s stops the work, which ends before that is told', async (_when, readCount, expected) => {
  const { reader, steps } = slowAnswer()
  const reads = Array.from({ length: readCount }, () => reader.read())
  await reads[0]
  await reader.cancel()
  expect(steps).toEqual(expected)
  expect(await reads[1]?.then(({ done }) => done)).toBe(readCount > 1 ? true : undefined)
  await new Promise(resolve => setImmediate(resolve))
  expect(steps).toEqual(expected)
})

test('an answer that is read to its end stops nothing', async () => {
  const steps: string[] = []
  async function* parts() {
    yield Buffer.from('a')
  }
  const onEnd = (isWhole: boolean): void => void steps.push(`told ${isWhole}`)
  const reply = { status: 200, headers: {}, body: parts(), onEnd }
  expect(await toResponse(reply, () => void steps.push('stopped')).text()).toBe('a')
  expect(steps).toEqual(['told true'])
})
