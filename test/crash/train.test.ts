/** A training run that is killed goes on where it was, to the same weights as one that was left alone. */
import { spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { writeToyFolder } from '../../src/models/__fixtures__/toy-bert.ts'

const CHILD = fileURLToPath(new URL('./train-child.mjs', import.meta.url))

let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'understudy-train-crash-'))
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

function order(name: string): string {
  writeToyFolder(root)
  const words = ['a', 'b', 'c', '!']
  const rows = Array.from({ length: 240 }, (_, i) => {
    const said = i % 2 === 0 ? 'hello' : 'world'
    const around = [words[i % 4], words[(i >> 2) % 4], words[(i >> 4) % 4], words[(i >> 6) % 4]]
    return {
      text: [...around.slice(0, i % 5), said, ...around.slice(i % 5)].join(' '),
      label: said,
    }
  })
  const path = join(root, `${name}.json`)
  writeFileSync(path, JSON.stringify({ base: root, rows, stateDir: join(root, name) }))
  return path
}

interface Outcome {
  readonly weights: string | null
  readonly firstSteps: readonly { stage: string; done: number }[]
}

/** Runs the child; kills it at the step of the stage that it is told. */
async function train(
  path: string,
  { kill, words = [] }: { kill?: { stage: RegExp; step: number }; words?: string[] } = {},
): Promise<Outcome> {
  const child = spawn(process.execPath, [CHILD, path, ...words], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let weights: string | null = null
  const firstSteps: { stage: string; done: number }[] = []
  const lines = createInterface({ input: child.stdout })
  lines.on('line', line => {
    if (!line.endsWith('}')) return
    const value = JSON.parse(line)
    if (typeof value.weights === 'string') weights = value.weights
    if (value.note?.startsWith('loss') && firstSteps.at(-1)?.stage !== value.stage) {
      firstSteps.push({ stage: value.stage, done: value.done })
    }
    if (kill?.stage.test(value.stage) && value.done >= kill.step) child.kill('SIGKILL')
  })
  await new Promise(resolve => lines.once('close', resolve))
  return { weights, firstSteps }
}

it('SIGKILL in the search, in the last fit and after it changes nothing of the weights', {
  timeout: 120_000,
}, async () => {
  const alone = await train(order('alone'))
  expect(alone.weights).toMatch(/^[0-9a-f]{64}$/)
  const path = order('killed')
  const first = await train(path, { kill: { stage: /^full/, step: 20 } })
  expect(first.weights).toBeNull()
  expect(readdirSync(join(root, 'killed'))).toHaveLength(1)
  const second = await train(path, { kill: { stage: /all rows/, step: 20 } })
  expect(second.weights).toBeNull()
  const third = await train(path, { words: ['keeps-state'] })
  expect(third.weights).toBe(alone.weights)
  // It went on instead of starting anew.
  expect(third.firstSteps.map(({ stage }) => stage)).toEqual(['fit on all rows'])
  expect(third.firstSteps[0]?.done).toBeGreaterThan(1)
  // Nor was anything lost that was trained, but not written yet.
  const fourth = await train(path)
  expect(fourth.weights).toBe(alone.weights)
  expect(fourth.firstSteps.map(({ stage }) => stage)).not.toContain('full, top 2 layers')
  expect(readdirSync(join(root, 'killed'))).toEqual([])
})
