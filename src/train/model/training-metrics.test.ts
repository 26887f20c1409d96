import { expect, it } from 'vitest'
import { toyTokenizer } from '../../models/__fixtures__/toy-bert.ts'
import { createTokenizer } from '../../models/index.ts'
import { encodeRows } from './encode-rows.ts'
import { measure } from './training-metrics.ts'

const tokenizer = createTokenizer({ tokenizer: toyTokenizer(), maxTokens: 16 })

/** Two fields: a greeting, and whom it is for. */
const rows = [
  {
    text: 'hello world a',
    spans: [
      { start: 0, end: 5, label: 'greeting' },
      { start: 6, end: 11, label: 'whom' },
    ],
  },
  { text: 'a hello b', spans: [{ start: 2, end: 7, label: 'greeting' }] },
  { text: 'a b c', spans: [] },
]

it('counts spans by field, and rows in which all of them are right', async () => {
  const encoded = await encodeRows(rows, {
    task: 'spans',
    labels: ['greeting', 'whom'],
    tokenizer,
    breathe: async () => {},
  })
  const subset = [0, 1, 2]
  const perfect = measure(encoded, { logits: encoded.targets, subset })
  expect(perfect.scores).toEqual({ entityF1: 1, precision: 1, recall: 1, exactMatch: 1 })

  // The first row loses `world`; the last one gets a span that nobody marked.
  const size = encoded.outputs.length
  const wrong = encoded.targets.slice()
  const unit = (row: number, token: number) => {
    const before = encoded.sequences.slice(0, row).reduce((sum, one) => sum + one.length, 0)
    return (before + token) * size
  }
  wrong.fill(0, unit(0, 2), unit(0, 3))
  wrong[unit(0, 2)] = 1
  wrong.fill(0, unit(2, 1), unit(2, 2))
  wrong[unit(2, 1) + 1] = 1
  const { scores, labels } = measure(encoded, { logits: wrong, subset })
  expect(scores.exactMatch).toBeCloseTo(1 / 3)
  expect(scores.entityF1).toBeCloseTo(4 / 6)
  expect(labels).toEqual([
    { label: 'greeting', support: 2, precision: 2 / 3, recall: 1, f1: 4 / 5 },
    { label: 'whom', support: 1, precision: 0, recall: 0, f1: 0 },
  ])
})
