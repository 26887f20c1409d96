import { expect, it } from 'vitest'
import { encodeRows } from './encode-rows.ts'

it('refuses more targets than fit into memory, before it makes room for them', async () => {
  const labels = Array.from({ length: 10_000 }, (_, i) => `l${i}`)
  const rows = Array.from({ length: 30_000 }, (_, i) => ({ text: 'a', label: `l${i % 10_000}` }))
  const tokenizer = { maxTokens: 8, maxId: 9, encode: () => [1, 2, 3] } as never
  await expect(
    encodeRows(rows, { task: 'label', labels, tokenizer, breathe: async () => {} }),
  ).rejects.toMatchObject({
    code: 'request-invalid',
    message: expect.stringContaining('30000 rows with 10000 outputs'),
    help: expect.stringMatching(/^[A-Z].*\.$/),
  })
})
