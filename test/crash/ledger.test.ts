/** What was acknowledged is there after SIGKILL, and after a disk that was full. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  openLedgerReader,
  openLedgerWriter,
  type RecordPosition,
  verifyLedger,
} from '../../src/ledger/index.ts'
import { createRng } from '../../src/util/index.ts'
import { openWorkspace } from '../../src/workspace/index.ts'

const CHILD = fileURLToPath(new URL('./ledger-child.mjs', import.meta.url))
const nothingKnown = () => ({
  model: null,
  promptTokens: null,
  completionTokens: null,
  task: null,
  inputHash: null,
  isIndependent: false,
})

let root: string
let signingKeyPath: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'understudy-crash-'))
  signingKeyPath = join(root, 'key.pem')
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

interface Output {
  readonly acknowledged: RecordPosition[]
  readonly refusedCodes: string[]
}

/** Reads the child's output until it is gone; calls `onReady` once it has begun. */
async function watch(child: ChildProcess, onReady: () => void): Promise<Output> {
  const output: Output = { acknowledged: [], refusedCodes: [] }
  const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream })
  lines.on('line', line => {
    if (!line.endsWith('}')) return
    const value = JSON.parse(line)
    if (value.ready) onReady()
    else if (value.hash) output.acknowledged.push(value)
    else output.refusedCodes.push(value.code)
  })
  await new Promise(resolve => lines.once('close', resolve))
  return output
}

async function killAfter(mode: 'ledger' | 'workspace', dir: string, ms: number): Promise<Output> {
  const child = spawn(process.execPath, [CHILD, mode, dir, signingKeyPath], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  return watch(child, () => setTimeout(() => child.kill('SIGKILL'), ms))
}

async function expectAllReadable(dir: string, acknowledged: readonly RecordPosition[]) {
  const reader = openLedgerReader(dir)
  for (const position of acknowledged) {
    expect((await reader.read(position)).position).toEqual(position)
  }
  await reader.close()
}

describe('SIGKILL', () => {
  it('loses no acknowledged record in twenty rounds', async () => {
    const seed = 'ledger-kill-1'
    const rng = createRng(seed)
    const dir = join(root, 'ledger')
    const acknowledged: RecordPosition[] = []
    for (let round = 0; round < 20; round++) {
      const output = await killAfter('ledger', dir, rng.int(60))
      acknowledged.push(...output.acknowledged)
    }
    expect(acknowledged.length, `seed ${seed}`).toBeGreaterThan(20)
    await expectAllReadable(dir, acknowledged)
    const writer = await openLedgerWriter({ dir, node: 'n1', signingKeyPath })
    await writer.close()
    const report = await verifyLedger(dir)
    expect(report).toMatchObject({ ok: true, writerCount: 21, tornTails: [] })
    expect(report.recordCount).toBeGreaterThanOrEqual(acknowledged.length)
  }, 120_000)

  it('lets the next owner in at once, which then knows every acknowledged trace', async () => {
    const acknowledged: RecordPosition[] = []
    // The first two die while the database is being made.
    for (const ms of [400, 900]) {
      const child = spawn(process.execPath, [CHILD, 'workspace', root, signingKeyPath], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      setTimeout(() => child.kill('SIGKILL'), ms)
      acknowledged.push(...(await watch(child, () => {})).acknowledged)
    }
    for (const ms of [0, 40, 150]) {
      acknowledged.push(...(await killAfter('workspace', root, ms)).acknowledged)
    }
    const workspace = await openWorkspace({ dataDir: root, describe: nothingKnown, signingKeyPath })
    await workspace.settle()
    expect(await workspace.store.traceCount()).toBeGreaterThanOrEqual(acknowledged.length)
    for (const position of acknowledged.slice(-20)) {
      const { payload } = await workspace.read(position)
      const { id } = payload as { id: string }
      expect((await workspace.store.trace(id))?.position).toEqual(position)
    }
    await workspace.close()
    expect(await verifyLedger(join(root, 'ledger'))).toMatchObject({ ok: true, tornTails: [] })
  }, 120_000)
})

describe('a full disk', () => {
  it('refuses what does not fit and keeps what was acknowledged', async () => {
    const dir = join(root, 'ledger')
    // The limit counts blocks of 1 KiB in bash; a write beyond it fails with EFBIG once SIGXFSZ is ignored.
    const command = `trap '' XFSZ; ulimit -f 100; exec "$0" "$@"`
    const child = spawn(
      'bash',
      ['-c', command, process.execPath, CHILD, 'ledger', dir, signingKeyPath],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    )
    const output = await watch(child, () => setTimeout(() => child.kill('SIGKILL'), 300))
    expect(output.refusedCodes.length).toBeGreaterThan(0)
    expect(new Set(output.refusedCodes)).toEqual(new Set(['ledger-unwritable']))
    expect(output.acknowledged.length).toBeGreaterThan(0)
    await expectAllReadable(dir, output.acknowledged)
    expect(await verifyLedger(dir)).toMatchObject({ firstAltered: null })
  })
})
