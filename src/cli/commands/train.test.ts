/** `understudy train`: what is refused before anything is opened. */
import { expect, test } from 'vitest'
import { main } from '../main.ts'
import { recordingTerminal } from '../testing.ts'

// Teacher and columns rebuild the rows, so they may stand beside it.
const REBUILT = ['--teacher', 'large', '--text-column', 'a']
const RUN = ['train', 'rows.csv', '--recipe', '0123456789abcdef', ...REBUILT]

test.each([
  ['--task-kind', 'pair'],
  ['--method', 'auto'],
  ['--budget', '3m'],
  ['--memory', '1gb'],
  ['--seed', '0'],
  ['--label-smoothing', '0.1'],
  ['--class-weights', 'none'],
  ['--temperature', '2'],
])('refuses %s %s beside --recipe, which would not heed it', async (...words) => {
  const terminal = recordingTerminal()
  expect(await main([...RUN, ...words], terminal)).toBe(2)
  expect(terminal.written().err).toContain(
    `--recipe repeats a run as it was.\n- help: leave out ${words[0]}, or`,
  )
})
