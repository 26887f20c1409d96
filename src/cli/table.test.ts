import { expect, it } from 'vitest'
import { renderTable } from './table.ts'

it('aligns columns by display width and keeps control characters off the terminal', () => {
  const text = renderTable(
    [{ title: 'task' }, { title: 'requests', align: 'right' }],
    [
      ['送金', '12'],
      ['evil\x1b[2J\u202etask', '3'],
    ],
  )
  expect(text).toBe(
    ['task           requests', '送金                 12', 'evil [2J task         3', ''].join(
      '\n',
    ),
  )
})
