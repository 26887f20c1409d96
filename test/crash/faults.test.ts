/**
 * The fault run of `bench/faults.mjs`, short and seeded: leads that reset, stall and storm, clocks that jump, a database, a
 * worker and the whole gateway that are killed. The bench runs longer.
 */
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const BENCH = fileURLToPath(new URL('../../bench/faults.mjs', import.meta.url))

interface Figures {
  readonly outcomes: Readonly<Record<string, number>>
  readonly events: Readonly<Record<string, number>>
  readonly ok: boolean
  readonly completeCount: number
  readonly missingCount: number
  readonly violations: readonly string[]
}

test('every client gets an answer or a well-formed error, and every answer is in the ledger', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'faults-'))
  try {
    const out = join(folder, 'figures.json')
    const run = ['--seconds', '6', '--seed', 'ci', '--callers', '4', '--out', out]
    // Its exit code says no more than the violations do.
    await promisify(execFile)(process.execPath, [BENCH, ...run]).catch(() => undefined)
    const figures = JSON.parse(await readFile(out, 'utf8')) as Figures
    expect(figures.violations).toEqual([])
    expect(figures).toMatchObject({ ok: true, missingCount: 0 })
    expect(figures.completeCount).toBeGreaterThan(0)
    expect(Object.keys(figures.events).sort()).toEqual([
      'clock back',
      'clock forward',
      'database killed',
      'gateway killed',
      'lead away',
      'storm',
      'worker killed',
    ])
    const outcomes = Object.keys(figures.outcomes)
    expect(outcomes.filter(name => /^(?:wrong|broken connection:)/.test(name))).toEqual([])
    expect(outcomes.some(name => name.startsWith('error'))).toBe(true)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}, 240_000)
