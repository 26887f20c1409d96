/** Ctrl-C in a terminal reaches a command and the process of its job alike: what was trained is kept all the same. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it, onTestFinished } from 'vitest'
import { writeToyFolder } from '../../src/models/__fixtures__/toy-bert.ts'

const BIN = fileURLToPath(new URL('../../bin/understudy.js', import.meta.url))

it('an interrupt of the whole process group keeps a checkpoint', { timeout: 60_000 }, async () => {
  const root = mkdtempSync(join(tmpdir(), 'understudy-interrupt-'))
  onTestFinished(() => rmSync(root, { recursive: true, force: true }))
  writeToyFolder(root)
  const words = ['a', 'b', 'c', '!']
  const lines = Array.from({ length: 4000 }, (_, i) => {
    const around = [0, 2, 4, 6, 8, 10].map(shift => words[(i >> shift) % 4]).join(' ')
    return i % 2 === 0 ? `${around} hello,greeting\n` : `world ${around},place\n`
  })
  writeFileSync(join(root, 'rows.csv'), `text,label\n${lines.join('')}`)
  const command = ['train', 'rows.csv', '--base', root, '--data', 'data', '--output', 'model']
  const child = spawn(process.execPath, [BIN, ...command, '--method', 'full'], {
    cwd: root,
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let isEnded = false
  onTestFinished(() => void (isEnded || process.kill(-(child.pid as number), 'SIGKILL')))
  let told = ''
  let isSent = false
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    told += text
    if (isSent || !/full, .*loss/.test(told)) return
    isSent = true
    process.kill(-(child.pid as number), 'SIGINT')
  })
  await once(child, 'close')
  isEnded = true
  expect(told).toContain('is kept')
  const [state] = readdirSync(join(root, 'data', 'training'))
  expect(readdirSync(join(root, 'data', 'training', state as string))).toContain(
    'checkpoint.safetensors',
  )
})
